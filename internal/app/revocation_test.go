package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// revoke gives a token back, as the client app unless it says otherwise.
func (s *server) revoke(token string, edit ...func(*http.Request)) answer {
	s.t.Helper()
	return s.postForm("/dex/token/revoke", form("token", token), edit...)
}

// wantDead checks that access tokens are refused wherever they can be shown.
func (s *server) wantDead(tokens ...string) {
	s.t.Helper()
	for i, token := range tokens {
		if a := s.bearer(token); a.status != http.StatusUnauthorized || a.text("error") != "invalid_token" {
			s.t.Errorf("token %d: UserInfo answers %d %s", i, a.status, a.body)
		}
		if a := s.introspect(token).wantStatus(200); a.body != `{"active":false}` {
			s.t.Errorf("token %d: introspection answers %s", i, a.body)
		}
	}
}

// wantAlive checks that access tokens are accepted.
func (s *server) wantAlive(tokens ...string) {
	s.t.Helper()
	for i, token := range tokens {
		if a := s.bearer(token); a.status != http.StatusOK {
			s.t.Errorf("token %d: UserInfo answers %d %s", i, a.status, a.body)
		}
		if a := s.introspect(token).wantStatus(200); a.json()["active"] != true {
			s.t.Errorf("token %d: introspection answers %s", i, a.body)
		}
	}
}

var asOther = as("other", "o+%ther secret")

func TestDepartureRevocation(t *testing.T) {
	s := start(t, "")
	for name, test := range map[string]func(*testing.T, *server){
		"D-401 access tokens":                testRevokeAccessToken,
		"D-401 refresh tokens":               testRevokeRefreshToken,
		"D-401 what is revoked already":      testRevokeNothing,
		"D-401 whose token it is":            testRevokeForeign,
		"D-401 requests":                     testRevocationRequests,
		"D-612 a replayed code ends it all":  testReplayEndsTokens,
		"D-611 a reused refresh token, too":  testReuseEndsTokens,
		"D-401 refresh tokens of all grants": testRevokeEveryGrant,
	} {
		t.Run(name, func(t *testing.T) { test(t, &server{t: t, handler: s.handler}) })
	}
	t.Run("D-401 tokens of upstream's", testRevokeUpstreams)
	t.Run("D-401 until it expires", func(t *testing.T) { synctest.Test(t, testRevokedUntilItExpires) })
}

func testRevokeAccessToken(t *testing.T, s *server) {
	a := s.tokens()
	next := s.token(refreshForm(a.text("refresh_token"))).wantStatus(200)
	s.wantAlive(a.text("access_token"), next.text("access_token"))
	done := s.revoke(a.text("access_token")).wantStatus(200)
	if done.body != "" || done.header.Get("Cache-Control") != "no-store" {
		t.Errorf("answer %v %q", done.header, done.body)
	}
	s.wantDead(a.text("access_token"))
	s.wantAlive(next.text("access_token")) // the others of the login go on
	s.bearer(a.text("id_token")).wantStatus(200)
	s.revoke(a.text("id_token")).wantStatus(200)
	s.bearer(a.text("id_token")).wantError(401, "invalid_token")
	s.token(refreshForm(next.text("refresh_token"))).wantStatus(200)
}

func testRevokeRefreshToken(t *testing.T, s *server) {
	for _, which := range []string{"the current one", "the one before"} {
		first, another := s.tokens(), s.tokens()
		second := s.token(refreshForm(first.text("refresh_token"))).wantStatus(200)
		token := second.text("refresh_token")
		if which == "the one before" {
			token = first.text("refresh_token")
		}
		s.revoke(token).wantStatus(200)
		s.token(refreshForm(first.text("refresh_token"))).wantError(400, "invalid_grant")
		s.token(refreshForm(second.text("refresh_token"))).wantError(400, "invalid_grant")
		s.wantDead(first.text("access_token"), second.text("access_token"))
		s.bearer(first.text("id_token")).wantError(401, "invalid_token")
		s.introspect(second.text("refresh_token")).wantInactive()

		s.wantAlive(another.text("access_token")) // the user's other logins go on
		s.token(refreshForm(another.text("refresh_token"))).wantStatus(200)
	}
}

func testRevokeNothing(t *testing.T, s *server) {
	a := s.tokens()
	for _, token := range []string{a.text("access_token"), a.text("refresh_token")} {
		for range 3 {
			s.revoke(token).wantStatus(200)
		}
	}
	good := s.tokens().text("access_token")
	for _, token := range []string{
		"x", "a.b.c", "CgR0ZXN0EgNiYXI", strings.Repeat("x", 5000), "\x00", good + "x", good[:len(good)-8], s.code(),
	} {
		s.revoke(token).wantStatus(200)
	}
	s.wantAlive(good)
}

