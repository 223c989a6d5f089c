package app_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/signing"
	"dex/internal/signing/transittest"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// inVault returns a configuration whose key is in Vault.
func inVault(addr, token string) string {
	return configuration + fmt.Sprintf(
		"signer: {type: vault, config: {addr: %q, token: %q, keyName: dex}}\noauth2: {responseTypes: [code, id_token]}\n", addr, token)
}

// startInVault runs a server with a key of some type in Vault.
func startInVault(t *testing.T, typ string) (*server, *transittest.Server) {
	t.Helper()
	vault := transittest.New()
	vault.Create("dex", typ)
	return startWith(t, inVault(vault.Start(t), transittest.Root)), vault
}

// verified verifies a token with the published keys.
func (s *server) verified(token, algorithm string) {
	s.t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(s.get("/dex/keys").wantStatus(http.StatusOK).body), &set); err != nil {
		s.t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := jws.Verify(set); err != nil {
		s.t.Errorf("a token can't be verified with the published keys: %v", err)
	}
}

// introspected asks about a token.
func (s *server) introspected(token string) answer {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/token/introspect",
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", "app-secret")
	return s.do(r)
}

var approved = url.Values{"approval": {"approve"}}

func half(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }

func half256(value string) string {
	sum := sha256.Sum256([]byte(value))
	return half(sum[:])
}

func half384(value string) string {
	sum := sha512.Sum384([]byte(value))
	return half(sum[:])
}

func half512(value string) string {
	sum := sha512.Sum512([]byte(value))
	return half(sum[:])
}

func TestDepartureVault(t *testing.T) {
	for typ, want := range map[string]struct {
		algorithm string
		hash      func(string) string
	}{
		"rsa-2048":   {"RS256", half256},
		"ecdsa-p256": {"ES256", half256},
		"ecdsa-p384": {"ES384", half384},
		"ecdsa-p521": {"ES512", half512},
		"ed25519":    {"EdDSA", half512},
	} {
		t.Run("B-04 B-05 D-807 "+want.algorithm, func(t *testing.T) {
			s, _ := startInVault(t, typ)
			b := s.browser()
			q := b.post(b.consent("response_type", "code id_token"), approved).wantStatus(http.StatusSeeOther).params()
			code := q.Get("code")
			s.verified(q.Get("id_token"), want.algorithm)
			if got := claims(t, q.Get("id_token"))["c_hash"]; got != want.hash(code) {
				t.Errorf("c_hash is %v, want %s", got, want.hash(code))
			}
			tokens := s.token(codeForm(code)).wantStatus(http.StatusOK)
			access, identity := tokens.text("access_token"), tokens.text("id_token")
			for _, token := range []string{access, identity} {
				s.verified(token, want.algorithm)
			}
			if got := claims(t, identity)["at_hash"]; got != want.hash(access) {
				t.Errorf("at_hash is %v, want %s", got, want.hash(access))
			}
			s.bearer(access).wantStatus(http.StatusOK)
			if got := s.introspected(access).wantStatus(http.StatusOK).json()["active"]; got != true {
				t.Errorf("introspection says active: %v", got)
			}
			s.get(authPath("id_token_hint", identity)).wantStatus(http.StatusFound)
			s.get(authPath("id_token_hint", identity[:len(identity)-8]+"AAAAAAAA")).wantStatus(http.StatusOK) // it is no hint
			document := s.get("/dex/.well-known/openid-configuration").json()
			if got := toText(document["id_token_signing_alg_values_supported"]); got != "["+want.algorithm+"]" {
				t.Errorf("published algorithms are %s", got)
			}
			refreshed := s.token(refreshForm(tokens.text("refresh_token"))).wantStatus(http.StatusOK)
			s.verified(refreshed.text("id_token"), want.algorithm)
		})
	}
}

