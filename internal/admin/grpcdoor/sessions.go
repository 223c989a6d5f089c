package grpcdoor

import (
	"context"
	"slices"

	"dex/internal/admin/api"
)

// There are no sessions and no identities yet. So these methods find nothing, as upstream's do where sessions are switched off.

// required returns an error if the methods are switched off, or for the first member that is empty; pairs are names and values.
func required(ctx context.Context, pairs ...string) error {
	if !roomOf(ctx).SessionsCRUD {
		return errSessionsOff
	}
	for pair := range slices.Chunk(pairs, 2) {
		if name, value := pair[0], pair[1]; value == "" {
			return invalidf("no %s supplied", name)
		}
	}
	return nil
}

// GetAuthSession finds no session.
func (*dex) GetAuthSession(ctx context.Context, req *api.GetAuthSessionReq) (*api.GetAuthSessionResp, error) {
	if err := required(ctx, "id", req.GetId()); err != nil {
		return nil, err
	}
	return nil, errNotFound
}

// ListAuthSessions finds no session.
func (*dex) ListAuthSessions(ctx context.Context, _ *api.ListAuthSessionsReq) (*api.ListAuthSessionsResp, error) {
	return &api.ListAuthSessionsResp{}, required(ctx)
}

// DeleteAuthSession finds no session.
func (*dex) DeleteAuthSession(ctx context.Context, req *api.DeleteAuthSessionReq) (*api.DeleteAuthSessionResp, error) {
	return &api.DeleteAuthSessionResp{NotFound: true}, required(ctx, "id", req.GetId())
}

// TerminateSessionsByConnector finds no session.
func (*dex) TerminateSessionsByConnector(
	ctx context.Context, req *api.TerminateSessionsByConnectorReq,
) (*api.TerminateSessionsByConnectorResp, error) {
	return &api.TerminateSessionsByConnectorResp{}, required(ctx, "connector_id", req.GetConnectorId())
}

// TerminateSessionsByUser finds no session.
func (*dex) TerminateSessionsByUser(
	ctx context.Context, req *api.TerminateSessionsByUserReq,
) (*api.TerminateSessionsByUserResp, error) {
	return &api.TerminateSessionsByUserResp{}, required(ctx, "user_id", req.GetUserId())
}

// GetUserIdentity finds no identity.
func (*dex) GetUserIdentity(ctx context.Context, req *api.GetUserIdentityReq) (*api.GetUserIdentityResp, error) {
	if err := required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId()); err != nil {
		return nil, err
	}
	return nil, errNotFound
}

// ListUserIdentities finds no identity.
func (*dex) ListUserIdentities(ctx context.Context, _ *api.ListUserIdentitiesReq) (*api.ListUserIdentitiesResp, error) {
	return &api.ListUserIdentitiesResp{}, required(ctx)
}

// DeleteUserIdentity finds no identity.
func (*dex) DeleteUserIdentity(ctx context.Context, req *api.DeleteUserIdentityReq) (*api.DeleteUserIdentityResp, error) {
	err := required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId())
	return &api.DeleteUserIdentityResp{NotFound: true}, err
}

// ResetMFA finds no identity.
func (*dex) ResetMFA(ctx context.Context, req *api.ResetMFAReq) (*api.ResetMFAResp, error) {
	return &api.ResetMFAResp{NotFound: true}, required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId())
}

// ListMFADevices finds no identity.
func (*dex) ListMFADevices(ctx context.Context, req *api.ListMFADevicesReq) (*api.ListMFADevicesResp, error) {
	if err := required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId()); err != nil {
		return nil, err
	}
	return nil, errNotFound
}

// DeleteWebAuthnCredential finds no identity.
func (*dex) DeleteWebAuthnCredential(
	ctx context.Context, req *api.DeleteWebAuthnCredentialReq,
) (*api.DeleteWebAuthnCredentialResp, error) {
	err := required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId(), "credential_id", string(req.GetCredentialId()))
	return &api.DeleteWebAuthnCredentialResp{NotFound: true}, err
}

// DeleteMFASecret finds no identity.
func (*dex) DeleteMFASecret(ctx context.Context, req *api.DeleteMFASecretReq) (*api.DeleteMFASecretResp, error) {
	err := required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId(), "authenticator_id", req.GetAuthenticatorId())
	return &api.DeleteMFASecretResp{NotFound: true}, err
}

// RevokeConsent finds no identity.
func (*dex) RevokeConsent(ctx context.Context, req *api.RevokeConsentReq) (*api.RevokeConsentResp, error) {
	err := required(ctx, "user_id", req.GetUserId(), "connector_id", req.GetConnectorId(), "client_id", req.GetClientId())
	return &api.RevokeConsentResp{NotFound: true}, err
}
