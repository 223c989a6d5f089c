package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector/connectortest"
	"dex/internal/faulttest"
)

// An ID token that does not say when it was made was taken.
var _ = faulttest.Add("V2", func(t *testing.T) {
	for _, iat := range []any{nil, "soon", true} {
		if _, _, err := as(t, nil, object{"iat": iat}); err == nil || !strings.Contains(err.Error(), "insecureSkipIssuedAt") {
			t.Errorf("%v: %v", iat, err)
		}
		if _, _, err := as(t, object{"insecureSkipIssuedAt": true}, object{"iat": iat}); err != nil {
			t.Errorf("%v, as is set: %v", iat, err)
		}
	}
})

// A time that the provider writes as a text counted as none.
var _ = faulttest.Add("C-31", func(t *testing.T) {
	p := newProvider(t)
	p.IDToken = object{"exp": "9999999999", "iat": "1700000000", "auth_time": "1700000000"}
	id, err := p.signIn(p.open(nil))
	if err != nil || !id.AuthTime.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%v, %v", id.AuthTime, err)
	}
	p.IDToken = object{"exp": "1700000000"}
	if _, err := p.signIn(p.open(nil)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an old one: %v", err)
	}
})

// Userinfo that was signed by another algorithm than ID tokens was refused.
var _ = faulttest.Add("C-13", func(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "ec"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(`{"sub": "sub-1", "name": "Info"}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		algorithms any
		taken      bool
	}{
		"listed": {[]string{"ES256"}, true}, "nothing listed": {nil, true}, "another listed": {[]string{"RS256"}, false},
	} {
		p := newProvider(t)
		p.Discovery = object{"userinfo_signing_alg_values_supported": c.algorithms}
		p.Keys = []any{
			jose.JSONWebKey{Key: connectortest.SigningKey().Public(), KeyID: "1"}, jose.JSONWebKey{Key: key.Public(), KeyID: "ec"},
		}
		p.Info = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwt")
			_, _ = w.Write([]byte(token))
		}
		if id, err := p.signIn(p.open(object{"getUserInfo": true})); (err == nil && id.Username == "Info") != c.taken {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
})

// Userinfo without a sub was called another user's.
var _ = faulttest.Add("C-34", func(t *testing.T) {
	p := newProvider(t)
	p.UserInfo = object{"name": "J"}
	if _, err := p.signIn(p.open(object{"getUserInfo": true})); err == nil || !strings.Contains(err.Error(), `no text "sub"`) {
		t.Error(err)
	}
	p.UserInfo = object{"sub": "sub-2"}
	if _, err := p.signIn(p.open(object{"getUserInfo": true})); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Error(err)
	}
})

// A key that is for something else, as the provider says, was called no key of the provider.
var _ = faulttest.Add("C-37", func(t *testing.T) {
	for name, c := range map[string]struct {
		key  jose.JSONWebKey
		want string
	}{
		"for another algorithm": {jose.JSONWebKey{Algorithm: "RS512"}, `"1" is for RS512, and the token has RS256`},
		"for encryption":        {jose.JSONWebKey{Use: "enc"}, `"1" is for encryption`},
	} {
		c.key.Key, c.key.KeyID = connectortest.SigningKey().Public(), "1"
		p := newProvider(t)
		p.Keys = []any{c.key}
		if _, err := p.signIn(p.open(nil)); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "insecureIgnoreKeyUse") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.signIn(p.open(object{"insecureIgnoreKeyUse": true})); err != nil {
			t.Errorf("%s, as is set: %v", name, err)
		}
	}
})