// Without Vault there are no tokens, and what was issued before can be used; with it again, nothing was lost.
func TestVaultDown(t *testing.T) {
	s, vault := startInVault(t, "ecdsa-p256")
	before := s.tokens()
	code, keys := s.code(), s.get("/dex/keys").body
	for _, fail := range []func(bool){vault.SetDown, vault.SetSealed} {
		fail(true)
		a := s.token(codeForm(code))
		a.wantError(http.StatusInternalServerError, "server_error")
		if strings.Contains(a.body, "Vault") || strings.Contains(a.body, "_token\"") {
			t.Errorf("the application is told %s", a.body)
		}
		s.token(refreshForm(before.text("refresh_token"))).wantError(http.StatusInternalServerError, "server_error")
		b := s.browser()
		q := b.post(b.consent("response_type", "id_token"), approved).wantRedirectError("server_error")
		if q.Has("id_token") {
			t.Errorf("the application gets %v", q)
		}
		s.bearer(before.text("access_token")).wantStatus(http.StatusOK)
		if got := s.introspected(before.text("access_token")).json()["active"]; got != true {
			t.Errorf("introspection says active: %v", got)
		}
		if got := s.get("/dex/keys").wantStatus(http.StatusOK).body; got != keys {
			t.Errorf("published are %s, want %s", got, keys)
		}
		fail(false)
	}
	s.token(codeForm(code)).wantStatus(http.StatusOK)
	s.token(refreshForm(before.text("refresh_token"))).wantStatus(http.StatusOK)
}

func TestVaultStartErrors(t *testing.T) {
	vault := transittest.New()
	vault.Create("other", "ecdsa-p256")
	addr := vault.Start(t)
	for token, want := range map[string]string{
		transittest.Root: `signing keys: read the key "dex" from Vault: Vault answered 404 ` +
			`(there is no such key, or no Transit engine mounted at transit/)`,
		"s.wrong": `signing keys: read the key "dex" from Vault: Vault answered 403: permission denied ` +
			`(the token must be valid and have the capability "read" on transit/keys/dex)`,
	} {
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(inVault(addr, token))})
		if plan == nil {
			t.Fatal(app.Report(problems))
		}
		_, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestDepartureKeyPublication(t *testing.T) {
	for setting, want := range map[string]bool{"": false, "default": false, "upstream": true} {
		t.Run("D-905 with "+setting, func(t *testing.T) {
			kept := memory.New()
			old := generate(t)
			_, err := store.In(kept, signing.Kind).Create(t.Context(), signing.RecordKey,
				signing.Keyset{Current: old, RotateAt: time.Now().Add(-time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			s := startOn(t, configuration+"oauth2: {compatibility: {keyPublication: "+setting+"}}\n",
				func(store.Store) store.Store { return kept })
			if now := keyset(t, kept); (now.Current.KeyID != old.KeyID) != want || (now.Next == nil) != want {
				t.Errorf("the key %s signs after the rotation of %s, next is %v", now.Current.KeyID, old.KeyID, now.Next)
			}
			s.verified(s.tokens().text("id_token"), "RS256")
		})
	}
}

// A key in Vault has one algorithm: a client that asks for another one is a mistake that shows at the start.
func TestAlgorithmOfOneClientInVault(t *testing.T) {
	t.Parallel()
	for algorithm, good := range map[string]bool{"ES256": true, "RS256": false, "EdDSA": false} {
		vault := transittest.New()
		vault.Create("dex", "ecdsa-p256")
		yaml := strings.Replace(inVault(vault.Start(t), transittest.Root), "name: App,", "name: App, tokens: {idTokenSignedResponseAlg: "+algorithm+"},", 1)
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
		if plan == nil {
			t.Fatal(app.Report(problems))
		}
		core, err := app.New(t.Context(), plan, app.Options{Log: slog.New(slog.DiscardHandler)})
		if core != nil {
			t.Cleanup(func() { _ = core.Close() })
		}
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), `client "app": tokens.idTokenSignedResponseAlg`) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}
