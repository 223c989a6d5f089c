package app_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/client"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// introspect asks about a token, as the client app unless it says otherwise.
func (s *server) introspect(token string, edit ...func(*http.Request)) answer {
	s.t.Helper()
	return s.postForm("/dex/token/introspect", form("token", token), edit...)
}

// wantInactive checks that an answer says only that a token is inactive.
func (a answer) wantInactive() {
	a.t.Helper()
	if a.status != http.StatusOK || a.body != `{"active":false}` {
		a.t.Errorf("got %d %s, want an inactive token", a.status, a.body)
	}
}

// wantActive checks members of the answer about a token that is alive; nil means that one is absent.
func (a answer) wantActive(members map[string]any) {
	a.t.Helper()
	a.wantStatus(http.StatusOK)
	got := a.json()
	if got["active"] != true {
		a.t.Errorf("got %s, want an active token", a.body)
	}
	for name, want := range members {
		if !cmp.Equal(got[name], want) {
			a.t.Errorf("%s is %v, want %v, in %s", name, got[name], want, a.body)
		}
	}
}

const openIntrospection = "oauth2: {compatibility: {introspection: upstream}}\n"

func TestDepartureIntrospection(t *testing.T) {
	s, upstream := start(t, ""), start(t, openIntrospection)
	for name, test := range map[string]func(*testing.T, *server, *server){
		"D-701 who may ask":            testWhoMayIntrospect,
		"D-702 ID tokens":              testIntrospectIDToken,
		"D-704 no caching":             testIntrospectionIsNotCached,
		"D-707 scope and jti":          testIntrospectionMembers,
		"D-708 about whose tokens":     testWhoseTokens,
		"D-709 methods":                testIntrospectionMethods,
		"refresh tokens":               testIntrospectRefreshToken,
		"claims of refresh tokens":     testClaimsOfRefreshTokens,
		"tokens without scopes":        testIntrospectWithoutScopes,
		"what is no token, or no more": testIntrospectNothing,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, &server{t: t, handler: s.handler}, &server{t: t, handler: upstream.handler})
		})
	}
	t.Run("D-703 deleted clients", testIntrospectDeletedClient)
	t.Run("D-705 end of refresh tokens", func(t *testing.T) { synctest.Test(t, testEndOfRefreshTokens) })
	t.Run("time", func(t *testing.T) { synctest.Test(t, testIntrospectionTime) })
	for _, algorithm := range []string{"RS256", "ES256"} {
		t.Run("B-04 "+algorithm, func(t *testing.T) { testAlgorithm(t, algorithm) })
	}
}

func testWhoMayIntrospect(_ *testing.T, s, upstream *server) {
	token := s.tokens().text("access_token")
	s.introspect(token, noCredentials).wantError(401, "invalid_client")
	s.introspect(token, as("app", "wrong")).wantError(401, "invalid_client")
	s.introspect(token, as("nobody", "x")).wantError(401, "invalid_client")
	public := form("token", token, "client_id", "cli")
	s.postForm("/dex/token/introspect", public, noCredentials).wantError(401, "invalid_client")
	inBody := form("token", token, "client_id", "app", "client_secret", "app-secret")
	s.postForm("/dex/token/introspect", inBody, noCredentials).wantActive(nil)

	a := upstream.tokens()
	for _, edit := range []func(*http.Request){noCredentials, as("app", "wrong"), asOther} {
		upstream.introspect(a.text("access_token"), edit).wantActive(map[string]any{"client_id": "app", "token_use": "access_token"})
		upstream.introspect(a.text("refresh_token"), edit).wantActive(map[string]any{"client_id": "app", "token_use": "refresh_token"})
	}
}

func testIntrospectIDToken(_ *testing.T, s, upstream *server) {
	s.introspect(s.tokens().text("id_token")).wantInactive()
	upstream.introspect(upstream.tokens().text("id_token"), noCredentials).
		wantActive(map[string]any{"token_use": "access_token", "client_id": "app", "scope": nil})
}

