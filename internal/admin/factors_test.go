package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/identity"
	"dex/internal/store"
)

// idsOf returns the ids of a user's factors; the reason for an error.
func idsOf(t *testing.T, f *admintest.Fixture, userID, connectorID string) string {
	t.Helper()
	found, err := f.Factors(admintest.As(t, admin.RoleRead), userID, connectorID)
	if err != nil {
		return fmt.Sprint("reason ", admin.ReasonOf(err))
	}
	var ids []string
	for _, one := range found.All {
		ids = append(ids, one.ID)
	}
	return strings.Join(ids, " ")
}

const bothFactors = "totp:app webauthn:Y3JlZGVudGlhbA"

func TestFactors(t *testing.T) {
	t.Parallel()
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleUsers)
	f.SignIn(t, "s1", "u1", "local", "shop")
	f.Enroll(t, "u1", "local", 3)
	found, err := f.Factors(ctx, "u1", "local")
	if err != nil || idsOf(t, f, "u1", "local") != bothFactors || found.RecoveryCodes != 2 || found.WrongCodes != 3 || found.Locked || !found.LockedUntil.IsZero() {
		t.Errorf("found %+v, %v", found, err)
	}
	text, err := json.Marshal(found)
	if err != nil || strings.Contains(string(text), "c2VjcmV0LW9m") || strings.Contains(string(text), "cHVibGljLWtleS") || strings.Contains(string(text), "aGFzaC0x") {
		t.Errorf("something secret in %s, %v", text, err)
	}
	dry := admin.WithDryRun(ctx)
	for what, err := range map[string]error{
		"remove": f.RemoveFactor(dry, "u1", "local", "totp:app"), "app": f.RemoveApp(dry, "u1", "local", "app"),
		"reset": f.ResetFactors(dry, "u1", "local"), "unlock": f.UnlockCodes(dry, "u1", "local"),
	} {
		if err != nil {
			t.Errorf("a trial of %s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"of nobody":    f.RemoveFactor(ctx, "u9", "local", "totp:app"),
		"another type": f.RemoveFactor(ctx, "u1", "local", "totp:key"),
		"no such":      f.RemoveFactor(dry, "u1", "local", "webauthn:"),
		"no app":       f.RemoveApp(ctx, "u1", "local", "key"),
		"reset nobody": f.ResetFactors(ctx, "u9", "local"),
		"unlock":       f.UnlockCodes(ctx, "u9", "local"),
	} {
		if admin.ReasonOf(err) != admin.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := idsOf(t, f, "u1", "local"); got != bothFactors || len(f.Changes()) > 0 {
		t.Errorf("left %s, changes %q", got, f.Changes())
	}

	if err := f.UnlockCodes(ctx, "u1", "local"); err != nil {
		t.Error(err)
	}
	if err := f.RemoveFactor(ctx, "u1", "local", "webauthn:Y3JlZGVudGlhbA"); err != nil || idsOf(t, f, "u1", "local") != "totp:app" {
		t.Errorf("left %s, %v", idsOf(t, f, "u1", "local"), err)
	}
	if err := f.ResetFactors(ctx, "u1", "local"); err != nil || idsOf(t, f, "u1", "local") != "" {
		t.Errorf("left %s, %v", idsOf(t, f, "u1", "local"), err)
	}
	// Nothing is written where nothing changes.
	again := errors.Join(f.UnlockCodes(ctx, "u1", "local"), f.ResetFactors(ctx, "u1", "local"))
	want := []string{"ci unlocked factor codes of local/u1", "ci deleted factor webauthn:Y3JlZGVudGlhbA of local/u1", "ci deleted factor all of local/u1"}
	if got := f.Changes(); again != nil || !slices.Equal(got, want) {
		t.Errorf("changes %q, %v", got, again)
	}
}

// An app goes with all else of its authenticator, as with upstream.
func TestRemoveApp(t *testing.T) {
	t.Parallel()
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleUsers)
	f.Enroll(t, "u1", "local", 0) // at a login that didn't come to its end: there is no identity
	if err := f.RemoveApp(ctx, "u1", "local", "app"); err != nil || idsOf(t, f, "u1", "local") != "webauthn:Y3JlZGVudGlhbA" {
		t.Errorf("left %s, %v", idsOf(t, f, "u1", "local"), err)
	}
	if err := f.RemoveApp(ctx, "u1", "local", "app"); admin.ReasonOf(err) != admin.NotFound {
		t.Errorf("once more: %v", err)
	}
}

// upstreamUser has an app that upstream has enrolled, or one that nobody can read.
func upstreamUser(t *testing.T, f *admintest.Fixture, userID, uri string) {
	t.Helper()
	all, err := identity.Adopted(f.Store, identity.Legacy{UserID: userID, ConnectorID: "corp", Factors: identity.UpstreamFactors{
		MFASecrets: json.RawMessage(`{"phone":{"type":"TOTP","secret":"` + uri + `","confirmed":true,"createdAt":"2026-01-02T03:04:05Z"}}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if _, err := f.Store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

const upstreamURI = "otpauth://totp/Dex:u1?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Dex"

// What upstream has enrolled is listed before anybody has used it, and doesn't come back: neither after a reset, nor after a removal.
func TestFactorsOfUpstreams(t *testing.T) {
	t.Parallel()
	f, ctx := admintest.New(t, nil), admintest.As(t, admin.RoleUsers)
	for _, userID := range []string{"u1", "u2", "u3"} {
		upstreamUser(t, f, userID, upstreamURI)
	}
	upstreamUser(t, f, "u4", "otpauth://hotp/x")
	page, _, err := f.Service.Identities(ctx, "", 10)
	if err != nil || len(page) != 4 {
		t.Fatal(page, err)
	}
	all, err := f.FactorsOf(ctx, page)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for i, e := range page {
		if got := len(all[i].All); got != 1 && e.Value.UserID != "u4" || e.Value.UserID == "u4" && got != 0 {
			t.Errorf("%s has %d", e.Value.UserID, got)
		}
	}
	if _, err := f.Factors(ctx, "u4", "corp"); admin.ReasonOf(err) != admin.Unavailable || strings.Contains(err.Error(), "hotp") {
		t.Errorf("factors that can't be read: %v", err)
	}
	for userID, remove := range map[string]func() error{
		"u1": func() error { return f.ResetFactors(ctx, "u1", "corp") },
		"u2": func() error { return f.RemoveFactor(ctx, "u2", "corp", "totp:phone") },
		"u3": func() error { return f.DeleteIdentity(ctx, "u3", "corp") },
		"u4": func() error { return f.ResetFactors(ctx, "u4", "corp") },
	} {
		if err := remove(); err != nil {
			t.Errorf("%s: %v", userID, err)
		}
		login := identity.Login{Claims: connector.Identity{UserID: userID}, ConnectorID: "corp", Proved: true}
		if err := f.Identities.Note(ctx, login); err != nil {
			t.Fatal(err)
		}
		if got := idsOf(t, f, userID, "corp"); got != "" {
			t.Errorf("%s has %s", userID, got)
		}
	}
}

// Whoever is erased loses their second factors, and loses none of them to an attempt that fails: whatever is left, another one finds it.
func TestDeleteIdentityWithFactors(t *testing.T) {
	t.Parallel()
	var broken atomic.Int64
	f := admintest.New(t, func(s store.Store) store.Store { return &failing{Store: s, left: &broken} })
	f.SignIn(t, "s1", "u1", "corp", "shop")
	f.Enroll(t, "u1", "corp", 0)
	ctx := admintest.As(t, admin.RoleUsers)
	for writes := int64(1); ; writes++ {
		broken.Store(writes)
		err := f.DeleteIdentity(ctx, "u1", "corp")
		broken.Store(0)
		if err == nil {
			break
		}
		if got := idsOf(t, f, "u1", "corp"); got != bothFactors || writes > 100 {
			t.Fatalf("after %d writes: %v, left %s", writes, err, got)
		}
	}
	for range 2 {
		if got := idsOf(t, f, "u1", "corp"); got != fmt.Sprint("reason ", admin.NotFound) {
			t.Errorf("left %s", got)
		}
		if err := f.DeleteIdentity(ctx, "u1", "corp"); admin.ReasonOf(err) != admin.NotFound {
			t.Errorf("once more: %v", err)
		}
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	f, ctx := signedIn(t, nil), admintest.As(t, admin.RoleUsers)
	until := time.Now().Add(time.Hour)
	done, err := f.BlockUser(admin.WithDryRun(ctx), "u1", "local", until)
	if err != nil || !done.Known || done.Ended != (admin.Ended{Sessions: 2, Logins: 1}) || f.Left(t) != everybody || len(f.Changes()) > 0 {
		t.Errorf("a trial: %+v, %v, left %s", done, err, f.Left(t))
	}
	blocked := func(userID string) bool {
		t.Helper()
		is, err := f.Identities.Blocked(ctx, userID, "local")
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if blocked("u1") {
		t.Error("a trial blocks")
	}
	done, err = f.BlockUser(ctx, "u1", "local", until)
	if err != nil || !done.Known || done.Ended != (admin.Ended{Sessions: 2, Logins: 1}) || f.Left(t) != "[s3 s4] [cli-gone s3-shop s4-shop] 1" || !blocked("u1") {
		t.Errorf("%+v, %v, left %s", done, err, f.Left(t))
	}
	// For good, and nobody who has ever signed in.
	done, err = f.BlockUser(ctx, "u9", "local", time.Time{})
	if err != nil || done.Known || done.Until != identity.Forever || !blocked("u9") {
		t.Errorf("a stranger: %+v, %v", done, err)
	}
	if e, err := f.Identity(ctx, "u9", "local"); err != nil || !e.Value.LastLogin.IsZero() || e.Value.Created.IsZero() {
		t.Errorf("a stranger: %+v, %v", e, err)
	}
	for range 2 {
		for _, userID := range []string{"u1", "u9"} {
			if err := errors.Join(f.UnblockUser(admin.WithDryRun(ctx), userID, "local"), f.UnblockUser(ctx, userID, "local")); err != nil || blocked(userID) {
				t.Errorf("unblock %s: %v", userID, err)
			}
		}
	}
	if err := f.UnblockUser(ctx, "u8", "local"); admin.ReasonOf(err) != admin.NotFound {
		t.Errorf("unblock nobody: %v", err)
	}
	changes := slices.DeleteFunc(f.Changes(), func(line string) bool { return !strings.Contains(line, "blocked") })
	want := []string{
		"ci blocked identity local/u1", "ci blocked identity local/u9", "ci unblocked identity local/u1", "ci unblocked identity local/u9",
	}
	if !slices.Equal(changes, want) {
		t.Errorf("changes %q", changes)
	}
	for _, c := range []struct {
		user, connector string
		until           time.Time
		reason          admin.Reason
	}{
		{"", "local", until, admin.Invalid}, {"u1", "", until, admin.Invalid}, {strings.Repeat("u", 1025), "local", until, admin.Invalid},
		{"u1", "local", time.Now().Add(-time.Second), admin.Invalid}, {"u1", "local", identity.Forever.Add(time.Second), admin.Invalid},
	} {
		if _, err := f.BlockUser(ctx, c.user, c.connector, c.until); admin.ReasonOf(err) != c.reason || err == nil {
			t.Errorf("%.10s, %s, %s: %v", c.user, c.connector, c.until, err)
		}
	}
	if _, err := f.WithoutSessions().BlockUser(ctx, "u1", "local", until); admin.ReasonOf(err) != admin.Disabled {
		t.Errorf("without sessions: %v", err)
	}
}

// A block counts before anything has ended, and can be repeated.
func TestBlockAgain(t *testing.T) {
	t.Parallel()
	var broken atomic.Int64
	f := signedIn(t, func(s store.Store) store.Store { return &failing{Store: s, left: &broken} })
	ctx := admintest.As(t, admin.RoleUsers)
	for writes := int64(1); ; writes++ {
		broken.Store(writes)
		_, err := f.BlockUser(ctx, "u1", "local", time.Time{})
		broken.Store(0)
		if err == nil {
			break
		}
		is, failed := f.Identities.Blocked(ctx, "u1", "local")
		if failed != nil || !is && writes > 1 || writes > 100 {
			t.Fatalf("after %d writes: %v, blocked %v, %v", writes, err, is, failed)
		}
	}
	if left := f.Left(t); left != "[s3 s4] [cli-gone s3-shop s4-shop] 1" {
		t.Errorf("left %s", left)
	}
	if !slices.ContainsFunc(f.Events(), func(e event.Event) bool { c, ok := e.(event.Changed); return ok && c.How == event.Blocked }) {
		t.Error("no event")
	}
}
