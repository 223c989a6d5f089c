package signing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

func TestVaultLostConnection(t *testing.T) {
	s := withKey("ecdsa-p256")
	v, err := signing.OpenVault(t.Context(), inVault(s), quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Lose(1)
	mustSign(t, v)
	s.Lose(2)
	if _, err := v.Key().Sign(t.Context(), "", []byte(body)); err == nil {
		t.Error("signed with two connections lost")
	}
}

// hanging answers nothing until it is given up.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestVaultHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := signing.OpenVault(t.Context(), inVault(hanging{}), quiet)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want an exceeded deadline", err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %v, want 5 s", took)
		}
	})
}

// A key that was deleted and made anew has the same name and version, but is another.
func TestVaultSignatureOfAnotherKey(t *testing.T) {
	for _, typ := range []string{"rsa-2048", "ecdsa-p256", "ed25519"} {
		s := withKey(typ)
		v, err := signing.OpenVault(t.Context(), inVault(s), quiet)
		if err != nil {
			t.Fatal(err)
		}
		s.Create("dex", typ)
		if _, err := v.Key().Sign(t.Context(), "", []byte(body)); err == nil {
			t.Errorf("%s: there is a token that nobody can verify", typ)
		}
	}
}

func TestVaultNamespace(t *testing.T) {
	s := withKey("ecdsa-p256")
	s.SetNamespace("team/a")
	cfg := inVault(s)
	if _, err := signing.OpenVault(t.Context(), cfg, quiet); err == nil {
		t.Error("there is a key outside of its namespace")
	}
	cfg.Namespace = "team/a"
	if _, err := signing.OpenVault(t.Context(), cfg, quiet); err != nil {
		t.Error(err)
	}
}

func TestVaultStartErrors(t *testing.T) {
	sealed := withKey("rsa-2048")
	sealed.SetSealed(true)
	down := withKey("rsa-2048")
	down.SetDown(true)
	reader := withKey("rsa-2048")
	reader.Allow("s.reader", transittest.Token{})
	for name, c := range map[string]struct {
		server http.RoundTripper
		change func(*signing.VaultConfig)
		want   string
	}{
		"no key": {transittest.New(), nil,
			`read the key "dex" from Vault: Vault answered 404 (there is no such key, or no Transit engine mounted at transit/)`},
		"wrong token": {withKey("rsa-2048"), func(c *signing.VaultConfig) { c.Token = "s.wrong" },
			`read the key "dex" from Vault: Vault answered 403: permission denied ` +
				`(the token must be valid and have the capability "read" on transit/keys/dex)`},
		"may not sign": {reader, func(c *signing.VaultConfig) { c.Token = "s.reader" },
			`Vault answered 403: 1 error occurred: * permission denied ` +
				`(the token must be valid and have the capability "update" on transit/sign/dex)`},
		"symmetric": {withKey("aes256-gcm96"), nil,
			`the key "dex" in Vault: keys of the type "aes256-gcm96" (derived: false) can't sign tokens`},
		"sealed":     {sealed, nil, `Vault answered 503: Vault is sealed`},
		"down":       {down, nil, `connection lost`},
		"no CA file": {nil, func(c *signing.VaultConfig) { c.CAFile = "/nowhere/ca.pem" }, `/nowhere/ca.pem`},
		"bad CA file": {nil, func(c *signing.VaultConfig) { c.CAFile = "vault_test.go" },
			`there is no certificate in vault_test.go`},
	} {
		cfg := inVault(c.server)
		if c.change != nil {
			c.change(&cfg)
		}
		_, err := signing.OpenVault(t.Context(), cfg, quiet)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), cfg.Token) {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

func TestVaultHugeAnswer(t *testing.T) {
	huge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<11))
		}
	}))
	defer huge.Close()
	cfg := inVault(nil)
	cfg.Addr = huge.URL
	if _, err := signing.OpenVault(t.Context(), cfg, quiet); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

// A standby server sends its clients to the active one; anything else is not followed.
func TestVaultRedirect(t *testing.T) {
	active := withKey("ecdsa-p256").Start(t)
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, active+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer standby.Close()
	cfg := inVault(nil)
	cfg.Addr = standby.URL
	v, err := signing.OpenVault(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	mustSign(t, v)

	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, standby.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer loop.Close()
	cfg.Addr = loop.URL
	if _, err := signing.OpenVault(t.Context(), cfg, quiet); err == nil {
		t.Error("two redirects are followed")
	}
	secure := httptest.NewTLSServer(standby.Config.Handler)
	defer secure.Close()
	cfg.Addr, cfg.Transport = secure.URL, secure.Client().Transport
	if _, err := signing.OpenVault(t.Context(), cfg, quiet); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("redirect out of TLS: %v", err)
	}
}

func TestVaultTokenIsRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		token transittest.Token
		after time.Duration
		signs bool
		warns string
	}{
		"periodic":         {transittest.Token{TTL: time.Minute, Renewable: true}, 24 * time.Hour, true, ""},
		"for ever":         {transittest.Token{}, 24 * time.Hour, true, ""},
		"not renewable":    {transittest.Token{TTL: time.Hour}, 2 * time.Hour, false, "can't be renewed"},
		"within its limit": {transittest.Token{TTL: time.Hour, MaxTTL: 24 * time.Hour, Renewable: true}, 23 * time.Hour, true, ""},
		"over its limit": {transittest.Token{TTL: time.Hour, MaxTTL: 24 * time.Hour, Renewable: true}, 25 * time.Hour, false,
			"has reached the end of its life"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := withKey("ecdsa-p256")
				c.token.MaySign = true
				s.Allow("s.ours", c.token)
				cfg := inVault(s)
				cfg.Token = "s.ours"
				v, log := startVault(t, cfg)
				time.Sleep(c.after)
				if _, err := v.Key().Sign(t.Context(), "", []byte(body)); (err == nil) != c.signs {
					t.Errorf("signing after %v: %v", c.after, err)
				}
				synctest.Wait()
				if c.warns == "" && log.Len() > 0 || !strings.Contains(log.String(), c.warns) {
					t.Errorf("want a line %q, got\n%s", c.warns, log)
				}
			})
		})
	}
}

// A Vault that was down when the token had to be renewed, and is back before the token ends, renews it then.
func TestVaultTokenIsRenewedAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKey("ecdsa-p256")
		s.Allow("s.ours", transittest.Token{MaySign: true, TTL: time.Hour, Renewable: true})
		cfg := inVault(s)
		cfg.Token = "s.ours"
		v, log := startVault(t, cfg)
		time.Sleep(25 * time.Minute)
		s.SetDown(true)
		time.Sleep(20 * time.Minute)
		s.SetDown(false)
		time.Sleep(10 * time.Hour)
		mustSign(t, v)
		synctest.Wait()
		if !strings.Contains(log.String(), "could not be renewed") {
			t.Errorf("there is no warning:\n%s", log)
		}
	})
}
