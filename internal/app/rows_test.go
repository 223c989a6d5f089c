package app_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// bearer asks UserInfo with a token.
func (s *server) bearer(token string) answer {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return s.do(r)
}

// keyset reads the signing keys from the storage.
func keyset(t *testing.T, s store.Store) signing.Keyset {
	t.Helper()
	e, err := store.In(s, signing.Kind).Get(t.Context(), signing.RecordKey)
	if err != nil {
		t.Fatal(err)
	}
	return e.Value
}

// signWith signs claims with a key as the server would.
func signWith(t *testing.T, key jose.JSONWebKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func ownClaims() map[string]any {
	return map[string]any{
		"iss": issuer, "sub": "CgNmb28SA2Jhcg", "aud": "app", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}
}

// Rows about keys and tokens of which the outside sees little.
func TestDepartureKeys(t *testing.T) {
	t.Run("D-903 B-21 logout tokens are no bearer tokens and no hints", func(t *testing.T) {
		s, kept := startStored(t, configuration)
		key := keyset(t, kept).Current
		good := signWith(t, key, ownClaims())
		s.bearer(good).wantStatus(http.StatusOK)
		logout := ownClaims()
		logout["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
		logout["sid"] = "s"
		s.bearer(signWith(t, key, logout)).wantError(401, "invalid_token")
		s.get(authPath("id_token_hint", signWith(t, key, logout))).wantStatus(http.StatusOK) // and who signs in may be anybody
		foreign := ownClaims()
		foreign["iss"] = "https://another.test"
		s.bearer(signWith(t, key, foreign)).wantError(401, "invalid_token")
	})
	t.Run("D-904 a retired key ends at its time", func(t *testing.T) {
		inner := memory.New()
		first := startOn(t, configuration, func(store.Store) store.Store { return inner })
		first.get("/dex/keys").wantStatus(http.StatusOK)
		old := keyset(t, inner).Current
		_, err := store.In(inner, signing.Kind).Update(t.Context(), signing.RecordKey, func(k *signing.Keyset) error {
			other := generate(t)
			k.Retired = []signing.Retired{{Key: old.Public(), Expires: time.Now().Add(-time.Second)}}
			k.Current, k.CurrentPub = other, nil
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		again := startOn(t, configuration, func(store.Store) store.Store { return inner })
		again.bearer(signWith(t, old, ownClaims())).wantError(401, "invalid_token")
		if keys := again.get("/dex/keys"); strings.Contains(keys.body, old.KeyID) {
			t.Error("the expired key is published")
		}
	})
	t.Run("D-807 one algorithm", func(t *testing.T) {
		s := start(t, "signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}\n")
		if got := toText(s.get("/dex/.well-known/openid-configuration").json()["id_token_signing_alg_values_supported"]); got != "[ES256]" {
			t.Errorf("published algorithms %s", got)
		}
	})
	t.Run("D-906 long subjects are kept", func(t *testing.T) {
		long := strings.Repeat("u", 300)
		s := startWith(t, strings.Replace(configuration, "08a8684b-db88-4b73-90a9-3cd1661f5466", long, 1)+
			"oauth2: {skipApprovalScreen: true}\n")
		b := s.browser()
		code := b.post(b.passwordForm(), credentials()).params().Get("code")
		subject, _ := claims(t, s.token(codeForm(code)).text("id_token"))["sub"].(string)
		if len(subject) <= 255 {
			t.Errorf("sub has %d characters", len(subject))
		}
	})
	t.Run("D-305 D-306 proof keys", func(t *testing.T) {
		s := start(t, "oauth2: {skipApprovalScreen: true, pkce: {codeChallengeMethodsSupported: [S256]}}\n")
		document := s.get("/dex/.well-known/openid-configuration").json()
		if got := toText(document["code_challenge_methods_supported"]); got != "[S256]" {
			t.Errorf("methods %s", got)
		}
		verifier := strings.Repeat("v", 43)
		s.get(authPath("code_challenge", verifier)).wantRedirectError("invalid_request")
		hashed := []string{"code_challenge", s256(verifier), "code_challenge_method", "S256"}
		for last, status := range map[string]int{"v": 200, "w": 400, "": 400} {
			code := s.browser().throughMock(hashed...).params().Get("code")
			s.token(codeForm(code, "code_verifier", verifier[:42]+last)).wantStatus(status)
		}
	})
	t.Run("D-614 refresh tokens live for ever by default", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, "")
			token := s.tokens().text("refresh_token")
			time.Sleep(2 * 365 * 24 * time.Hour)
			s.token(refreshForm(token)).wantStatus(http.StatusOK)
		})
	})
	t.Run("B-33 narrowing a refresh narrows one answer", func(t *testing.T) {
		s := start(t, "")
		token := s.tokens().text("refresh_token")
		a := s.token(refreshForm(token, "scope", "openid")).wantStatus(http.StatusOK)
		again := s.token(refreshForm(a.text("refresh_token"))).wantStatus(http.StatusOK)
		if got := toText(claims(t, again.text("id_token"))["groups"]); got != "[authors]" {
			t.Errorf("groups are %s", got)
		}
	})
	t.Run("B-13 a login without the connector's data", func(t *testing.T) {
		s, kept := startStored(t, configuration)
		token := s.tokens().text("refresh_token")
		records, err := kept.List(t.Context(), "offline", store.Query{Limit: 10})
		if err != nil || len(records) != 1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		if err := kept.Delete(t.Context(), "offline", records[0].Key, ""); err != nil {
			t.Fatal(err)
		}
		s.token(refreshForm(token)).wantStatus(http.StatusOK) // the mock needs none
	})
	t.Run("D-119 our own failures are called so", func(t *testing.T) {
		var f *faulty
		s := startOn(t, configuration, func(inner store.Store) store.Store { f = &faulty{Store: inner}; return f })
		token := s.tokens().text("refresh_token")
		f.failAt = 1
		s.token(refreshForm(token)).wantError(500, "server_error")
		s.token(refreshForm(token)).wantStatus(http.StatusOK)
	})
}

