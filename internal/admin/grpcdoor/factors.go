package grpcdoor

import (
	"context"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
)

// ResetMFA removes all second factors of a user.
func (*dex) ResetMFA(ctx context.Context, req *api.ResetMFAReq) (*api.ResetMFAResp, error) {
	if err := requiredOf(ctx, req); err != nil {
		return nil, err
	}
	notFound, err := absent("reset MFA", roomOf(ctx).Service.ResetFactors(ctx, req.GetUserId(), req.GetConnectorId()))
	return &api.ResetMFAResp{NotFound: notFound}, err
}

// ListMFADevices returns the second factors of a user.
func (*dex) ListMFADevices(ctx context.Context, req *api.ListMFADevicesReq) (*api.ListMFADevicesResp, error) {
	if err := requiredOf(ctx, req); err != nil {
		return nil, err
	}
	found, err := roomOf(ctx).Service.Factors(ctx, req.GetUserId(), req.GetConnectorId())
	if notFound, err := absent("list MFA devices", err); err != nil {
		return nil, err
	} else if notFound {
		return nil, errNotFound
	}
	return &api.ListMFADevicesResp{Devices: devicesOf(&found)}, nil
}

// DeleteWebAuthnCredential removes a security key or passkey of a user.
func (*dex) DeleteWebAuthnCredential(
	ctx context.Context, req *api.DeleteWebAuthnCredentialReq,
) (*api.DeleteWebAuthnCredentialResp, error) {
	if err := requiredOf(ctx, req, "credential_id", string(req.GetCredentialId())); err != nil {
		return nil, err
	}
	id := admin.CredentialFactor(req.GetCredentialId())
	err := roomOf(ctx).Service.RemoveFactor(ctx, req.GetUserId(), req.GetConnectorId(), id)
	notFound, err := absent("delete WebAuthn credential", err)
	return &api.DeleteWebAuthnCredentialResp{NotFound: notFound}, err
}

// DeleteMFASecret removes the app of a user for an authenticator, and what else they have for it.
func (*dex) DeleteMFASecret(ctx context.Context, req *api.DeleteMFASecretReq) (*api.DeleteMFASecretResp, error) {
	if err := requiredOf(ctx, req, "authenticator_id", req.GetAuthenticatorId()); err != nil {
		return nil, err
	}
	err := roomOf(ctx).Service.RemoveApp(ctx, req.GetUserId(), req.GetConnectorId(), req.GetAuthenticatorId())
	notFound, err := absent("delete MFA secret", err)
	return &api.DeleteMFASecretResp{NotFound: notFound}, err
}

// devicesOf returns second factors as upstream's messages have them: one for each authenticator.
func devicesOf(f *admin.Factors) []*api.MFADeviceInfo {
	var all []*api.MFADeviceInfo
	var m *api.MFADeviceInfo
	for i := range f.All {
		found := &f.All[i]
		if m == nil || m.GetAuthenticatorId() != found.Authenticator {
			m = &api.MFADeviceInfo{AuthenticatorId: found.Authenticator}
			all = append(all, m)
		}
		c := found.Credential
		if c == nil {
			m.MfaSecret = &api.MFASecret{
				AuthenticatorId: found.Authenticator, Type: found.Type, Confirmed: true, CreatedAt: unix(found.Created),
			}
			continue
		}
		m.WebauthnCredentials = append(m.WebauthnCredentials, &api.WebAuthnCredential{
			CredentialId: c.ID, AttestationType: c.Attestation, Aaguid: c.AAGUID, SignCount: c.SignCount, CloneWarning: c.Clone,
			Transport: c.Transports, BackupEligible: c.BackupEligible, BackupState: c.BackupState, DisplayName: c.Name,
			CreatedAt: unix(found.Created),
		})
	}
	return all
}

// userRequired returns an error for a request that doesn't say which user it is about.
func userRequired(u user) error {
	if u.GetUserId() == "" || u.GetConnectorId() == "" {
		return invalidf("user_id and connector_id must say which user")
	}
	return nil
}

