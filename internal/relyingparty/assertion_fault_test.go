package relyingparty_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/faulttest"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Providers that want assertions signed with the secret, or with RSA-PSS, could not be had.
var _ = faulttest.Add("K10", func(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := strings.Repeat("s", relyingparty.MinSecret)
	var form url.Values
	var authorization string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form, authorization = r.PostForm, r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token": "a"}`))
	}))
	defer s.Close()
	client, err := outbound.NewClient(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for alg, c := range map[jose.SignatureAlgorithm]struct {
		us  *relyingparty.Client
		key any
	}{
		jose.HS256: {&relyingparty.Client{ID: "dex", Secret: secret, Method: relyingparty.AuthSecretJWT}, []byte(secret)},
		jose.PS256: {&relyingparty.Client{ID: "dex", Method: relyingparty.AuthPrivateKey, Key: file, KeyAlgorithm: jose.PS256}, key.Public()},
		jose.RS256: {&relyingparty.Client{ID: "dex", Method: relyingparty.AuthPrivateKey, Key: file}, key.Public()},
	} {
		if _, err := c.us.Over(client).Ask(t.Context(), relyingparty.Endpoint{URL: s.URL}, url.Values{"code": {"x"}}); err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		signed, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{alg})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		payload, err := signed.Verify(c.key)
		var said struct{ Iss, Sub, Aud, Jti string }
		if jsonErr := json.Unmarshal(payload, &said); err != nil || jsonErr != nil || said.Iss != "dex" || said.Sub != "dex" ||
			said.Aud != s.URL || said.Jti == "" {
			t.Errorf("%s: %s, %v", alg, payload, err)
		}
		if form.Has("client_secret") || authorization != "" {
			t.Errorf("%s: the secret is shown too: %v %q", alg, form, authorization)
		}
	}
	wrong := &relyingparty.Client{ID: "dex", Method: relyingparty.AuthPrivateKey, Key: file, KeyAlgorithm: jose.ES256}
	if _, err := wrong.Over(client).Ask(t.Context(), relyingparty.Endpoint{URL: s.URL}, nil); err == nil {
		t.Error("ES256 with an RSA key")
	}
})