func testIntrospectionIsNotCached(t *testing.T, s, upstream *server) {
	for _, a := range []answer{
		s.introspect(s.tokens().text("access_token")), s.introspect(s.tokens().text("refresh_token")), s.introspect("x"),
		upstream.introspect(upstream.tokens().text("access_token")), upstream.introspect("x"),
	} {
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" ||
			a.header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v of %s", a.header, a.body)
		}
	}
}

var memberNames = regexp.MustCompile(`[{,]"([a-z_]+)":`)

// wantOrder checks that members come in the order in which they always have.
func wantOrder(t *testing.T, body, want string) {
	t.Helper()
	var names []string
	for _, name := range memberNames.FindAllStringSubmatch(body, -1) {
		names = append(names, name[1])
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("members %s, want %s", got, want)
	}
}

func testIntrospectionMembers(t *testing.T, s, _ *server) {
	a := s.tokens("scope", "openid email profile groups federated:id offline_access audience:server:client_id:other")
	said := claims(t, a.text("access_token"))
	access := s.introspect(a.text("access_token"))
	access.wantActive(map[string]any{
		"scope":     "openid email profile groups federated:id offline_access audience:server:client_id:other",
		"client_id": "app", "sub": said["sub"], "exp": said["exp"], "iat": said["iat"], "nbf": said["iat"], "jti": said["jti"],
		"aud": []any{"other", "app"}, "iss": issuer, "token_type": "Bearer", "token_use": "access_token", "username": nil,
		"ext": map[string]any{
			"azp": "app", "email": "kilgore@kilgore.trout", "email_verified": true, "groups": []any{"authors"}, "name": "Kilgore Trout",
			"federated_claims": map[string]any{"connector_id": "mock", "user_id": "0-385-28089-0"},
		},
	})
	wantOrder(t, access.body, "active scope client_id sub exp iat nbf aud iss jti token_type token_use auth_time ext "+
		"azp email email_verified groups name federated_claims connector_id user_id")
	if said["jti"] == nil {
		t.Error("the token has no jti")
	}
	refresh := s.introspect(a.text("refresh_token"))
	wantOrder(t, refresh.body, "active scope client_id sub iat nbf aud iss token_type token_use auth_time ext "+
		"email email_verified groups name federated_claims connector_id user_id")
	one := s.tokens("scope", "openid")
	s.introspect(one.text("access_token")).wantActive(map[string]any{"aud": "app", "scope": "openid", "ext": map[string]any{}})
}

func testWhoseTokens(_ *testing.T, s, _ *server) {
	own := s.tokens()
	s.introspect(own.text("access_token")).wantActive(nil)
	s.introspect(own.text("access_token"), asOther).wantInactive()
	s.introspect(own.text("refresh_token"), asOther).wantInactive()
	shared := s.tokens("scope", "openid offline_access audience:server:client_id:other")
	s.introspect(shared.text("access_token"), asOther).wantActive(map[string]any{"client_id": "app"})
	s.introspect(shared.text("access_token"), as("strict", "s")).wantInactive()
	s.introspect(shared.text("refresh_token"), asOther).wantInactive()
	s.introspect(shared.text("refresh_token")).wantActive(nil) // nobody's question has harmed it
}

func testIntrospectionMethods(t *testing.T, s, upstream *server) {
	token := s.tokens().text("access_token")
	for _, there := range []*server{s, upstream} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			r := httptest.NewRequest(method, "http://dex.test/dex/token/introspect?token="+token, nil)
			asApp(r)
			if a := there.do(r); a.status != 405 || a.header.Get("Allow") != "POST" {
				t.Errorf("%s: %d %v", method, a.status, a.header)
			}
		}
		there.postForm("/dex/token/introspect", form()).wantError(400, "invalid_request")
		there.postForm("/dex/token/introspect?token="+token, form()).wantError(400, "invalid_request")
	}
}