func generate(t *testing.T) jose.JSONWebKey {
	t.Helper()
	s := memory.New()
	startOn(t, configuration, func(store.Store) store.Store { return s })
	return keyset(t, s).Current
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Rows about pages and what surrounds them.
func TestDeparturePages(t *testing.T) {
	s := start(t, "web: {http: 127.0.0.1:0, allowedOrigins: [\"https://one.test\"], headers: {X-Frame-Options: SAMEORIGIN}}\n")
	t.Run("B-14 methods of the consent page", func(t *testing.T) {
		b := s.browser()
		page := b.consent()
		r := httptest.NewRequest(http.MethodDelete, "http://dex.test"+page, nil)
		b.send(r).wantStatus(http.StatusMethodNotAllowed)
	})
	t.Run("B-01 ids are encoded once", func(t *testing.T) {
		page := s.get(authPath()).body
		if !strings.Contains(page, "/dex/auth/odd%20id%2F%25?") || strings.Contains(page, "%2520") {
			t.Errorf("links of %s", page)
		}
		form := s.browser().visit("/dex/auth/odd%20id%2F%25?" + request().Encode()).wantStatus(http.StatusFound)
		if !strings.HasPrefix(form.path(), "/dex/auth/odd%20id%2F%25/login?") {
			t.Errorf("the form is at %s", form.path())
		}
	})
	t.Run("B-29 IPv6 without a port", func(t *testing.T) {
		s.get(authPath("client_id", "cli", "redirect_uri", "http://[::1]/cb")).wantStatus(http.StatusOK)
	})
	t.Run("B-22 headers everywhere", func(t *testing.T) {
		for _, path := range []string{"/dex", "/dex/static/main.css", "/dex/theme/styles.css", "/dex/nowhere", "/nowhere", "/dex/keys"} {
			if got := s.get(path).header.Get("X-Frame-Options"); got != "SAMEORIGIN" {
				t.Errorf("%s: X-Frame-Options is %q", path, got)
			}
		}
	})
	t.Run("B-28 no listings", func(t *testing.T) {
		for _, path := range []string{"/dex/static/", "/dex/static", "/dex/theme/", "/dex/static/img/"} {
			s.get(path).wantStatus(http.StatusNotFound)
		}
	})
	t.Run("B-31 Vary with one origin", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/keys", nil)
		r.Header.Set("Origin", "https://one.test")
		a := s.do(r)
		if a.header.Get("Access-Control-Allow-Origin") != "https://one.test" || a.header.Get("Vary") != "Origin" {
			t.Errorf("headers %v", a.header)
		}
	})
	t.Run("B-30 a directory of templates that lacks some", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "templates", "error.html"), []byte("ours: {{ .ErrMsg }}"), 0o600); err != nil {
			t.Fatal(err)
		}
		own := start(t, "frontend: {dir: "+dir+"}\n")
		if page := own.get(authPath("client_id", "x")); !strings.HasPrefix(page.body, "ours: ") {
			t.Errorf("the page is %s", page.body)
		}
		own.get(authPath()).wantStatus(http.StatusOK)
	})
	t.Run("D-966 select_account without a session", func(t *testing.T) {
		s.get(authPath("prompt", "select_account")).wantStatus(http.StatusOK)
	})
	t.Run("D-961 offline_access without consent", func(t *testing.T) {
		quick := start(t, "oauth2: {skipApprovalScreen: true}\n")
		code := quick.browser().throughMock().params().Get("code")
		if quick.token(codeForm(code)).text("refresh_token") == "" {
			t.Error("no refresh token")
		}
	})
	t.Run("D-959 claims parameter", func(t *testing.T) {
		s.get(authPath("claims", `{"id_token":{"email":{"essential":true}}}`)).wantStatus(http.StatusOK)
		if s.get("/dex/.well-known/openid-configuration").json()["claims_parameter_supported"] != false {
			t.Error("the parameter is promised")
		}
	})
	t.Run("D-812 issuers", func(t *testing.T) {
		for issuer, fatal := range map[string]bool{
			"https://dex.test/dex?x=1": true, "https://dex.test/dex#x": true, "ldap://dex.test": true, "dex.test": true,
			"http://dex.test": false, "https://dex.test": false,
		} {
			_, problems := app.Check(config.Source{Name: "x.yaml", Data: []byte(
				"issuer: " + issuer + "\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\nenablePasswordDB: true\n")})
			if problems.HasErrors() != fatal {
				t.Errorf("%s: %s", issuer, app.Report(problems))
			}
		}
	})
}

