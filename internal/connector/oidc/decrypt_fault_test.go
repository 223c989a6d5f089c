package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/faulttest"
	"dex/internal/oauth"
)

// privateKeys writes private keys to a file.
func privateKeys(t *testing.T, keys ...crypto.PrivateKey) string {
	t.Helper()
	var text []byte
	for _, key := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	path := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func encrypt(t *testing.T, alg jose.KeyAlgorithm, enc jose.ContentEncryption, key crypto.PublicKey, content string) string {
	t.Helper()
	encrypter, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: key}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := encrypter.Encrypt([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	token, err := encrypted.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Providers that encrypt what they say could not be used, and an encrypted token was called forged.
var _ = faulttest.Add("K10", func(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	both := privateKeys(t, another, curve, connectortest.SigningKey())
	rsa := connectortest.SigningKey().Public()
	for name, c := range map[string]struct {
		alg   jose.KeyAlgorithm
		enc   jose.ContentEncryption
		key   crypto.PublicKey
		file  string
		inner string // instead of the signed token
		wrong string // in the error; "" if it is taken
	}{
		"RSA":               {alg: jose.RSA_OAEP_256, enc: jose.A256GCM, key: rsa, file: both},
		"curve":             {alg: jose.ECDH_ES, enc: jose.A128GCM, key: curve.Public(), file: both},
		"no key":            {alg: jose.RSA_OAEP_256, enc: jose.A128GCM, key: rsa, wrong: "no decryptionKey"},
		"another key":       {alg: jose.ECDH_ES, enc: jose.A128GCM, key: curve.Public(), file: privateKeys(t, another), wrong: "not in decryptionKey"},
		"another algorithm": {alg: jose.RSA_OAEP, enc: jose.A128CBC_HS256, key: rsa, file: both, wrong: `alg "RSA-OAEP" and enc "A128CBC-HS256"`},
		"not signed":        {alg: jose.RSA_OAEP_256, enc: jose.A128GCM, key: rsa, file: both, inner: `{"sub":"sub-1"}`, wrong: "no signed token"},
		"forged":            {alg: jose.RSA_OAEP_256, enc: jose.A128GCM, key: rsa, file: both, inner: unsigned(object{"aud": "dex"}), wrong: "no key of the provider"},
	} {
		p := newProvider(t)
		settings := object{}
		if c.file != "" {
			settings["decryptionKey"] = c.file
		}
		connection := p.open(settings)
		_, data := p.begin(connection, connector.LoginRequest{})
		inner := c.inner
		if inner == "" {
			inner = p.Sign(object{"at_hash": nil})
		}
		token := encrypt(t, c.alg, c.enc, c.key, inner)
		p.Answer = object{"id_token": token}
		id, err := p.back(connection, data, map[string][]string{"code": {"c"}})
		if c.wrong == "" && (err != nil || id.UserID != "sub-1") || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
		if _, refused := p.exchange(t, settings, oauth.TokenTypeID, token); (refused == "") != (c.wrong == "") || !strings.Contains(refused, c.wrong) {
			t.Errorf("%s: exchange: %q", name, refused)
		}
	}
})

// The same for userinfo, which may be encrypted without being signed.
var _ = faulttest.Add("K10", func(t *testing.T) {
	p := newProvider(t)
	said := object{"sub": "sub-1", "name": "Info", "iss": p.URL}
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	settings := object{"getUserInfo": true, "exchangeAccessTokensBy": "userinfo", "decryptionKey": privateKeys(t, connectortest.SigningKey())}
	for name, c := range map[string]struct {
		content string
		taken   bool
	}{"signed": {p.Sign(said), true}, "not signed": {string(text), true}, "forged": {unsigned(said), false}} {
		token := encrypt(t, jose.RSA_OAEP_256, jose.A128GCM, connectortest.SigningKey().Public(), c.content)
		p.Info = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwt")
			_, _ = w.Write([]byte(token + "\n"))
		}
		if id, err := p.signIn(p.open(settings)); (err == nil && id.Username == "Info") != c.taken {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
		if _, err := p.signIn(p.open(merged(settings, object{"decryptionKey": nil}))); err == nil || !strings.Contains(err.Error(), "no decryptionKey") {
			t.Errorf("%s without a key: %v", name, err)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "missing"), "decrypt_fault_test.go"} {
		c, _ := decode(t, object{"issuer": p.URL, "clientID": "dex", "decryptionKey": path})
		if c.CheckFiles()["decryptionKey"] == nil {
			t.Errorf("%s: the check finds nothing wrong", path)
		}
		if _, err := c.Open(t.Context(), connector.Env{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "decryptionKey") {
			t.Errorf("%s: %v", path, err)
		}
	}
})
