package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The rows of the specification where upstream departs from a standard, by their numbers: what this server does instead.

func TestDeparture(t *testing.T) {
	s := start(t, "")
	t.Run("D-101 repeated parameters", func(t *testing.T) {
		s.get(authPath() + "&state=twice").wantRedirectError("invalid_request")
		s.get(authPath() + "&client_id=app").wantStatus(http.StatusBadRequest)
		s.get(authPath() + "&redirect_uri=" + callback).wantStatus(http.StatusBadRequest)
		f := codeForm("x")
		f.Add("code", "y")
		s.token(f).wantError(400, "invalid_request")
	})
	t.Run("D-102 POST at the authorization endpoint", func(t *testing.T) {
		for _, path := range []string{"/dex/auth", "/dex/auth/local"} {
			r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path,
				strings.NewReader(request("connector_id", "local").Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "cross-site") // applications are other sites
			s.do(r).wantStatus(http.StatusFound)
		}
	})
	t.Run("D-103 D-141 loopback redirects", func(t *testing.T) {
		for _, uri := range []string{"http://localhost:1/x#f", "http://me@localhost:1/x"} {
			s.get(authPath("client_id", "cli", "redirect_uri", uri)).wantStatus(http.StatusBadRequest)
		}
	})
	t.Run("D-104 refused consent", func(t *testing.T) {
		b := s.browser()
		q := b.post(b.consent(), url.Values{"approval": {"rejected"}}).wantRedirectError("access_denied")
		if q.Get("state") != "s &=%" {
			t.Errorf("state is %q", q.Get("state"))
		}
	})
	t.Run("D-105 state only if there was one", func(t *testing.T) {
		if q := s.browser().login("state", "-"); q.Has("state") {
			t.Errorf("answer %v", q)
		}
		if q := s.browser().login("state", ""); q.Has("state") {
			t.Errorf("a state without a value counts as omitted: %v", q)
		}
	})
	t.Run("D-106 unknown response type", func(t *testing.T) {
		s.get(authPath("response_type", "magic")).wantRedirectError("unsupported_response_type")
		s.get(authPath("response_type", "token")).wantRedirectError("unsupported_response_type")
		s.get(authPath("response_type", "-")).wantRedirectError("invalid_request")
	})
	t.Run("D-107 another redirect_uri at the token endpoint", func(t *testing.T) {
		s.token(codeForm(s.code(), "redirect_uri", callback+"?x=1")).wantError(400, "invalid_grant")
		s.token(codeForm(s.code(), "redirect_uri", "")).wantError(400, "invalid_grant")
	})
	t.Run("D-109 unknown client", func(t *testing.T) {
		s.get(authPath("client_id", "nobody")).wantStatus(http.StatusBadRequest)
		s.get("/dex/auth/local?" + request("client_id", "nobody").Encode()).wantStatus(http.StatusBadRequest)
		s.get(authPath("client_id", "-")).wantStatus(http.StatusBadRequest)
		s.get(authPath("redirect_uri", "https://evil.test/")).wantStatus(http.StatusBadRequest)
	})
	t.Run("D-110 other methods at the token endpoint", func(t *testing.T) {
		a := s.get("/dex/token?grant_type=authorization_code")
		a.wantError(405, "invalid_request")
		if a.header.Get("Allow") != "POST" {
			t.Errorf("Allow is %q", a.header.Get("Allow"))
		}
	})
	t.Run("D-111 grant types", func(t *testing.T) {
		s.token(form("code", "x")).wantError(400, "invalid_request")
		s.token(form("grant_type", "magic")).wantError(400, "unsupported_grant_type")
		s.token(form("grant_type", "implicit")).wantError(400, "unsupported_grant_type")
	})
	t.Run("D-112 scope is returned", func(t *testing.T) {
		if got := s.tokens("scope", "openid unknown email").text("scope"); got != "openid email" {
			t.Errorf("scope is %q", got)
		}
	})
	t.Run("D-113 no answer is cached", func(t *testing.T) {
		for _, a := range []answer{s.token(form()), s.tokens()} {
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
				t.Errorf("headers %v", a.header)
			}
		}
	})
	t.Run("D-114 two ways of authentication at once", func(t *testing.T) {
		s.token(codeForm("x", "client_secret", "another")).wantError(400, "invalid_request")
		s.token(codeForm("x", "client_secret", "app-secret")).wantError(400, "invalid_grant")
		s.token(codeForm("x", "client_id", "other")).wantError(400, "invalid_request")
		s.token(codeForm(s.code(), "client_id", "app")).wantStatus(200)
	})
	t.Run("D-115 challenge for Basic", func(t *testing.T) {
		a := s.token(codeForm("x"), func(r *http.Request) { r.SetBasicAuth("app", "wrong") })
		a.wantError(401, "invalid_client")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("WWW-Authenticate is %q", a.header.Get("WWW-Authenticate"))
		}
		a = s.token(codeForm("x", "client_id", "app", "client_secret", "wrong"), noCredentials)
		a.wantError(401, "invalid_client")
		if a.header.Get("WWW-Authenticate") != "" {
			t.Error("there is a challenge without Basic")
		}
	})
	t.Run("D-116 bad refresh tokens", func(t *testing.T) {
		token := s.tokens().text("refresh_token")
		for _, bad := range []string{"x", "***", "CgNmb28SA2Jhcg", token[:len(token)-3] + "AAA"} {
			s.token(refreshForm(bad)).wantError(400, "invalid_grant")
		}
		s.token(refreshForm(token)).wantStatus(200) // a guess does no harm
	})
	t.Run("D-117 wider scope at refresh", func(t *testing.T) {
		token := s.tokens("scope", "openid offline_access email").text("refresh_token")
		s.token(refreshForm(token, "scope", "openid groups")).wantError(400, "invalid_scope")
		a := s.token(refreshForm(token, "scope", "openid unknown")).wantStatus(200)
		if a.text("scope") != "openid" || claims(t, a.text("id_token"))["email"] != nil {
			t.Errorf("the answer is not narrowed: %s", a.body)
		}
		again := s.token(refreshForm(a.text("refresh_token"))).wantStatus(200)
		if again.text("scope") != "openid offline_access email" {
			t.Errorf("narrowing once narrowed what was granted: %s", again.text("scope"))
		}
	})
	t.Run("D-118 characters of error_description", func(t *testing.T) {
		for _, a := range []answer{
			s.token(form("grant_type", `"é\`)),
			s.token(codeForm("x", "client_id", `"é`)),
		} {
			for _, r := range a.text("error_description") {
				if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
					t.Errorf("%q in %s", r, a.body)
				}
			}
		}
	})
	t.Run("D-140 loopback ports", func(t *testing.T) {
		s.get(authPath("client_id", "cli", "redirect_uri", "http://127.0.0.1:54321/cb")).wantStatus(200)
	})

	t.Run("D-201 no token at UserInfo", func(t *testing.T) {
		a := s.get("/dex/userinfo").wantStatus(401)
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="dex"` {
			t.Errorf("WWW-Authenticate is %q", got)
		}
	})
	userinfo := func(token string) answer {
		r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/userinfo", nil)
		r.Header.Set("Authorization", "bearer "+token)
		return s.do(r)
	}
	t.Run("D-202 bad token at UserInfo", func(t *testing.T) {
		a := userinfo("x.y.z")
		a.wantError(401, "invalid_token")
		if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token"`) {
			t.Errorf("WWW-Authenticate is %q", got)
		}
	})
	t.Run("D-203 D-206 UserInfo is the token's payload, not cached", func(t *testing.T) {
		token := s.tokens().text("access_token")
		a := userinfo(token).wantStatus(200)
		want := claims(t, token)
		if got := a.json(); got["sub"] != want["sub"] || got["email"] != "kilgore@kilgore.trout" {
			t.Errorf("got %s", a.body)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("the answer may be cached")
		}
	})
	t.Run("D-204 token in the body", func(t *testing.T) {
		token := s.tokens().text("access_token")
		post := func(header bool) answer {
			r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/userinfo",
				strings.NewReader(url.Values{"access_token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if header {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return s.do(r)
		}
		post(false).wantStatus(200)
		post(true).wantError(400, "invalid_request")
	})
	t.Run("D-205 scope openid at UserInfo", func(t *testing.T) {
		refresh := s.tokens().text("refresh_token")
		narrowed := s.token(refreshForm(refresh, "scope", "email")).wantStatus(200).text("access_token")
		userinfo(narrowed).wantError(403, "insufficient_scope")
	})

	verifier := strings.Repeat("v", 43)
	t.Run("D-301 form of challenge and verifier", func(t *testing.T) {
		s.get(authPath("code_challenge", "short", "code_challenge_method", "S256")).wantRedirectError("invalid_request")
		s.get(authPath("code_challenge", "short")).wantRedirectError("invalid_request")
		s.get(authPath("code_challenge", verifier, "code_challenge_method", "S512")).wantRedirectError("invalid_request")
	})
	t.Run("D-302 a code is used up by a failed try", func(t *testing.T) {
		code := s.code("code_challenge", verifier)
		s.token(codeForm(code, "code_verifier", strings.Repeat("w", 43))).wantError(400, "invalid_grant")
		s.token(codeForm(code, "code_verifier", verifier)).wantError(400, "invalid_grant")
		code = s.code()
		s.token(codeForm(code), func(r *http.Request) { r.SetBasicAuth("app", "wrong") }).wantError(401, "invalid_client")
		s.token(codeForm(code, "redirect_uri", "https://other.test/cb"),
			func(r *http.Request) { r.SetBasicAuth("other", "o%2B%25ther+secret") }).wantError(400, "invalid_grant")
		s.token(codeForm(code)).wantStatus(200) // but not by others
	})
	t.Run("D-303 method without challenge", func(t *testing.T) {
		s.get(authPath("code_challenge_method", "S256")).wantRedirectError("invalid_request")
	})

	t.Run("D-612 replayed code", func(t *testing.T) {
		code := s.code()
		token := s.token(codeForm(code)).wantStatus(200).text("refresh_token")
		s.token(codeForm(code)).wantError(400, "invalid_grant")
		s.token(refreshForm(token)).wantError(400, "invalid_grant")
	})

	discovery := s.get("/dex/.well-known/openid-configuration").wantStatus(200).json()
	has := func(member, value string) bool {
		list, _ := discovery[member].([]any)
		for _, v := range list {
			if v == value {
				return true
			}
		}
		return false
	}
	t.Run("D-801 RFC 8414 metadata", func(t *testing.T) {
		for _, path := range []string{
			"/.well-known/oauth-authorization-server/dex", "/dex/.well-known/oauth-authorization-server",
		} {
			if got := s.get(path).wantStatus(200).text("issuer"); got != issuer {
				t.Errorf("%s: issuer %q", path, got)
			}
		}
	})
	t.Run("D-802 D-803 D-811 flags", func(t *testing.T) {
		for member, want := range map[string]any{
			"request_parameter_supported": false, "request_uri_parameter_supported": false,
			"claims_parameter_supported": false, "authorization_response_iss_parameter_supported": true,
		} {
			if got := discovery[member]; got != want {
				t.Errorf("%s is %v", member, got)
			}
		}
		if !has("response_modes_supported", "query") || !has("prompt_values_supported", "login") {
			t.Errorf("%v", discovery)
		}
	})
	t.Run("D-804 D-805 D-806 D-808 D-809 lists tell the truth", func(t *testing.T) {
		for member, value := range map[string]string{
			"token_endpoint_auth_methods_supported": "none", "claims_supported": "auth_time",
			"scopes_supported": "federated:id", "response_types_supported": "code",
		} {
			if !has(member, value) {
				t.Errorf("%s lacks %s", member, value)
			}
		}
		if got := toText(discovery["claim_types_supported"]); got != "[normal distributed]" {
			t.Errorf("claim_types_supported is %s", got)
		}
		if has("claims_supported", "locale") || has("response_types_supported", "token") {
			t.Error("more is promised than there is")
		}
	})
	t.Run("D-810 D-813 caching and methods", func(t *testing.T) {
		for _, path := range []string{"/dex/.well-known/openid-configuration", "/dex/keys"} {
			a := s.get(path).wantStatus(200)
			if a.header.Get("Cache-Control") != "max-age=600, must-revalidate" || a.header.Get("ETag") == "" {
				t.Errorf("%s: %v", path, a.header)
			}
			r := httptest.NewRequest(http.MethodGet, "http://dex.test"+path, nil)
			r.Header.Set("If-None-Match", a.header.Get("ETag"))
			if a := s.do(r).wantStatus(http.StatusNotModified); a.body != "" {
				t.Error("a document that has not changed is sent again")
			}
			s.do(httptest.NewRequest(http.MethodDelete, "http://dex.test"+path, nil)).wantStatus(405)
		}
		s.do(httptest.NewRequest(http.MethodPost, "http://dex.test/dex", nil)).wantStatus(405)
	})

	t.Run("D-920 request objects and registration", func(t *testing.T) {
		s.get(authPath("request", "x")).wantRedirectError("request_not_supported")
		s.get(authPath("request_uri", "https://x")).wantRedirectError("request_uri_not_supported")
		s.get(authPath("registration", "{}")).wantRedirectError("registration_not_supported")
	})
	t.Run("D-940 iss in answers", func(t *testing.T) {
		if got := s.browser().login().Get("iss"); got != issuer {
			t.Errorf("iss is %q", got)
		}
	})
	t.Run("D-951 prompt", func(t *testing.T) {
		s.get(authPath("prompt", "none")).wantRedirectError("login_required")
		s.get(authPath("prompt", "none", "connector_id", "mock")).wantRedirectError("login_required")
		s.get(authPath("prompt", "none login")).wantRedirectError("invalid_request")
		s.get(authPath("prompt", "maybe")).wantStatus(200)
		s.get(authPath("prompt", "login select_account login")).wantStatus(200)
		s.get(authPath("max_age", "-1")).wantRedirectError("invalid_request")
		s.get(authPath("max_age", "0")).wantStatus(200)
		s.get(authPath("id_token_hint", "x")).wantStatus(200)
		s.get(authPath("id_token_hint", s.tokens().text("id_token"))).wantStatus(302) // to the user's connector
	})
	t.Run("D-960 unknown scopes", func(t *testing.T) {
		s.get(authPath("scope", "openid magic")).wantStatus(200)
		s.get(authPath("scope", "email")).wantRedirectError("invalid_scope")
		s.get(authPath("scope", "openid audience:server:client_id:strict")).wantRedirectError("invalid_scope")
		s.get(authPath("scope", "openid audience:server:client_id:nobody")).wantRedirectError("invalid_scope")
		s.get(authPath("scope", "openid audience:server:client_id:")).wantRedirectError("invalid_scope")
	})
	t.Run("D-965 errors before the choice", func(t *testing.T) {
		s.get(authPath("response_type", "x")).wantRedirectError("unsupported_response_type")
	})
	t.Run("D-970 headers of pages", func(t *testing.T) {
		for _, a := range []answer{s.get(authPath()), s.get("/dex"), s.get("/nowhere")} {
			for name, want := range map[string]string{
				"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY",
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			} {
				if got := a.header.Get(name); !strings.Contains(got, want) {
					t.Errorf("%d: %s is %q", a.status, name, got)
				}
			}
		}
	})
}