// What this server doesn't have, or has not switched on, it doesn't promise, and nothing answers in its place.
func TestDepartureAbsent(t *testing.T) {
	s := start(t, "")
	document := s.get("/dex/.well-known/openid-configuration").wantStatus(http.StatusOK).json()
	for rows, absent := range map[string]struct{ member, path string }{
		"D-921 pushed requests":                  {"pushed_authorization_request_endpoint", "/dex/par"},
		"D-945 DPoP":                             {"dpop_signing_alg_values_supported", ""},
		"D-990 dynamic registration":             {"registration_endpoint", "/dex/register"},
		"logout, without sessions":               {"end_session_endpoint", "/dex/logout"},
		"back-channel logout, without sessions":  {"backchannel_logout_supported", "/dex/logout/callback"},
		"front-channel logout, without sessions": {"frontchannel_logout_supported", "/dex/logout/mock"},
		"session management, without sessions":   {"check_session_iframe", "/dex/session/check"},
		"second factors, without authenticators": {"acr_values_supported", "/dex/mfa"},
	} {
		t.Run(rows, func(t *testing.T) {
			if document[absent.member] != nil {
				t.Errorf("%s is promised", absent.member)
			}
			if absent.path != "" {
				s.get(absent.path).wantStatus(http.StatusNotFound)
			}
		})
	}
	t.Run("without sessions no login outlives its browser's page", func(t *testing.T) {
		b := s.browser()
		end := b.post(b.consent(), url.Values{"approval": {"approve"}})
		// Nothing but the application's own tokens is left of the login: the next one asks again, and sees auth_time anew.
		b.visit(authPath()).wantStatus(http.StatusOK)
		for _, c := range (&http.Response{Header: end.header}).Cookies() {
			// What a second click needs; nobody is logged in by the name of a connector, or by what the login was for.
			if c.MaxAge > 10 && c.Name != "dex_connector" && c.Name != "dex_last" && c.Name != "dex_known" {
				t.Errorf("cookie %v is left", c)
			}
		}
		if claims(t, s.tokens().text("id_token"))["sid"] != nil {
			t.Error("there is a sid")
		}
	})
}
