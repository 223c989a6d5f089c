package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// withSessions is the configuration with sessions, and clients that share them.
const withSessions = configuration + `
- id: shop
  secret: shop-secret
  name: Shop
  redirectURIs: ["https://shop.test/cb"]
  postLogoutRedirectURIs: ["https://shop.test/bye"]
  ssoSharedWith: [till, app]
  refreshTokenLifetime: session
- id: till
  secret: till-secret
  name: Till
  redirectURIs: ["https://till.test/cb"]
  ssoSharedWith: [store]
- id: store
  secret: store-secret
  name: Store
  redirectURIs: ["https://store.test/cb"]
oauth2: {skipApprovalScreen: true, grantTypes: [authorization_code, refresh_token, implicit, 'urn:ietf:params:oauth:grant-type:device_code'], responseTypes: [code, id_token, "id_token token"]}
`

func startSessions(t *testing.T, section string) *server {
	t.Helper()
	return startWith(t, withSessions+"sessions: {"+section+"}\n")
}

// shopLogin signs in to the shop with a password, and returns the tokens.
func (b *browser) shopLogin(pairs ...string) answer {
	b.t.Helper()
	pairs = append([]string{"client_id", "shop", "redirect_uri", "https://shop.test/cb", "connector_id", "local"}, pairs...)
	form := b.visit(authPath(pairs...)).wantStatus(http.StatusFound).location().String()
	return b.redeem("shop", b.post(form, credentials()).wantStatus(http.StatusSeeOther))
}

// redeem redeems the code that an answer brings to a client.
func (b *browser) redeem(client string, a answer) answer {
	b.t.Helper()
	code := a.location().Query().Get("code")
	if code == "" {
		b.t.Fatalf("no code in %s", a.location())
	}
	redirect := a.location()
	redirect.RawQuery = ""
	return b.server.token(codeForm(code, "redirect_uri", redirect.String()), func(r *http.Request) {
		r.SetBasicAuth(client, client+"-secret")
	}).wantStatus(http.StatusOK)
}

func to(client string, pairs ...string) string {
	return authPath(append([]string{"client_id", client, "redirect_uri", "https://" + client + ".test/cb"}, pairs...)...)
}

func TestSessionSignsInOtherClients(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	first := claims(t, b.shopLogin().text("id_token"))
	if first["sid"] == nil {
		t.Fatalf("no sid in %v", first)
	}
	again := claims(t, b.redeem("shop", b.visit(to("shop")).wantStatus(http.StatusSeeOther)).text("id_token"))
	shared := claims(t, b.redeem("till", b.visit(to("till")).wantStatus(http.StatusSeeOther)).text("id_token"))
	for _, c := range []map[string]any{again, shared} {
		if c["sid"] != first["sid"] || c["auth_time"] != first["auth_time"] || c["sub"] != first["sub"] {
			t.Errorf("got %v, want the session of %v", c, first)
		}
	}
	if a := b.visit(to("store")); a.status != http.StatusOK {
		t.Errorf("the till passes on the shop's session: %d %s", a.status, a.header.Get("Location"))
	}
	if a := s.browser().visit(to("shop")); a.status != http.StatusOK {
		t.Errorf("another browser gets in: %d %s", a.status, a.header.Get("Location"))
	}
}

func TestSilentLogin(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	b.shopLogin()
	b.redeem("shop", b.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther))
	b.visit(to("store", "prompt", "none")).wantRedirectError("login_required")
	for _, again := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		if a := b.visit(to("shop", again...)); a.status == http.StatusSeeOther {
			t.Errorf("%v: the user isn't asked: %s", again, a.location())
		}
	}
	b.redeem("shop", b.visit(to("shop", "max_age", "10000")).wantStatus(http.StatusSeeOther))
}

// TestConformanceOfSessions does what the tests of these names in the OpenID Foundation's suite do.
func TestConformanceOfSessions(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]struct {
		pairs   []string
		hint    bool
		asks    bool // the user signs in again
		waiting time.Duration
	}{
		"oidcc-prompt-none-logged-in": {pairs: []string{"prompt", "none"}},
		"oidcc-id-token-hint":         {pairs: []string{"prompt", "none"}, hint: true},
		"oidcc-max-age-10000":         {pairs: []string{"prompt", "none", "max_age", "10000"}},
		"oidcc-max-age-1":             {pairs: []string{"max_age", "1"}, asks: true, waiting: 2 * time.Second},
		"oidcc-prompt-login":          {pairs: []string{"prompt", "login"}, asks: true, waiting: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := startSessions(t, "").browser()
				token := b.shopLogin("max_age", "15000").text("id_token")
				first := claims(t, token)
				time.Sleep(again.waiting)
				pairs := again.pairs
				if again.hint {
					pairs = append(pairs, "id_token_hint", token)
				}
				if !again.asks {
					second := claims(t, b.redeem("shop", b.visit(to("shop", pairs...)).wantStatus(http.StatusSeeOther)).text("id_token"))
					if second["sub"] != first["sub"] || second["auth_time"] != first["auth_time"] || first["auth_time"] == nil {
						t.Errorf("got %v after %v", second, first)
					}
					return
				}
				second := claims(t, b.shopLogin(pairs...).text("id_token"))
				if second["auth_time"].(float64) <= first["auth_time"].(float64) || second["sid"] != first["sid"] {
					t.Errorf("got %v after %v", second, first)
				}
			})
		})
	}
}

func TestLogoutByHint(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	tokens := b.shopLogin("scope", "openid offline_access")
	query := url.Values{
		"id_token_hint": {tokens.text("id_token")}, "post_logout_redirect_uri": {"https://shop.test/bye"}, "state": {"s1"},
	}
	a := b.visit("/dex/logout?" + query.Encode()).wantStatus(http.StatusFound)
	if got := a.location().String(); got != "https://shop.test/bye?state=s1" {
		t.Errorf("leads to %s", got)
	}
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	s.token(refreshForm(tokens.text("refresh_token")), func(r *http.Request) { r.SetBasicAuth("shop", "shop-secret") }).
		wantError(http.StatusBadRequest, "invalid_grant")
	if body := b.visit("/dex/logout").wantStatus(http.StatusOK).body; strings.Contains(body, "Admin User") {
		t.Error("the page knows the user still")
	}
}

func TestSessionsEndUnused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSessions(t, "validIfNotUsedFor: 1h, absoluteLifetime: 24h")
		b := s.browser()
		b.shopLogin()
		b.redeem("shop", b.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther))
		time.Sleep(time.Hour + time.Second)
		b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	})
}