func testIntrospectRefreshToken(t *testing.T, s, _ *server) {
	a := s.tokens("scope", "openid email offline_access")
	want := map[string]any{
		"scope": "openid email offline_access", "client_id": "app", "sub": "Cg0wLTM4NS0yODA4OS0wEgRtb2Nr", "aud": "app",
		"iss": issuer, "token_type": "Bearer", "token_use": "refresh_token", "exp": nil, "jti": nil,
	}
	first := s.introspect(a.text("refresh_token"))
	first.wantActive(want)
	if first.json()["iat"] == nil || first.json()["iat"] != first.json()["nbf"] {
		t.Errorf("answer %s", first.body)
	}
	// A wrong hint does no harm.
	s.postForm("/dex/token/introspect", form("token", a.text("refresh_token"), "token_type_hint", "access_token")).wantActive(want)
	next := s.token(refreshForm(a.text("refresh_token"), "scope", "openid")).wantStatus(200)
	s.introspect(next.text("refresh_token")).wantActive(want)
	s.introspect(next.text("access_token")).wantActive(map[string]any{"scope": "openid"})
	s.introspect(a.text("refresh_token")).wantActive(want) // may still be repeated
}

// A refresh token's answer says of its user what its access tokens say.
func testClaimsOfRefreshTokens(t *testing.T, _, _ *server) {
	s := start(t, `tokenPolicy: {claims: [{key: "'department'", value: "'hr'"}, {key: "'preferred_username'", value: "'kt'"},
  {key: "'groups'", value: "identity.groups + ['poets']"}, {key: "'email'", value: "'k@example.com'"}]}
`)
	for scopes, want := range map[string]map[string]any{
		"openid offline_access": {
			"email": "k@example.com", "preferred_username": "kt", "groups": []any{"authors", "poets"}, "department": "hr",
		},
		"openid offline_access email profile groups federated:id": {
			"email": "k@example.com", "email_verified": true, "preferred_username": "kt", "name": "Kilgore Trout",
			"groups": []any{"authors", "poets"}, "department": "hr",
			"federated_claims": map[string]any{"connector_id": "mock", "user_id": "0-385-28089-0"},
		},
	} {
		a := s.tokens("scope", scopes)
		for _, kind := range []string{"access_token", "refresh_token"} {
			s.introspect(a.text(kind)).wantActive(map[string]any{"username": "kt", "ext": want})
		}
	}
}

func testIntrospectWithoutScopes(t *testing.T, _, _ *server) {
	s := allGrants(t, "")
	for _, a := range []answer{s.token(robotForm()), s.token(exchangeForm())} {
		token := a.wantStatus(200).text("access_token")
		s.introspect(token).wantActive(map[string]any{"scope": nil, "client_id": "app"})
		s.bearer(token).wantError(403, "insufficient_scope")
	}
	s.introspect(s.token(exchangeForm("requested_token_type", tokenType+"id_token")).text("access_token")).wantInactive()
}

func testIntrospectNothing(t *testing.T, s, upstream *server) {
	for _, there := range []*server{s, upstream} {
		a := there.tokens()
		access := a.text("access_token")
		for _, token := range []string{
			"x", "a.b.c", "eyJhbGciOiJub25lIn0." + strings.Split(access, ".")[1] + ".", access[:len(access)-4], access + "A",
			"CgR0ZXN0EgNiYXI", "\x00", strings.Repeat("x", 9000), there.code(),
		} {
			there.introspect(token).wantInactive()
		}
		there.revoke(a.text("refresh_token")).wantStatus(200)
		there.introspect(access).wantInactive()
		there.introspect(a.text("refresh_token")).wantInactive()
	}
	// Signed by us, and not ours.
	one, kept := startStored(t, configuration)
	foreign := ownClaims()
	foreign["iss"], foreign["client_id"] = "https://another.test", "app"
	one.introspect(signWith(t, keyset(t, kept).Current, foreign)).wantInactive()
}

