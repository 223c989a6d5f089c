package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/factor"
	"dex/internal/identity"
	"dex/internal/store"
)

// administrator is the user whom credentials signs in.
const administrator = "08a8684b-db88-4b73-90a9-3cd1661f5466"

// An operator unlocks the codes of a user, and resets what they have set up: the next login sets up another app.
func TestOperatorHelpsWithFactors(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "mfa: {authenticators: [{id: otp, type: TOTP, config: {}}], defaultMFAChain: [otp]}\n")
	const path = "/identities/local/" + administrator + "/factors"
	first := a.browser()
	secret, end, _ := first.setUpApp(first.typePassword("shop"))
	first.redeem("shop", end)
	askREST(t, "GET", a.rest, path, "").wantStatus(http.StatusOK).wantBody(`"id":"totp:otp"`, `"recoveryCodes":10`)

	// A hundred wrong codes take hours.
	_, err := store.In(a.store, factor.Kind).Update(t.Context(), identity.Key(administrator, "local"), func(r *factor.Record) error {
		r.Guesses.Wrong = 100
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	second := a.browser()
	at := second.typePassword("shop").path()
	right := url.Values{"totp": {oneTimeCode(t, secret, 1)}}
	if locked := second.post(at, right); locked.status < 400 {
		t.Fatalf("a code is accepted while codes are locked: %d", locked.status)
	}
	askREST(t, "GET", a.rest, path, "").wantStatus(http.StatusOK).wantBody(`"locked":true`)
	askREST(t, "POST", a.rest, path+"/unlock", "").wantStatus(http.StatusNoContent)
	second.redeem("shop", second.post(at, right).wantStatus(http.StatusSeeOther))

	if resp, err := a.dex.ResetMFA(t.Context(), &api.ResetMFAReq{UserId: administrator, ConnectorId: "local"}); err != nil || resp.GetNotFound() {
		t.Fatal(resp, err)
	}
	third := a.browser()
	again, end, codes := third.setUpApp(third.typePassword("shop"))
	third.redeem("shop", end)
	if again == secret || len(codes) != 10 {
		t.Errorf("the app has the same secret, or there are %d recovery codes", len(codes))
	}
}

// wantBody checks that parts of the body are there.
func (a answer) wantBody(parts ...string) {
	a.t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			a.t.Errorf("no %s in %s", part, a.body)
		}
	}
}

// Who is blocked is refused wherever they, or an application with their tokens, come.
func TestOperatorBlocks(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "")
	asTill := as("till", "till-secret")
	signIn := func(scope string) (*browser, answer) {
		b := a.browser()
		return b, b.redeem("till", b.typePassword("till", "scope", scope))
	}
	b, plain := signIn("openid")
	_, offline := signIn("openid offline_access")
	late := a.browser()
	code := late.typePassword("till").location().Query().Get("code")
	access, refresh, other := plain.text("access_token"), offline.text("refresh_token"), offline.text("access_token")
	alive := func(token string, want bool) { // UserInfo takes no refresh tokens
		t.Helper()
		info := token == refresh && want || a.bearer(token).status == http.StatusOK
		asked := a.introspect(token, asTill).wantStatus(http.StatusOK).json()["active"] == true
		if info != want || asked != want {
			t.Errorf("UserInfo %v, introspection %v, want %v", info, asked, want)
		}
	}
	alive(access, true)
	alive(other, true)
	alive(refresh, true)

	done, err := a.own.BlockUser(t.Context(), &dexv1.BlockUserRequest{UserId: administrator, ConnectorId: "local"})
	if err != nil || !done.GetKnown() || done.GetSessions() != 3 {
		t.Fatal(done, err)
	}
	alive(access, false)
	alive(other, false)
	alive(refresh, false)
	redirect := []string{"redirect_uri", "https://till.test/cb"}
	a.token(codeForm(code, redirect...), asTill).wantError(http.StatusBadRequest, "invalid_grant")
	a.token(form("grant_type", "refresh_token", "refresh_token", refresh), asTill).wantError(http.StatusBadRequest, "invalid_grant")
	b.visit(to("till", "prompt", "none")).wantRedirectError("login_required") // the session has ended
	stranger := a.browser()
	at := stranger.visit(to("till", "connector_id", "local")).wantStatus(http.StatusFound).path()
	stranger.post(at, credentials()).wantStatus(http.StatusForbidden)
	a.revoke(access, asTill).wantStatus(http.StatusOK) // which must outlive the block

	if _, err := a.own.UnblockUser(t.Context(), &dexv1.UnblockUserRequest{UserId: administrator, ConnectorId: "local"}); err != nil {
		t.Fatal(err)
	}
	alive(access, false)
	alive(other, false)
	a.token(form("grant_type", "refresh_token", "refresh_token", refresh), asTill).wantError(http.StatusBadRequest, "invalid_grant")
	_, again := signIn("openid")
	alive(again.text("access_token"), true)
}

func TestOperatorInvites(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "localUsers: {invitations: true}\n")
	askREST(t, "POST", a.rest, "/users", `{"email":"new@example.com","userID":"new","password":"correct horse battery"}`).wantStatus(http.StatusCreated)
	made := askREST(t, "POST", a.rest, "/users/new@example.com/invitation", "").wantStatus(http.StatusOK)
	link, err := url.Parse(made.text("url"))
	if err != nil || link.Path != "/dex/invitation" {
		t.Fatalf("link %s, %v", made.body, err)
	}
	a.browser().visit(link.RequestURI()).wantStatus(http.StatusOK)
	askREST(t, "POST", a.rest, "/users/admin@example.com/invitation", "").wantStatus(http.StatusConflict) // in the configuration
	askREST(t, "PUT", a.rest, "/identities/local/new/block", "{}").wantStatus(http.StatusOK)
	askREST(t, "POST", a.rest, "/users/new@example.com/invitation", "").wantStatus(http.StatusUnprocessableEntity)
	if at := a.browser().visit(link.RequestURI()); at.status < 400 {
		t.Errorf("the invitation of a blocked user: %d", at.status)
	}
}
