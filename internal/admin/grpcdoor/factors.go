package grpcdoor

import (
	"context"

	"dex/internal/admin"
	"dex/internal/admin/api"
)

// There are no second factors yet: so these methods find users, and nothing of theirs.

// ResetMFA finds nothing to remove.
func (*dex) ResetMFA(ctx context.Context, req *api.ResetMFAReq) (*api.ResetMFAResp, error) {
	found, err := hasIdentity(ctx, req)
	return &api.ResetMFAResp{NotFound: !found}, err
}

// hasIdentity reports whether there is such a user.
func hasIdentity(ctx context.Context, u user, pairs ...string) (bool, error) {
	if err := requiredOf(ctx, u, pairs...); err != nil {
		return false, err
	}
	err := roomOf(ctx).Service.HasIdentity(ctx, u.GetUserId(), u.GetConnectorId())
	if has(err, admin.NotFound) {
		return false, nil
	}
	return err == nil, while("get user identity", err)
}

// ListMFADevices finds no devices.
func (*dex) ListMFADevices(ctx context.Context, req *api.ListMFADevicesReq) (*api.ListMFADevicesResp, error) {
	if _, err := identityOf(ctx, req); err != nil {
		return nil, err
	}
	return &api.ListMFADevicesResp{}, nil
}

// DeleteWebAuthnCredential finds no credential.
func (*dex) DeleteWebAuthnCredential(
	ctx context.Context, req *api.DeleteWebAuthnCredentialReq,
) (*api.DeleteWebAuthnCredentialResp, error) {
	_, err := hasIdentity(ctx, req, "credential_id", string(req.GetCredentialId()))
	return &api.DeleteWebAuthnCredentialResp{NotFound: true}, err
}

// DeleteMFASecret finds no secret.
func (*dex) DeleteMFASecret(ctx context.Context, req *api.DeleteMFASecretReq) (*api.DeleteMFASecretResp, error) {
	_, err := hasIdentity(ctx, req, "authenticator_id", req.GetAuthenticatorId())
	return &api.DeleteMFASecretResp{NotFound: true}, err
}
