package signing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/signing"
	"dex/internal/signing/transittest"
)

const body = `{"sub":"somebody"}`

// inVault returns where the key "dex" is.
func inVault(carrier http.RoundTripper) signing.VaultConfig {
	return signing.VaultConfig{Addr: "https://vault.test", Token: transittest.Root, KeyName: "dex", Transport: carrier}
}

// startVault opens a signer that runs until the test ends, and returns its log.
func startVault(t *testing.T, cfg signing.VaultConfig) (*signing.Vault, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	v, err := signing.OpenVault(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { v.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return v, log
}

func withKey(typ string) *transittest.Server {
	s := transittest.New()
	s.Create("dex", typ)
	return s
}

// A signer is what Local and Vault have in common.
type signer interface {
	Key() *signing.Key
	JWKS() signing.Document
	MaxAge() time.Duration
	Verify(string) ([]byte, error)
}

func keySet(t *testing.T, s signer) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS().Body, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// verify verifies a token as an application does, with keys that it fetched, and returns the id of the key.
func verify(t *testing.T, set jose.JSONWebKeySet, token, algorithm string) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
	if err != nil {
		t.Fatal(err)
	}
	id := jws.Signatures[0].Header.KeyID
	keys := set.Key(id)
	if len(keys) != 1 {
		t.Fatalf("%d published keys have the id %s", len(keys), id)
	}
	if payload, err := jws.Verify(keys[0]); err != nil || string(payload) != body {
		t.Fatalf("got %q, %v; want the payload", payload, err)
	}
	return id
}

func mustSign(t *testing.T, s signer) string {
	t.Helper()
	token, err := s.Key().Sign(t.Context(), "", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVaultSignsWithEveryTypeOfKey(t *testing.T) {
	half := func(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }
	s256, s384 := sha256.Sum256([]byte("access-token-example")), sha512.Sum384([]byte("access-token-example"))
	h256, h384, h512 := half(s256[:]), half(s384[:]), "OXNibdu64mhOMbfmXmSIdeQF1_A100sZGPpqPhGJJTY"
	for typ, want := range map[string]struct{ algorithm, hash string }{
		"rsa-2048":   {"RS256", h256},
		"rsa-3072":   {"RS256", h256},
		"rsa-4096":   {"RS256", h256},
		"ecdsa-p256": {"ES256", h256},
		"ecdsa-p384": {"ES384", h384},
		"ecdsa-p521": {"ES512", h512},
		"ed25519":    {"EdDSA", h512},
	} {
		t.Run(typ, func(t *testing.T) {
			v, err := signing.OpenVault(t.Context(), inVault(withKey(typ)), quiet)
			if err != nil {
				t.Fatal(err)
			}
			token := mustSign(t, v)
			id := verify(t, keySet(t, v), token, want.algorithm)
			if got, err := v.Verify(token); err != nil || string(got) != body {
				t.Errorf("Verify returns %q, %v", got, err)
			}
			thumbprint, err := keySet(t, v).Keys[0].Thumbprint(5) // crypto.SHA256
			if err != nil || base64.RawURLEncoding.EncodeToString(thumbprint) != id {
				t.Errorf("the key id %s is not the thumbprint", id)
			}
			header, _, _ := strings.Cut(token, ".")
			if got, _ := base64.RawURLEncoding.DecodeString(header); string(got) != `{"alg":"`+want.algorithm+`","kid":"`+id+`"}` {
				t.Errorf("header is %s", got)
			}
			if got := v.Key().HalfHash("access-token-example"); got != want.hash {
				t.Errorf("half hash is %s, want %s", got, want.hash)
			}
			typed, err := v.Key().Sign(t.Context(), "logout+jwt", []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			verify(t, keySet(t, v), typed, want.algorithm)
			header, _, _ = strings.Cut(typed, ".")
			if got, _ := base64.RawURLEncoding.DecodeString(header); string(got) != `{"alg":"`+want.algorithm+`","kid":"`+id+`","typ":"logout+jwt"}` {
				t.Errorf("header is %s", got)
			}
			if got := v.Algorithms(); len(got) != 1 || got[0] != want.algorithm {
				t.Errorf("algorithms are %v", got)
			}
		})
	}
}

// Applications read the published keys as seldom as they may, and still every token can be verified with what they have.
func TestVaultRotatesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKey("ecdsa-p256")
		first, _ := startVault(t, inVault(s))
		time.Sleep(13 * time.Second) // replicas don't read at the same time
		second, _ := startVault(t, inVault(s))
		replicas := []signer{first, second}

		var load sync.WaitGroup
		seen := make([]map[string]bool, 4)
		for i := range seen {
			seen[i] = map[string]bool{}
			load.Go(func() {
				time.Sleep(time.Duration(i) * 7 * time.Second)
				var cached jose.JSONWebKeySet
				var fetched time.Time
				for n := range 600 {
					if publisher := replicas[n%2]; time.Since(fetched) > publisher.MaxAge() {
						cached, fetched = keySet(t, publisher), time.Now()
					}
					token := mustSign(t, replicas[(i+n/2)%2])
					seen[i][verify(t, cached, token, "ES256")] = true
					for _, r := range replicas {
						if _, err := r.Verify(token); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(6 * time.Second)
				}
			})
		}
		for range 3 {
			time.Sleep(15 * time.Minute)
			s.Rotate("dex")
		}
		load.Wait()
		for _, ids := range seen {
			if len(ids) != 4 {
				t.Errorf("%d versions have signed, want 4", len(ids))
			}
		}
		if got := len(keySet(t, first).Keys); got != 4 {
			t.Errorf("%d keys are published, want 4", got)
		}
	})
}

func TestVaultVersionsSignAfterTheyWerePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKey("ed25519")
		v, _ := startVault(t, inVault(s))
		old := keySet(t, v).Keys[0].KeyID
		s.Rotate("dex")
		time.Sleep(31 * time.Second)
		set := keySet(t, v)
		if len(set.Keys) != 2 || set.Keys[1].KeyID != old {
			t.Fatalf("published are %v, want the new version and then %s", set.Keys, old)
		}
		fresh := set.Keys[0].KeyID
		time.Sleep(v.MaxAge())
		if got := verify(t, set, mustSign(t, v), "EdDSA"); got != old {
			t.Error("the new version signs before everybody knows it")
		}
		// Whoever starts now knows as much.
		late, _ := startVault(t, inVault(s))
		if got := verify(t, set, mustSign(t, late), "EdDSA"); got != old {
			t.Error("the new version signs before everybody knows it, after a start")
		}
		time.Sleep(2 * time.Minute)
		for _, signer := range []signer{v, late} {
			if got := verify(t, set, mustSign(t, signer), "EdDSA"); got != fresh {
				t.Error("the new version does not sign")
			}
		}
		// After a leak nobody waits.
		s.Rotate("dex")
		s.SetMinimum("dex", 3, 3)
		time.Sleep(31 * time.Second)
		set = keySet(t, v)
		if len(set.Keys) != 1 || verify(t, set, mustSign(t, v), "EdDSA") == fresh {
			t.Errorf("published are %v, want the third version alone", set.Keys)
		}
		s.Rotate("dex")
		s.SetMinimum("dex", 3, 4)
		time.Sleep(31 * time.Second)
		set = keySet(t, v)
		if got := verify(t, set, mustSign(t, v), "EdDSA"); got != set.Keys[0].KeyID || len(set.Keys) != 2 {
			t.Error("a version signs that Vault does not let sign")
		}
	})
}

func TestVaultVersionsSignAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKey("ecdsa-p256")
		cfg := inVault(s)
		cfg.SignAtOnce = true
		v, _ := startVault(t, cfg)
		old := keySet(t, v).Keys[0].KeyID
		s.Rotate("dex")
		time.Sleep(31 * time.Second)
		if verify(t, keySet(t, v), mustSign(t, v), "ES256") == old {
			t.Error("the old version signs")
		}
	})
}

// A token of a version that this replica has not seen yet is verified, and nobody can make it read the key for each of
// many tokens with ids that don't exist.
func TestVaultUnknownKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKey("ecdsa-p256")
		cfg := inVault(s)
		cfg.SignAtOnce = true
		v, _ := startVault(t, cfg)
		time.Sleep(10 * time.Second)
		s.Rotate("dex")
		other, _ := startVault(t, cfg)
		token := mustSign(t, other)
		var asking sync.WaitGroup
		before := s.Asked("transit/keys/dex")
		for range 10 {
			asking.Go(func() {
				if _, err := v.Verify(token); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if got := s.Asked("transit/keys/dex") - before; got != 1 {
			t.Errorf("the key was read %d times, want 1", got)
		}

		foreign := withKey("ecdsa-p256")
		stranger, _ := startVault(t, inVault(foreign))
		before = s.Asked("transit/keys/dex")
		for range 20 {
			if _, err := v.Verify(mustSign(t, stranger)); !errors.Is(err, signing.ErrBadToken) {
				t.Errorf("a stranger's token: %v, want ErrBadToken", err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if got := s.Asked("transit/keys/dex") - before; got > 3 {
			t.Errorf("the key was read %d times in 10 s", got)
		}
	})
}

func TestVaultIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKey("rsa-2048")
		v, log := startVault(t, inVault(s))
		token, published := mustSign(t, v), string(v.JWKS().Body)
		for name, fail := range map[string]func(bool){"down": s.SetDown, "sealed": s.SetSealed} {
			log.Reset()
			fail(true)
			time.Sleep(5 * time.Minute)
			if got, err := v.Key().Sign(t.Context(), "", []byte(body)); err == nil || got != "" {
				t.Errorf("%s: signing returns %q, %v", name, got, err)
			}
			if _, err := v.Verify(token); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if string(v.JWKS().Body) != published {
				t.Errorf("%s: other keys are published", name)
			}
			fail(false)
			mustSign(t, v)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := strings.Count(log.String(), "level="); got != 2 {
				t.Errorf("%s: want one line for the failure and one for its end:\n%s", name, log)
			}
		}
	})
}
