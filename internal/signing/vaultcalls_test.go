package signing_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/signing"
	"dex/internal/signing/transittest"
)

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