func testRevokeForeign(t *testing.T, s *server) {
	a := s.tokens("scope", "openid offline_access audience:server:client_id:other")
	for _, member := range []string{"access_token", "id_token", "refresh_token"} {
		s.revoke(a.text(member), asOther).wantError(400, "invalid_grant") // an audience may read it, and not revoke it
		s.postForm("/dex/token/revoke", form("token", a.text(member), "client_id", "cli"), noCredentials).
			wantError(400, "invalid_grant")
	}
	s.wantAlive(a.text("access_token"))
	s.bearer(a.text("id_token")).wantStatus(200)
	s.token(refreshForm(a.text("refresh_token"))).wantStatus(200)
}

func testRevocationRequests(t *testing.T, s *server) {
	token := s.tokens().text("access_token")
	s.postForm("/dex/token/revoke", form()).wantError(400, "invalid_request")
	s.postForm("/dex/token/revoke", form("token", "")).wantError(400, "invalid_request")
	twice := form("token", token)
	twice.Add("token", token)
	s.postForm("/dex/token/revoke", twice).wantError(400, "invalid_request")
	s.revoke(token, as("app", "wrong")).wantError(401, "invalid_client")
	s.revoke(token, noCredentials).wantError(401, "invalid_client")
	s.postForm("/dex/token/revoke", form("token", token, "client_id", "app"), noCredentials).wantError(401, "invalid_client")
	s.revoke(token, as("nobody", "x")).wantError(401, "invalid_client")
	get := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/token/revoke?token="+token, nil)
	asApp(get)
	if a := s.do(get); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", a.status, a.header)
	}
	s.wantAlive(token)
	// Credentials may come in the body, and a wrong hint does no harm.
	s.postForm("/dex/token/revoke", form("token", token, "token_type_hint", "refresh_token",
		"client_id", "app", "client_secret", "app-secret"), noCredentials).wantStatus(200)
	s.wantDead(token)
	if got := s.get("/dex/.well-known/openid-configuration").text("revocation_endpoint"); got != issuer+"/token/revoke" {
		t.Errorf("the endpoint is %q", got)
	}

	public := []string{"client_id", "cli", "redirect_uri", "http://127.0.0.1:1/cb"} // needs no secret for its own
	a := s.token(codeForm(s.code(public...), public...), noCredentials).wantStatus(200)
	s.postForm("/dex/token/revoke", form("token", a.text("refresh_token"), "client_id", "cli"), noCredentials).wantStatus(200)
	s.bearer(a.text("access_token")).wantError(401, "invalid_token")
	s.token(refreshForm(a.text("refresh_token"), "client_id", "cli"), noCredentials).wantError(400, "invalid_grant")
}

func testRevokeEveryGrant(t *testing.T, _ *server) {
	s := allGrants(t, "")
	for name, a := range map[string]answer{
		"password": s.token(ownerForm("scope", "openid offline_access")).wantStatus(200),
		"device":   s.token(pollForm(s.approvedDevice())).wantStatus(200),
	} {
		s.wantAlive(a.text("access_token"))
		s.revoke(a.text("refresh_token")).wantStatus(200)
		s.wantDead(a.text("access_token"))
		if got := s.token(refreshForm(a.text("refresh_token"))); got.status != 400 {
			t.Errorf("%s: the refresh token lives: %s", name, got.body)
		}
	}
	for name, form := range map[string]func() answer{
		"client credentials": func() answer { return s.token(robotForm("scope", "openid")) },
		"exchange":           func() answer { return s.token(exchangeForm("scope", "openid")) },
	} {
		one, another := form().wantStatus(200).text("access_token"), form().wantStatus(200).text("access_token")
		s.revoke(one).wantStatus(200)
		s.wantDead(one)
		if a := s.bearer(another); a.status != 200 {
			t.Errorf("%s: another token died: %s", name, a.body)
		}
	}
}

// What a code gave, and what came with it through the browser, dies when it is used again.
func testReplayEndsTokens(t *testing.T, _ *server) {
	s := start(t, allResponses)
	for _, scope := range []string{"openid", "openid offline_access"} {
		front := s.browser().throughMock("response_type", "code id_token token", "scope", scope).params()
		another := s.token(codeForm(s.code0())).wantStatus(200)
		back := s.token(codeForm(front.Get("code"))).wantStatus(200)
		s.wantAlive(front.Get("access_token"), back.text("access_token"))
		s.token(codeForm(front.Get("code"))).wantError(400, "invalid_grant")
		s.wantDead(front.Get("access_token"), back.text("access_token"))
		s.bearer(front.Get("id_token")).wantError(401, "invalid_token")
		s.bearer(back.text("id_token")).wantError(401, "invalid_token")
		s.wantAlive(another.text("access_token"))
	}
}

// code0 signs in where nobody is asked for consent.
func (s *server) code0() string {
	s.t.Helper()
	return s.browser().throughMock().params().Get("code")
}

func testReuseEndsTokens(_ *testing.T, s *server) {
	s = start(s.t.(*testing.T), "expiry: {refreshTokens: {reuseInterval: 0s}}\n")
	first, another := s.tokens(), s.tokens()
	second := s.token(refreshForm(first.text("refresh_token"))).wantStatus(200)
	s.wantAlive(first.text("access_token"), second.text("access_token"))
	s.token(refreshForm(first.text("refresh_token"))).wantError(400, "invalid_grant")
	s.wantDead(first.text("access_token"), second.text("access_token"))
	s.bearer(second.text("id_token")).wantError(401, "invalid_token")
	s.wantAlive(another.text("access_token"))
}

