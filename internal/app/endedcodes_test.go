package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector/local"
	"dex/internal/store"
)

// given is what a browser has got for an application, and what nobody has redeemed yet.
type given struct {
	codes     []url.Values // requests to the token endpoint
	device    string
	refreshed string // a refresh token
}

// give signs in by a form, and lets the till have codes, a device and a refresh token.
func (b *browser) give(login url.Values) given {
	b.t.Helper()
	var g given
	offline := []string{"connector_id", "local", "scope", "openid offline_access"}
	signIn := b.visit(to("till", offline...)).wantStatus(http.StatusFound).location().String()
	g.refreshed = b.redeem("till", b.post(signIn, login).wantStatus(http.StatusSeeOther)).text("refresh_token")
	for _, scope := range []string{"openid", "openid offline_access"} {
		a := b.visit(to("till", "scope", scope)).wantStatus(http.StatusSeeOther).location()
		g.codes = append(g.codes, codeForm(a.Query().Get("code"), "redirect_uri", "https://till.test/cb"))
	}
	begun := b.server.postForm("/dex/device/code", form("scope", "openid offline_access"), asTill).wantStatus(http.StatusOK)
	b.typeCode(begun.text("user_code"), "continue").wantStatus(http.StatusSeeOther)
	g.device = begun.text("device_code")
	return g
}

// wantWorthless asks a server for tokens, with all that somebody was given.
func (s *server) wantWorthless(g given) {
	s.t.Helper()
	for _, code := range g.codes {
		s.token(code, asTill).wantError(http.StatusBadRequest, "invalid_grant")
	}
	s.token(pollForm(g.device), asTill).wantError(http.StatusBadRequest, "invalid_grant")
	s.token(refreshForm(g.refreshed), asTill).wantError(http.StatusBadRequest, "invalid_grant")
}

// Somebody who knows a password that is reset keeps nothing: neither codes that wait to be redeemed, nor sessions and refresh tokens that
// began too late to be found and ended.
func TestResetEndsWhatWasGiven(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	other := &server{t: t, handler: d.replica(t, func(s store.Store) store.Store { return s }).Handler()}
	thief, owner := d.browser(), d.browser()
	janes := form("login", "jane@example.com", "password", "password")
	g := thief.give(janes)
	var late []store.Record
	for _, kind := range []string{"session", "refresh"} {
		found, err := d.store.List(t.Context(), kind, store.Query{})
		if err != nil || len(found) == 0 {
			t.Fatalf("%d of %s, %v", len(found), kind, err)
		}
		late = append(late, found...)
	}

	owner.asksReset("jane@example.com").wantStatus(http.StatusOK)
	owner.post("/dex/reset/password", passwordsForm(t, linkIn(t, d.post.Next(t)), "correct horse")).wantStatus(http.StatusOK)
	for _, r := range late {
		_ = d.store.Delete(t.Context(), r.Kind, r.Key, "")
		r.Revision = ""
		if _, err := d.store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}

	other.wantWorthless(g)
	d.wantWorthless(g)
	thief.visit(to("till", "prompt", "none")).wantRedirectError("login_required")
	if a := thief.visit(to("till")); a.status != http.StatusFound || !strings.Contains(a.location().Path, "/auth/local") {
		t.Errorf("the session leads to %d %s", a.status, a.location())
	}
	if body := thief.visit("/dex").body; strings.Contains(body, `id="change-password"`) {
		t.Error("the account page is open")
	}
	owner.give(form("login", "jane@example.com", "password", "correct horse"))
}

// A user who changes their password keeps the session in which they do, and what it gives from then on.
func TestPasswordChangeEndsWhatWasGiven(t *testing.T) {
	t.Parallel()
	o := startOwned(t, "")
	thief, owner := o.browser(), o.browser()
	anns := form("login", "ann@example.com", "password", "the first one")
	stolen := thief.give(anns)
	own := owner.give(anns)
	changed := form("current", "the first one", "new", "quite another one", "again", "quite another one")
	owner.post("/dex/account/password", changed).wantStatus(http.StatusSeeOther)
	o.wantWorthless(stolen)
	o.wantWorthless(own)
	if tokens := owner.redeem("till", owner.visit(to("till", "prompt", "none", "scope", "openid offline_access"))); true {
		o.token(refreshForm(tokens.text("refresh_token")), asTill).wantStatus(http.StatusOK)
	}
}

