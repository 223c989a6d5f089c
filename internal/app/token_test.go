package app_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPKCE(t *testing.T) {
	s := start(t, "")
	verifier := strings.Repeat("aZ0-._~", 7)
	sum := sha256.Sum256([]byte(verifier))
	s256 := []string{"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256"}
	plain := []string{"code_challenge", verifier}

	for _, test := range []struct {
		name      string
		challenge []string
		verifier  string
		want      string // error; empty means success
	}{
		{"S256", s256, verifier, ""},
		{"plain", plain, verifier, ""},
		{"none", nil, "", ""},
		{"S256, the challenge itself", s256, s256[1], "invalid_grant"},
		{"S256, wrong", s256, verifier[1:] + "x", "invalid_grant"},
		{"S256, missing", s256, "", "invalid_grant"},
		{"plain, wrong", plain, verifier[1:] + "x", "invalid_grant"},
		{"verifier without challenge", nil, verifier, "invalid_request"},
		{"verifier too short", s256, "abc", "invalid_grant"},
	} {
		t.Run(test.name, func(t *testing.T) {
			form := codeForm(s.code(test.challenge...))
			if test.verifier != "" {
				form.Set("code_verifier", test.verifier)
			}
			a := s.token(form)
			if test.want == "" {
				a.wantStatus(http.StatusOK)
				return
			}
			a.wantError(http.StatusBadRequest, test.want)
		})
	}

	t.Run("enforced", func(t *testing.T) {
		s := start(t, "oauth2: {pkce: {enforce: true, codeChallengeMethodsSupported: [S256]}}\n")
		s.get(authPath()).wantRedirectError("invalid_request")
		s.get(authPath(plain...)).wantRedirectError("invalid_request")
		s.get(authPath(s256...)).wantStatus(http.StatusOK)
		if got := s.get("/dex/.well-known/openid-configuration").json()["code_challenge_methods_supported"]; !cmp.Equal(got, []any{"S256"}) {
			t.Errorf("published methods %v", got)
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	s := start(t, "")
	public := []string{"client_id", "cli", "redirect_uri", "http://127.0.0.1:1/cb"}
	for _, test := range []struct {
		name string
		form []string
		edit func(*http.Request)
		ok   bool
	}{
		{"Basic", nil, func(r *http.Request) { r.SetBasicAuth("app", "app-secret") }, true},
		{"form", []string{"client_id", "app", "client_secret", "app-secret"}, noCredentials, true},
		{"no secret", []string{"client_id", "app"}, noCredentials, false},
		{"nothing", nil, noCredentials, false},
		{"unknown client", []string{"client_id", "nobody", "client_secret", "app-secret"}, noCredentials, false},
		{"another scheme", []string{"client_id", "app"}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer app-secret") }, false},
		{"empty Basic", nil, func(r *http.Request) { r.SetBasicAuth("", "") }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.token(codeForm(s.code(), test.form...), test.edit)
			if test.ok {
				a.wantStatus(http.StatusOK)
				return
			}
			a.wantError(http.StatusUnauthorized, "invalid_client")
		})
	}
	t.Run("public", func(t *testing.T) {
		form := codeForm(s.code(public...), "client_id", "cli", "redirect_uri", public[3])
		s.token(form, noCredentials).wantStatus(http.StatusOK)
	})
	t.Run("public with a secret that it doesn't have", func(t *testing.T) {
		form := codeForm(s.code(public...), "client_id", "cli", "redirect_uri", public[3], "client_secret", "x")
		s.token(form, noCredentials).wantError(http.StatusUnauthorized, "invalid_client")
	})
	// RFC 6749 (2.3.1) asks for form encoding below Basic; many clients leave it out.
	for name, secret := range map[string]string{"encoded": "o%2B%25ther+secret", "as it is": "o+%ther secret"} {
		t.Run("Basic "+name, func(t *testing.T) {
			form := codeForm(s.code("client_id", "other", "redirect_uri", "https://other.test/cb"), "redirect_uri", "https://other.test/cb")
			s.token(form, func(r *http.Request) { r.SetBasicAuth("other", secret) }).wantStatus(http.StatusOK)
		})
	}
	t.Run("parameters in the URL don't count", func(t *testing.T) {
		s.token(form("code", "x"), noCredentials, func(r *http.Request) { r.URL.RawQuery = "grant_type=authorization_code" }).
			wantError(http.StatusBadRequest, "invalid_request")
	})
	t.Run("other bodies", func(t *testing.T) {
		s.token(form("grant_type", "authorization_code"), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }).
			wantError(http.StatusBadRequest, "invalid_request")
	})
}

func TestScopesAndClaims(t *testing.T) {
	s := start(t, "")
	for _, test := range []struct {
		scope string
		want  map[string]any
	}{
		{"openid", map[string]any{"email": nil, "groups": nil, "name": nil, "federated_claims": nil, "aud": "app", "azp": nil}},
		{"openid email", map[string]any{"email": "kilgore@kilgore.trout", "email_verified": true, "name": nil}},
		{"openid profile", map[string]any{"name": "Kilgore Trout", "preferred_username": nil, "email": nil}},
		{"openid groups", map[string]any{"groups": []any{"authors"}}},
		{"openid federated:id", map[string]any{
			"federated_claims": map[string]any{"connector_id": "mock", "user_id": "0-385-28089-0"},
			"sub":              "Cg0wLTM4NS0yODA4OS0wEgRtb2Nr",
		}},
		{"openid audience:server:client_id:other", map[string]any{"aud": []any{"other", "app"}, "azp": "app"}},
		{"openid audience:server:client_id:app", map[string]any{"aud": "app", "azp": nil}},
		{"openid audience:server:client_id:app audience:server:client_id:other", map[string]any{"aud": []any{"app", "other"}, "azp": "app"}},
	} {
		t.Run(test.scope, func(t *testing.T) {
			a := s.tokens("scope", test.scope)
			for _, token := range []string{"id_token", "access_token"} {
				got := claims(t, a.text(token))
				for name, want := range test.want {
					if !cmp.Equal(got[name], want) {
						t.Errorf("%s: claim %s is %v, want %v", token, name, got[name], want)
					}
				}
			}
			if a.json()["refresh_token"] != nil {
				t.Error("there is a refresh token without offline_access")
			}
		})
	}
	t.Run("members and values of the answer", func(t *testing.T) {
		a := s.tokens()
		if a.text("token_type") != "bearer" || a.json()["expires_in"] != 86400.0 {
			t.Errorf("answer %s", a.body)
		}
		access := claims(t, a.text("access_token"))
		if access["client_id"] != "app" || access["scope"] != "openid email profile groups offline_access" {
			t.Errorf("access token %v", access)
		}
	})
}

func TestConnectorGrantTypes(t *testing.T) {
	s := startWith(t, strings.Replace(configuration, "name: Example}", "name: Example, grantTypes: [authorization_code]}", 1))
	if s.tokens().json()["refresh_token"] != nil {
		t.Error("a refresh token through a connector that does not serve them")
	}
	s = startWith(t, strings.Replace(configuration, "name: Example}", "name: Example, grantTypes: [refresh_token]}", 1))
	s.get(authPath("connector_id", "mock")).wantRedirectError("invalid_request")
	if page := s.get(authPath()).wantStatus(http.StatusOK); strings.Contains(page.body, "with Example") {
		t.Error("a connector that does not serve logins is offered")
	}
}

func TestGrantTypesOfTheServer(t *testing.T) {
	s := start(t, "oauth2: {grantTypes: [authorization_code]}\n")
	token := s.tokens().text("refresh_token")
	s.token(refreshForm(token)).wantError(http.StatusBadRequest, "unsupported_grant_type")
}

func TestES256(t *testing.T) {
	s := start(t, "signer: {type: local, config: {keysRotationPeriod: 1h, algorithm: ES256}}\n")
	a := s.tokens()
	r, err := http.NewRequest(http.MethodGet, "http://dex.test/dex/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.text("access_token"))
	s.do(r).wantStatus(http.StatusOK) // B-04
	keys := s.get("/dex/keys").wantStatus(http.StatusOK)
	if !strings.Contains(keys.body, `"alg": "ES256"`) || !strings.Contains(keys.body, `"crv": "P-256"`) {
		t.Errorf("keys %s", keys.body)
	}
	if got := s.get("/dex/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]; !cmp.Equal(got, []any{"ES256"}) {
		t.Errorf("published algorithms %v", got)
	}
	s.get(authPath("id_token_hint", a.text("id_token"))).wantStatus(http.StatusFound)
}

func TestIssuerWithoutPath(t *testing.T) {
	s := startWith(t, strings.Replace(configuration, "http://dex.test/dex", "http://dex.test/", 1))
	d := s.get("/.well-known/openid-configuration").wantStatus(http.StatusOK)
	if d.text("issuer") != "http://dex.test/" || d.text("token_endpoint") != "http://dex.test/token" {
		t.Errorf("discovery %s", d.body)
	}
	s.get("/.well-known/oauth-authorization-server").wantStatus(http.StatusOK)
	s.get("/").wantStatus(http.StatusOK)
	form := s.get("/auth?" + request("connector_id", "local").Encode()).wantStatus(http.StatusFound)
	if !strings.HasPrefix(form.path(), "/auth/local/login?") {
		t.Errorf("sent to %s", form.path())
	}
	if cookie := form.header.Get("Set-Cookie"); !strings.Contains(cookie, "Path=/;") {
		t.Errorf("cookie %q", cookie)
	}
}
