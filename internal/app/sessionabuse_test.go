package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// askingSessions is startSessions where users are asked for consent.
func askingSessions(t *testing.T, section string) *server {
	t.Helper()
	return startWith(t, strings.Replace(withSessions, "skipApprovalScreen: true", "skipApprovalScreen: false", 1)+"sessions: {"+section+"}\n")
}

// copyOf returns a browser with the cookies that another one has now.
func (b *browser) copyOf() *browser {
	b.t.Helper()
	other := b.server.browser()
	at := &url.URL{Scheme: "http", Host: "dex.test", Path: "/dex/"}
	other.jar.SetCookies(at, b.jar.Cookies(at))
	return other
}

// An answer to the consent page that is given again after a logout signs nobody in.
func TestConsentAfterLogout(t *testing.T) {
	t.Parallel()
	s := askingSessions(t, "")
	b := s.browser()
	form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	before := b.copyOf()
	tokens := b.redeem("shop", b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther))
	b.post("/dex/logout", url.Values{"id_token_hint": {tokens.text("id_token")}}).wantStatus(http.StatusOK)
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	for name, again := range map[string]*browser{"the same browser": b, "a browser with its old cookies": before} {
		again.post(consent, url.Values{"approval": {"approve"}})
		again.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
		if t.Failed() {
			t.Fatalf("%s is signed in again", name)
		}
	}
}