// Upstream's tokens have no jti in old releases, and one that says nothing of the login in new ones.
func testRevokeUpstreams(t *testing.T) {
	s, kept := startStored(t, configuration)
	key, before := keyset(t, kept).Current, time.Now().Add(-time.Minute).Unix()
	issue := func(more map[string]any) string {
		c := ownClaims()
		for name, value := range more {
			c[name] = value
		}
		return signWith(t, key, c)
	}
	for name, c := range map[string]struct{ one, another map[string]any }{
		"without jti": {nil, map[string]any{"iat": before}},
		"with jti":    {map[string]any{"jti": uuid.NewString()}, map[string]any{"jti": uuid.NewString()}},
		"odd jti":     {map[string]any{"jti": "1"}, map[string]any{"jti": "2"}},
		"of two audiences": {
			map[string]any{"aud": []string{"other", "app"}, "azp": "app", "iat": before - 1},
			map[string]any{"aud": []string{"other", "app"}, "azp": "other", "iat": before - 1},
		},
	} {
		one, another := issue(c.one), issue(c.another)
		s.bearer(one).wantStatus(200)
		s.revoke(one).wantStatus(200)
		s.revoke(another, as("strict", "s")).wantError(400, "invalid_grant") // whose it isn't
		if a := s.bearer(one); a.status != 401 {
			t.Errorf("%s: the token lives: %d %s", name, a.status, a.body)
		}
		if a := s.bearer(another); a.status != 200 {
			t.Errorf("%s: another token died: %d %s", name, a.status, a.body)
		}
	}
}

// A revoked token stays dead until it would have expired, also if it was made to live longer than tokens do now.
func testRevokedUntilItExpires(t *testing.T) {
	const es256 = "signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 1000h}}\n"
	kept := memory.New()
	with := func(lifetime string) *server {
		return startOn(t, configuration+es256+"expiry: {idTokens: "+lifetime+"}\n", func(store.Store) store.Store { return kept })
	}
	token := with("10h").tokens().text("access_token")
	s := with("1h")
	s.revoke(token).wantStatus(200)
	later := s.tokens()
	s.revoke(later.text("refresh_token")).wantStatus(200)
	for range 9 {
		s.wantDead(token, later.text("access_token"))
		time.Sleep(time.Hour)
	}
	s.wantDead(token)
	time.Sleep(2 * time.Hour)
	if left, err := kept.List(t.Context(), "revoked", store.Query{}); err != nil || len(left) != 0 {
		t.Errorf("%d records are left, error %v", len(left), err)
	}
}

// A storage that fails at any one operation: who asks for a revocation learns of it and can ask again, and no token counts
// as alive because nobody could look.
func TestFaultsOfRevocation(t *testing.T) {
	for _, member := range []string{"access_token", "refresh_token"} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s late=%t", member, late), func(t *testing.T) {
				for n := 1; revokeWithFault(t, member, n, late); n++ {
					if n > 100 {
						t.Fatal("it never ends")
					}
				}
			})
		}
	}
}

// revokeWithFault revokes while the nth operation fails, and reports whether there were so many.
func revokeWithFault(t *testing.T, member string, n int, late bool) bool {
	t.Helper()
	var f *faulty
	s := startOn(t, configuration, func(inner store.Store) store.Store {
		f = &faulty{Store: inner, late: late}
		return f
	})
	a := s.tokens()
	f.failAt = n
	got := s.revoke(a.text(member))
	if !f.failed {
		got.wantStatus(200)
		if n < 3 {
			t.Errorf("a revocation took only %d operations: were they counted?", n-1)
		}
		return false
	}
	if got.wantError(500, "server_error"); strings.Contains(got.body, "fault") {
		t.Errorf("operation %d: the answer tells of the storage: %s", n, got.body)
	}
	s.revoke(a.text(member)).wantStatus(200)
	s.wantDead(a.text("access_token"))
	if member == "refresh_token" {
		s.token(refreshForm(a.text("refresh_token"))).wantError(400, "invalid_grant")
	}
	return true
}

func TestFaultsOfTokenReaders(t *testing.T) {
	var f *faulty
	s := startOn(t, configuration, func(inner store.Store) store.Store {
		f = &faulty{Store: inner}
		return f
	})
	a := s.tokens()
	for name, ask := range map[string]func() answer{
		"access token":  func() answer { return s.introspect(a.text("access_token")) },
		"refresh token": func() answer { return s.introspect(a.text("refresh_token")) },
		"UserInfo":      func() answer { return s.bearer(a.text("access_token")) },
	} {
		f.failAt, f.failed = 1, false
		got := ask()
		if !f.failed || got.status != 500 || got.text("error") != "server_error" || strings.Contains(got.body, "active") {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(ask().wantStatus(200).body), &members); err != nil || members["sub"] == nil {
			t.Errorf("%s: later it gets %v", name, members)
		}
	}
}
