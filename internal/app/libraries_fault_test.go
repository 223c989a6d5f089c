package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// Libraries that send the client's credentials in the header and in the body were refused.
var _ = faulttest.Add("P1", func(t *testing.T) {
	s := start(t, "")
	both := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	token := s.tokens().text("access_token")
	for _, path := range []string{"/dex/token/introspect", "/dex/token/revoke"} {
		for _, body := range [][]string{
			{"client_id", "app", "client_secret", "app-secret"}, {"client_secret", "app-secret"}, {"client_id", "app"},
		} {
			s.postForm(path, form(append(body, "token", token)...), both("app", "app-secret")).wantStatus(http.StatusOK)
		}
		for _, body := range [][]string{{"client_id", "other"}, {"client_secret", "wrong"}} {
			s.postForm(path, form(append(body, "token", token)...), both("app", "app-secret")).wantError(400, "invalid_request")
		}
	}
	s.token(codeForm(s.code(), "client_id", "app", "client_secret", "app-secret")).wantStatus(http.StatusOK)
	s.postForm("/dex/device/code", form("scope", "openid", "client_id", "app", "client_secret", "app-secret")).wantStatus(http.StatusOK)
})

// golang.org/x/oauth2 and others never show a secret at /device/code.
var _ = faulttest.Add("P2", func(t *testing.T) {
	s := start(t, "")
	device := s.postForm("/dex/device/code", form("client_id", "app", "scope", "openid"), noCredentials).wantStatus(http.StatusOK).text("device_code")
	poll := form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", device)
	s.token(poll, asApp).wantError(http.StatusBadRequest, "authorization_pending")
	poll.Set("client_id", "app")
	s.token(poll, noCredentials).wantError(http.StatusUnauthorized, "invalid_client")
	strict := start(t, "oauth2: {compatibility: {clientChecks: strict}}\n")
	strict.postForm("/dex/device/code", form("client_id", "app", "scope", "openid"), noCredentials).
		wantError(http.StatusUnauthorized, "invalid_client")
})

// A repeated resource or audience was refused outside the exchange.
var _ = faulttest.Add("P4", func(t *testing.T) {
	s := start(t, "")
	for _, name := range []string{"resource", "audience"} {
		code := codeForm(s.code())
		code[name] = []string{"https://a.test/", "https://b.test/"}
		token := s.token(code).wantStatus(http.StatusOK).text("access_token")
		for _, path := range []string{"/dex/device/code", "/dex/token/introspect", "/dex/token/revoke"} {
			f := form("scope", "openid", "token", token)
			f[name] = []string{"https://a.test/", "https://b.test/"}
			s.postForm(path, f, asApp).wantStatus(http.StatusOK)
		}
	}
})

// oauthlib takes an empty scope for a change of scope.
var _ = faulttest.Add("P7", func(t *testing.T) {
	s := startWith(t, openWorld().yaml())
	f := form("grant_type", "client_credentials")
	if scope, ok := s.token(f, asApp).wantStatus(http.StatusOK).json()["scope"]; ok {
		t.Errorf("the answer has scope %q", scope)
	}
})

// Whoever revoked another client's token was told that it was done.
var _ = faulttest.Add("P11", func(t *testing.T) {
	s := startWith(t, openWorld().yaml())
	a := s.token(form("grant_type", "password", "username", "u", "password", "p", "scope", "openid"), asApp).wantStatus(http.StatusOK)
	other := func(r *http.Request) { r.SetBasicAuth("other", "other-secret") }
	s.postForm("/dex/token/revoke", form("token", a.text("access_token")), other).wantError(http.StatusBadRequest, "invalid_grant")
	s.postForm("/dex/token/revoke", form("token", a.text("access_token")), asApp).wantStatus(http.StatusOK)
})

// With tokenProfile: strict UserInfo took ID tokens.
var _ = faulttest.Add("P12", func(t *testing.T) {
	s := start(t, "oauth2: {compatibility: {tokenProfile: strict}}\n")
	a := s.tokens()
	s.bearer(a.text("id_token")).wantError(http.StatusUnauthorized, "invalid_token")
	s.bearer(a.text("access_token")).wantStatus(http.StatusOK)
})

// keycloak-js sends its requests with credentials.
var _ = faulttest.Add("P14", func(t *testing.T) {
	for origins, want := range map[string]string{`["https://spa.test"]`: "true", `["*"]`: ""} {
		s := startWith(t, strings.Replace(openWorld().yaml(), "web: {", "web: {allowedOrigins: "+origins+", ", 1))
		r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/keys", nil)
		r.Header.Set("Origin", "https://spa.test")
		if got := s.do(r).header.Get("Access-Control-Allow-Credentials"); got != want {
			t.Errorf("allowedOrigins %s: Access-Control-Allow-Credentials is %q", origins, got)
		}
	}
})

// simple-oauth2 and @fastify/oauth2 look at the type of the empty answer.
var _ = faulttest.Add("P22", func(t *testing.T) {
	s := start(t, "")
	a := s.postForm("/dex/token/revoke", form("token", "x"), asApp).wantStatus(http.StatusOK)
	if a.header.Get("Content-Type") != "application/json" || a.body != "" {
		t.Errorf("%v %q", a.header, a.body)
	}
})
