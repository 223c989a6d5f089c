package grpcdoor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"dex/internal/admin/admintest"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
)

func TestFactors(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	h.SignIn(t, "s1", "u1", "local", "shop")
	h.SignIn(t, "s2", "u2", "local", "shop")
	h.Enroll(t, "u1", "local", 0)
	const at = 1777896000
	want := []*api.MFADeviceInfo{
		{AuthenticatorId: "app", MfaSecret: &api.MFASecret{AuthenticatorId: "app", Type: "TOTP", Confirmed: true, CreatedAt: at}},
		{AuthenticatorId: "key", WebauthnCredentials: []*api.WebAuthnCredential{{
			CredentialId: []byte("credential"), AttestationType: "packed", Aaguid: []byte("aaguid"), SignCount: 7, CloneWarning: true,
			Transport: []string{"usb"}, BackupEligible: true, DisplayName: "Blue key", CreatedAt: at,
		}}},
	}
	same := func(what string, got []*api.MFADeviceInfo, err error) {
		t.Helper()
		if err != nil || len(got) != 2 || !proto.Equal(got[0], want[0]) || !proto.Equal(got[1], want[1]) {
			t.Errorf("%s: got %v, %v", what, got, err)
		}
		for _, secret := range []string{admintest.TOTPSecret, admintest.PublicKey, "hash-1"} {
			if strings.Contains(fmt.Sprint(got), secret) {
				t.Errorf("%s has %s", what, secret)
			}
		}
	}
	list, err := h.dex.ListMFADevices(ctx, &api.ListMFADevicesReq{UserId: "u1", ConnectorId: "local"})
	same("devices", list.GetDevices(), err)
	one, err := h.dex.GetUserIdentity(ctx, &api.GetUserIdentityReq{UserId: "u1", ConnectorId: "local"})
	same("identity", one.GetIdentity().GetMfaDevices(), err)
	all, err := h.dex.ListUserIdentities(ctx, &api.ListUserIdentitiesReq{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := h.own.ListIdentities(ctx, &dexv1.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range append(all.GetIdentities(), own.GetIdentities()...) {
		if u.GetUserId() == "u1" {
			same("identities", u.GetMfaDevices(), nil)
		} else if len(u.GetMfaDevices()) > 0 {
			t.Errorf("another user has %v", u.GetMfaDevices())
		}
	}

	for _, gone := range []bool{false, true} {
		key, err := h.dex.DeleteWebAuthnCredential(ctx, &api.DeleteWebAuthnCredentialReq{UserId: "u1", ConnectorId: "local", CredentialId: []byte("credential")})
		if err != nil || key.GetNotFound() != gone {
			t.Errorf("credential %v, %v", key, err)
		}
		secret, err := h.dex.DeleteMFASecret(ctx, &api.DeleteMFASecretReq{UserId: "u1", ConnectorId: "local", AuthenticatorId: "app"})
		if err != nil || secret.GetNotFound() != gone {
			t.Errorf("secret %v, %v", secret, err)
		}
		// Who has no factors is found all the same.
		if resp, err := h.dex.ResetMFA(ctx, &api.ResetMFAReq{UserId: "u1", ConnectorId: "local"}); err != nil || resp.GetNotFound() {
			t.Errorf("reset %v, %v", resp, err)
		}
	}
	if list, err := h.dex.ListMFADevices(ctx, &api.ListMFADevicesReq{UserId: "u1", ConnectorId: "local"}); err != nil || len(list.GetDevices()) > 0 {
		t.Errorf("left %v, %v", list, err)
	}
	if resp, err := h.dex.ResetMFA(ctx, &api.ResetMFAReq{UserId: "u9", ConnectorId: "local"}); err != nil || !resp.GetNotFound() {
		t.Errorf("reset of nobody: %v, %v", resp, err)
	}
	_, err = h.dex.ListMFADevices(ctx, &api.ListMFADevicesReq{UserId: "u9", ConnectorId: "local"})
	wantError(t, err, codes.Unknown, "not found")
	_, err = h.dex.DeleteMFASecret(ctx, &api.DeleteMFASecretReq{UserId: "u1", ConnectorId: "local"})
	wantError(t, err, codes.Unknown, "no authenticator_id supplied")
}

func TestOwnMethodsOfFactors(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	h.room.SessionsCRUD = false // is for upstream's methods only
	h.Enroll(t, "u1", "corp", 100)
	list, err := h.own.ListFactors(ctx, &dexv1.ListFactorsRequest{UserId: "u1", ConnectorId: "corp"})
	if err != nil {
		t.Fatal(err)
	}
	want := &dexv1.ListFactorsResponse{RecoveryCodes: 2, WrongCodes: 100, Locked: true, Factors: []*dexv1.Factor{
		{Id: "totp:app", AuthenticatorId: "app", Type: "TOTP", CreatedAt: 1777896000, LastUsed: 1777899600},
		{
			Id: "webauthn:Y3JlZGVudGlhbA", AuthenticatorId: "key", Type: "WebAuthn", Name: "Blue key", CreatedAt: 1777896000,
			Synced: true, CloneWarning: true,
		},
	}}
	if !proto.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
	if _, err := h.own.UnlockFactors(ctx, &dexv1.UnlockFactorsRequest{UserId: "u1", ConnectorId: "corp"}); err != nil {
		t.Error(err)
	}
	if _, err := h.own.RemoveFactor(ctx, &dexv1.RemoveFactorRequest{UserId: "u1", ConnectorId: "corp", Id: "totp:app"}); err != nil {
		t.Error(err)
	}
	list, err = h.own.ListFactors(ctx, &dexv1.ListFactorsRequest{UserId: "u1", ConnectorId: "corp"})
	if err != nil || len(list.GetFactors()) != 1 || list.GetLocked() || list.GetWrongCodes() != 0 {
		t.Errorf("left %v, %v", list, err)
	}
	if _, err := h.own.ResetFactors(ctx, &dexv1.ResetFactorsRequest{UserId: "u1", ConnectorId: "corp"}); err != nil {
		t.Error(err)
	}
	_, err = h.own.RemoveFactor(ctx, &dexv1.RemoveFactorRequest{UserId: "u1", ConnectorId: "corp", Id: "totp:app"})
	wantError(t, err, codes.NotFound, "second factor totp:app of ")
	_, err = h.own.ResetFactors(ctx, &dexv1.ResetFactorsRequest{UserId: "u9", ConnectorId: "corp"})
	wantError(t, err, codes.NotFound, `identity "u9"`)
}

func TestBlock(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	h.room.SessionsCRUD = false
	h.SignIn(t, "s1", "u1", "local", "shop")
	until := time.Now().Add(time.Hour).Unix()
	done, err := h.own.BlockUser(ctx, &dexv1.BlockUserRequest{UserId: "u1", ConnectorId: "local", Until: until})
	if err != nil || !done.GetKnown() || done.GetSessions() != 1 || done.GetLogins() != 0 || h.Left(t) != "[] [] 1" {
		t.Errorf("blocked %v, %v, left %s", done, err, h.Left(t))
	}
	if done, err = h.own.BlockUser(ctx, &dexv1.BlockUserRequest{UserId: "u2", ConnectorId: "local"}); err != nil || done.GetKnown() {
		t.Errorf("blocked %v, %v", done, err)
	}
	list, err := h.own.ListIdentities(ctx, &dexv1.ListRequest{})
	if err != nil || len(list.GetIdentities()) != 2 {
		t.Fatal(list, err)
	}
	for _, u := range list.GetIdentities() {
		if got, first := u.GetBlockedUntil(), u.GetUserId() == "u1"; first && got != until || !first && got != 253402300799 {
			t.Errorf("%s is blocked until %d", u.GetUserId(), got)
		}
	}
	if _, err := h.own.UnblockUser(ctx, &dexv1.UnblockUserRequest{UserId: "u1", ConnectorId: "local"}); err != nil {
		t.Error(err)
	}
	if blocked, err := h.Identities.Blocked(ctx, "u1", "local"); err != nil || blocked {
		t.Errorf("still blocked: %v", err)
	}
	_, err = h.own.BlockUser(ctx, &dexv1.BlockUserRequest{UserId: "u1", ConnectorId: "local", Until: 1})
	wantError(t, err, codes.InvalidArgument, "until: must be in the future")
	_, err = h.own.BlockUser(ctx, &dexv1.BlockUserRequest{UserId: "u1"})
	wantError(t, err, codes.InvalidArgument, "user_id and connector_id must say")
}