// The tokens of a client that was deleted are inactive, for the clients in their audience too.
func testIntrospectDeletedClient(t *testing.T) {
	for _, settings := range []string{"", openIntrospection} {
		kept := memory.New()
		run := func() *server {
			return startOn(t, strings.Replace(configuration, "trustedPeers: [app]", "trustedPeers: [app, gone]", 1)+
				"signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}\n"+settings,
				func(store.Store) store.Store { return kept })
		}
		put(t, kept, client.Kind, "gone", client.Client{
			ID: "gone", Secret: client.HashSecret("gone"), RedirectURIs: []string{"https://gone.test/cb"},
		})
		s := run()
		code := s.code("client_id", "gone", "redirect_uri", "https://gone.test/cb",
			"scope", "openid offline_access audience:server:client_id:other")
		a := s.token(codeForm(code, "redirect_uri", "https://gone.test/cb"), as("gone", "gone")).wantStatus(200)
		s.introspect(a.text("access_token"), asOther).wantActive(nil)
		if err := store.In(kept, client.Kind).Delete(t.Context(), "gone", ""); err != nil {
			t.Fatal(err)
		}
		later := run()
		later.introspect(a.text("access_token"), asOther).wantInactive()
		later.introspect(a.text("refresh_token"), asOther).wantInactive()
	}
}

func testEndOfRefreshTokens(t *testing.T) {
	for limits, want := range map[string][2]time.Duration{ // from the login: at first, and when it was used an hour later
		"absoluteLifetime: 5h":                        {5 * time.Hour, 5 * time.Hour},
		"validIfNotUsedFor: 3h":                       {3 * time.Hour, 4 * time.Hour},
		"absoluteLifetime: 5h, validIfNotUsedFor: 3h": {3 * time.Hour, 4 * time.Hour},
		"absoluteLifetime: 2h, validIfNotUsedFor: 3h": {2 * time.Hour, 2 * time.Hour},
	} {
		s := start(t, "expiry: {refreshTokens: {"+limits+"}}\n")
		begin := time.Now()
		at := func(d time.Duration) map[string]any {
			return map[string]any{"iat": float64(begin.Unix()), "exp": float64(begin.Add(d).Unix())}
		}
		token := s.tokens().text("refresh_token")
		s.introspect(token).wantActive(at(want[0]))
		time.Sleep(time.Hour)
		token = s.token(refreshForm(token)).wantStatus(200).text("refresh_token")
		s.introspect(token).wantActive(at(want[1]))
		time.Sleep(want[1] - time.Hour - time.Second)
		s.introspect(token).wantActive(nil)
		time.Sleep(time.Second)
		s.introspect(token).wantInactive()
	}
}

func testIntrospectionTime(t *testing.T) {
	s := start(t, "expiry: {idTokens: 1h, refreshTokens: {reuseInterval: 10s}}\n")
	a := s.tokens()
	next := s.token(refreshForm(a.text("refresh_token"))).wantStatus(200).text("refresh_token")
	s.introspect(a.text("refresh_token")).wantActive(nil)
	time.Sleep(11 * time.Second)
	s.introspect(a.text("refresh_token")).wantInactive()
	s.introspect(next).wantActive(nil) // who only asks has not reused it
	s.token(refreshForm(next)).wantStatus(200)
	time.Sleep(time.Hour - 12*time.Second)
	s.introspect(a.text("access_token")).wantActive(nil)
	time.Sleep(time.Second)
	s.introspect(a.text("access_token")).wantInactive()
	s.bearer(a.text("access_token")).wantError(401, "invalid_token")
}

func testAlgorithm(t *testing.T, algorithm string) {
	settings := ""
	if algorithm != "RS256" {
		settings = "signer: {type: local, config: {keysRotationPeriod: 6h, algorithm: " + algorithm + "}}\n"
	}
	s := start(t, settings)
	a := s.tokens()
	if got := toText(s.get("/dex/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]); got != "["+algorithm+"]" {
		t.Fatalf("algorithms %s", got)
	}
	s.wantAlive(a.text("access_token"))
	s.bearer(a.text("id_token")).wantStatus(200)
	if to := s.get(authPath("id_token_hint", a.text("id_token"))).wantStatus(http.StatusFound).location().Path; to != "/dex/callback" {
		t.Errorf("the hint leads to %s", to)
	}
	s.revoke(a.text("access_token")).wantStatus(200)
	s.wantDead(a.text("access_token"))
	start(t, settings+openIntrospection).introspect("x").wantInactive()
}