// ListFactors returns the second factors of a user.
func (*own) ListFactors(ctx context.Context, req *dexv1.ListFactorsRequest) (*dexv1.ListFactorsResponse, error) {
	if err := userRequired(req); err != nil {
		return nil, err
	}
	f, err := roomOf(ctx).Service.Factors(ctx, req.GetUserId(), req.GetConnectorId())
	if err != nil {
		return nil, err
	}
	resp := &dexv1.ListFactorsResponse{
		RecoveryCodes: int32(f.RecoveryCodes), //nolint:gosec // G115: at most config.MaxRecoveryCodes
		WrongCodes:    int32(f.WrongCodes),    //nolint:gosec // G115: locked long before it is too large
		LockedUntil:   unix(f.LockedUntil), Locked: f.Locked,
	}
	for i := range f.All {
		found := &f.All[i]
		m := &dexv1.Factor{
			Id: found.ID, AuthenticatorId: found.Authenticator, Type: found.Type, CreatedAt: unix(found.Created), LastUsed: unix(found.LastUsed),
		}
		if c := found.Credential; c != nil {
			m.Name, m.Synced, m.CloneWarning = c.Name, c.BackupEligible, c.Clone
		}
		resp.Factors = append(resp.Factors, m)
	}
	return resp, nil
}

// RemoveFactor removes one second factor of a user.
func (*own) RemoveFactor(ctx context.Context, req *dexv1.RemoveFactorRequest) (*dexv1.RemoveFactorResponse, error) {
	if err := userRequired(req); err != nil {
		return nil, err
	}
	err := roomOf(ctx).Service.RemoveFactor(ctx, req.GetUserId(), req.GetConnectorId(), req.GetId())
	return &dexv1.RemoveFactorResponse{}, err
}

// ResetFactors removes all second factors of a user.
func (*own) ResetFactors(ctx context.Context, req *dexv1.ResetFactorsRequest) (*dexv1.ResetFactorsResponse, error) {
	if err := userRequired(req); err != nil {
		return nil, err
	}
	return &dexv1.ResetFactorsResponse{}, roomOf(ctx).Service.ResetFactors(ctx, req.GetUserId(), req.GetConnectorId())
}

// UnlockFactors lets codes of a user be checked again.
func (*own) UnlockFactors(ctx context.Context, req *dexv1.UnlockFactorsRequest) (*dexv1.UnlockFactorsResponse, error) {
	if err := userRequired(req); err != nil {
		return nil, err
	}
	return &dexv1.UnlockFactorsResponse{}, roomOf(ctx).Service.UnlockCodes(ctx, req.GetUserId(), req.GetConnectorId())
}

// BlockUser keeps a user from signing in.
func (*own) BlockUser(ctx context.Context, req *dexv1.BlockUserRequest) (*dexv1.BlockUserResponse, error) {
	if err := userRequired(req); err != nil {
		return nil, err
	}
	var until time.Time
	if req.GetUntil() != 0 {
		until = time.Unix(req.GetUntil(), 0)
	}
	done, err := roomOf(ctx).Service.BlockUser(ctx, req.GetUserId(), req.GetConnectorId(), until)
	if err != nil {
		return nil, err
	}
	return &dexv1.BlockUserResponse{Known: done.Known, Sessions: int64(done.Ended.Sessions), Logins: int64(done.Ended.Logins)}, nil
}

// UnblockUser lets a user sign in again.
func (*own) UnblockUser(ctx context.Context, req *dexv1.UnblockUserRequest) (*dexv1.UnblockUserResponse, error) {
	if err := userRequired(req); err != nil {
		return nil, err
	}
	return &dexv1.UnblockUserResponse{}, roomOf(ctx).Service.UnblockUser(ctx, req.GetUserId(), req.GetConnectorId())
}
