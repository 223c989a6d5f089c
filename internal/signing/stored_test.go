package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func keyOf(t *testing.T, name string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch name {
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "short RSA":
		key, err = rsa.GenerateKey(rand.Reader, 1024)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func openStored(t *testing.T, key jose.JSONWebKey) (*signing.Local, error) {
	t.Helper()
	s := memory.New()
	stored := signing.Keyset{Current: key, RotateAt: time.Now().Add(time.Hour)}
	if _, err := store.In(s, signing.Kind).Create(t.Context(), signing.RecordKey, stored); err != nil {
		t.Fatal(err)
	}
	return signing.Open(t.Context(), s, config(signing.RS256), quiet, event.Discard)
}

// Keys that upstream has stored, which may lack an algorithm, sign with the one of their type.
func TestStoredKeysOfEveryType(t *testing.T) {
	for _, algorithm := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		for _, written := range []string{"", algorithm} {
			key := jose.JSONWebKey{Key: keyOf(t, algorithm), KeyID: "k", Algorithm: written, Use: "sig"}
			l, err := openStored(t, key)
			if err != nil {
				t.Fatal(err)
			}
			set := keySet(t, l)
			verify(t, set, mustSign(t, l), algorithm)
			if set.Keys[0].Algorithm != algorithm {
				t.Errorf("published for %q, want %s", set.Keys[0].Algorithm, algorithm)
			}
			if _, err := l.Verify(mustSign(t, l)); err != nil {
				t.Errorf("%s: %v", algorithm, err)
			}
		}
	}
	for name, key := range map[string]jose.JSONWebKey{
		"another algorithm": {Key: keyOf(t, "RS256"), KeyID: "k", Algorithm: "PS256"},
		"another curve":     {Key: keyOf(t, "ES384"), KeyID: "k", Algorithm: "ES256"},
		"no id":             {Key: keyOf(t, "ES384")},
		"symmetric":         {Key: []byte("secret"), KeyID: "k", Algorithm: "HS256"},
		"public":            {Key: keyOf(t, "ES256").Public(), KeyID: "k"},
		"too short":         {Key: keyOf(t, "short RSA"), KeyID: "k"},
	} {
		if _, err := openStored(t, key); err == nil {
			t.Errorf("%s: a signer opened", name)
		}
	}
}

// Upstream's way: there is never a key that does not sign yet.
func TestNextKeySignsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		cfg := config(signing.ES256)
		cfg.SignAtOnce = true
		a, b := start(t, s, cfg), start(t, s, cfg)
		first := published(t, a)
		time.Sleep(period - time.Second)
		if got := published(t, a); len(got) != 1 || a.MaxAge() != 10*time.Minute {
			t.Errorf("before the rotation %v are published for %v, want one key for 10 minutes", got, a.MaxAge())
		}
		time.Sleep(2 * time.Second)
		got := published(t, a)
		if len(got) != 2 || got[1] != first[0] {
			t.Fatalf("after the rotation %v are published, want a new key and then %v", got, first)
		}
		if id := verify(t, keySet(t, b), mustSign(t, a), "ES256"); id != got[0] {
			t.Errorf("%s signs, want %s", id, got[0])
		}
		// Who changes back has a key published before it signs from the next rotation on.
		cfg.SignAtOnce = false
		c := start(t, s, cfg)
		time.Sleep(period - a.MaxAge())
		if got := published(t, c); len(got) != 3 {
			t.Errorf("published are %v, want the next key too", got)
		}
	})
}