// What operators end, or block and allow again, gives nothing any more.
func TestOperatorsEndWhatWasGiven(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "")
	const jane = "08a8684b-db88-4b73-90a9-3cd1661f5466"
	for name, end := range map[string]func(){
		"sessions and logins": func() {
			askREST(t, "DELETE", a.rest, "/sessions?userID="+jane+"&connectorID=local&logins=true", "").wantStatus(http.StatusOK)
		},
		"sessions and logins at any connector": func() {
			askREST(t, "DELETE", a.rest, "/sessions?userID="+jane+"&logins=true", "").wantStatus(http.StatusOK)
		},
		"a block": func() {
			askREST(t, "PUT", a.rest, "/identities/local/"+jane+"/block", "{}").wantStatus(http.StatusOK)
			askREST(t, "DELETE", a.rest, "/identities/local/"+jane+"/block", "").wantStatus(http.StatusNoContent)
		},
	} {
		g := a.browser().give(credentials())
		end()
		t.Log(name)
		a.wantWorthless(g)
	}
	// The end of a session alone leaves devices and refresh tokens of other sessions.
	g := a.browser().give(credentials())
	askREST(t, "DELETE", a.rest, "/sessions?client=till", "").wantStatus(http.StatusOK)
	for _, code := range g.codes {
		a.token(code, asTill).wantError(http.StatusBadRequest, "invalid_grant")
	}
}

// Users who are deleted get nothing any more for what they were given, with sessions or without.
func TestDeletedUsersGetNothing(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "")
	for name, path := range map[string]string{"purged": "/identities/local/new", "deleted": "/users/new@example.com"} {
		askREST(t, "POST", a.rest, "/users", `{"email":"new@example.com","userID":"new","password":"a password"}`).wantStatus(http.StatusCreated)
		g := a.browser().give(form("login", "new@example.com", "password", "a password"))
		askREST(t, "DELETE", a.rest, path, "").wantStatus(http.StatusNoContent)
		t.Log(name)
		a.wantWorthless(g)
	}
	d := openDesk(t)
	core := d.open(t, withSessions, func(s store.Store) store.Store { return s })
	alone := &server{t: t, handler: core.Handler()}
	b := alone.browser()
	path := b.visit(to("till", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	code := b.post(path, form("login", "sam", "password", "password")).wantStatus(http.StatusSeeOther).location().Query().Get("code")
	if err := d.users.Delete(t.Context(), local.Key("sam"), ""); err != nil {
		t.Fatal(err)
	}
	alone.token(codeForm(code, "redirect_uri", "https://till.test/cb"), asTill).wantError(http.StatusBadRequest, "invalid_grant")
}

// Without sessions too, a reset leaves nothing.
func TestResetWithoutSessionsEndsWhatWasGiven(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	yaml := strings.Replace(withSessions, "{skipApprovalScreen: true, grantTypes: [", "{skipApprovalScreen: true, passwordConnector: local, grantTypes: [password, ", 1)
	core := d.open(t, yaml+"localUsers: {passwordReset: true, passwordHash: bcrypt}\n", func(s store.Store) store.Store { return s })
	sendMails(t, core)
	alone := &server{t: t, handler: core.Handler()}
	thief, owner := alone.browser(), alone.browser()
	path := thief.visit(to("till", "connector_id", "local", "scope", "openid offline_access")).wantStatus(http.StatusFound).location().String()
	code := thief.post(path, form("login", "jane@example.com", "password", "password")).wantStatus(http.StatusSeeOther).location().Query().Get("code")
	owner.asksReset("jane@example.com").wantStatus(http.StatusOK)
	owner.post("/dex/reset/password", passwordsForm(t, linkIn(t, d.post.Next(t)), "correct horse")).wantStatus(http.StatusOK)
	alone.token(codeForm(code, "redirect_uri", "https://till.test/cb"), asTill).wantError(http.StatusBadRequest, "invalid_grant")

	anew := form("grant_type", "password", "scope", "openid offline_access", "username", "jane@example.com", "password", "correct horse")
	refresh := alone.token(anew, asTill).wantStatus(http.StatusOK).text("refresh_token")
	alone.token(refreshForm(refresh), asTill).wantStatus(http.StatusOK)
}

// Whoever has used the account of somebody who changes their password doesn't guess from a known browser any more; the owner goes on in the
// browser in which they have changed it.
func TestPasswordChangeEndsKnownBrowsers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := startOwned(t, "")
		s := o.at(home)
		owner, former, stranger := s.browser(), s.browser(), s.browser()
		signIn := func(b *browser, password string) answer {
			t.Helper()
			path := b.visit(to("till", "connector_id", "local", "prompt", "login")).wantStatus(http.StatusFound).location().String()
			return b.post(path, form("login", "ann@example.com", "password", password))
		}
		for _, b := range []*browser{owner, former} {
			b.redeem("till", signIn(b, "the first one").wantStatus(http.StatusSeeOther))
		}
		for range 10 {
			signIn(stranger, "wrong").wantStatus(http.StatusUnauthorized)
		}
		signIn(stranger, "the first one").wantStatus(http.StatusTooManyRequests)
		signIn(former, "the first one").wantStatus(http.StatusSeeOther)
		time.Sleep(10 * time.Second) // the current password is guessed as by anybody
		changed := form("current", "the first one", "new", "quite another one", "again", "quite another one")
		owner.post("/dex/account/password", changed).wantStatus(http.StatusSeeOther)
		signIn(stranger, "wrong").wantStatus(http.StatusUnauthorized)
		signIn(former, "quite another one").wantStatus(http.StatusTooManyRequests)
		signIn(owner, "quite another one").wantStatus(http.StatusSeeOther)
	})
}
