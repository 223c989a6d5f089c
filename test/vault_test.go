package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"dex/test/servers"
)

// TestVault signs with a real Vault, with the policy from the documentation.
func TestVault(t *testing.T) {
	t.Parallel()
	vault, err := servers.StartVault(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vault.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("types of keys", func(t *testing.T) {
		for typ, algorithm := range map[string]string{"rsa-2048": "RS256", "rsa-4096": "RS256", "ecdsa-p256": "ES256", "ed25519": "EdDSA"} {
			t.Run(typ, func(t *testing.T) { newVaultKey(t, vault, typ).serves(t, algorithm) })
		}
	})
	t.Run("rotation under load", func(t *testing.T) { testVaultRotation(t, newVaultKey(t, vault, "ecdsa-p256")) })
	t.Run("upstream's rotation", func(t *testing.T) { testVaultRotationAtOnce(t, newVaultKey(t, vault, "ecdsa-p256")) })
	t.Run("token is renewed", func(t *testing.T) { testVaultToken(t, newVaultKey(t, vault, "ecdsa-p256")) })
	t.Run("start errors", func(t *testing.T) { testVaultStartErrors(t, newVaultKey(t, vault, "aes256-gcm96")) })
	t.Run("outage", func(t *testing.T) { testVaultOutage(t, newVaultKey(t, vault, "ecdsa-p256")) }) // last: it affects all tests
}

// documentedPolicy returns the documentation's policy for a key.
func documentedPolicy(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "signing-vault.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, policy, ok := strings.Cut(string(text), "```hcl\n")
	policy, _, closed := strings.Cut(policy, "```")
	if !ok || !closed || !strings.Contains(policy, "/dex\"") {
		t.Fatal("there is no policy in the documentation")
	}
	return strings.ReplaceAll(policy, "/dex\"", "/"+key+"\"")
}

// A vaultKey is a key in Vault, with a token that may sign with it.
type vaultKey struct {
	vault       *servers.Vault
	addr        string
	name, token string
}

func newVaultKey(t *testing.T, vault *servers.Vault, typ string) *vaultKey {
	t.Helper()
	k := &vaultKey{vault: vault, addr: vault.URL, name: "key-" + strings.ToLower(rand.Text()[:8])}
	if err := vault.CreateKey(t.Context(), k.name, typ); err != nil {
		t.Fatal(err)
	}
	k.newToken(t, map[string]any{"period": "24h", "no_parent": true})
	return k
}

func (k *vaultKey) newToken(t *testing.T, options map[string]any) {
	t.Helper()
	var err error
	if k.token, err = k.vault.CreateToken(t.Context(), k.name, documentedPolicy(t, k.name), options); err != nil {
		t.Fatal(err)
	}
}

// do sends a request below the key.
func (k *vaultKey) do(t *testing.T, path string, body map[string]any) {
	t.Helper()
	if _, err := k.vault.Do(t.Context(), k.vault.Root, http.MethodPost, "transit/keys/"+k.name+path, body); err != nil {
		t.Fatal(err)
	}
}

// configure makes the key the signer. Vault's address and the token are in the environment.
func (k *vaultKey) configure(c *configuration) *configuration {
	return c.with("signer", section{"type": "vault", "config": section{"keyName": k.name}})
}

func (k *vaultKey) command(t *testing.T, c *configuration) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binaries.dex, "serve", c.write(t))
	cmd.Env = append(cleanEnvironment(), "VAULT_ADDR="+k.addr, "VAULT_TOKEN="+k.token, "VAULT_CACERT="+k.vault.CAFile)
	return cmd
}

// start starts a server.
func (k *vaultKey) start(t *testing.T, c *configuration) *dex {
	t.Helper()
	transport := newTransport(nil)
	d := &dex{process: startCommand(t, "dex", k.command(t, c)), configuration: c, transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	return d
}

// serves signs a user in to an application in Go.
func (k *vaultKey) serves(t *testing.T, algorithm string) {
	t.Helper()
	g := newGoProgram(t, k.start(t, k.configure(newConfiguration(t))))
	tokens := g.signIn(t)
	g.checkIDToken(t, tokens)
	g.refresh(t, tokens)
	g.checkUserInfo(t, tokens)
	raw, _ := tokens.Extra("id_token").(string)
	strict := g.provider.Verifier(&oidc.Config{ClientID: clientID, SupportedSigningAlgs: []string{algorithm}})
	if _, err := strict.Verify(g.ctx, raw); err != nil {
		t.Errorf("the token is not signed by %s: %v", algorithm, err)
	}
}

// verifier returns a verifier with the currently published keys, which it never reads again.
func (d *dex) verifier(t *testing.T) *oidc.IDTokenVerifier {
	t.Helper()
	status, keys := d.fetch(t, d.endpoint("/keys"))
	if status != http.StatusOK {
		t.Fatalf("/keys answers %d", status)
	}
	frozen := &http.Client{Transport: answering(keys)}
	return oidc.NewVerifier(d.issuer, oidc.NewRemoteKeySet(oidc.ClientContext(t.Context(), frozen), d.issuer+"/keys"),
		&oidc.Config{ClientID: clientID, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256, oidc.EdDSA}})
}

// answering answers every request with the same keys.
type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

// testVaultRotation rotates the key while people sign in: the keys that applications have cached are enough all the time.
func testVaultRotation(t *testing.T, k *vaultKey) {
	c := k.configure(newConfiguration(t))
	d := k.start(t, c)
	verifier, old := d.verifier(t), d.keyIDs(t)
	verify := func(ctx context.Context, d *dex) {
		tokens, err := d.login(ctx, "mock")
		if err == nil {
			_, err = verifier.Verify(ctx, tokens.IDToken)
		}
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var logins atomic.Int32
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				verify(ctx, d)
				logins.Add(1)
			}
		})
	}
	for range 3 {
		k.do(t, "/rotate", nil)
		enough := logins.Load() + 20
		eventually(t, patience, "people sign in", func() bool { return logins.Load() >= enough })
	}
	stop()
	load.Wait()

	// A server that starts now publishes the new versions, and signs with the one that everybody knows.
	d.stop(t)
	d = k.start(t, c)
	if ids := d.keyIDs(t); len(ids) != 4 || !slices.Contains(ids, old[0]) {
		t.Errorf("published are %v, want the four versions with %v", ids, old)
	}
	verify(t.Context(), d)

	// After a leak.
	before := d.mustLogin(t, "mock")
	k.do(t, "/config", map[string]any{"min_encryption_version": 4})
	k.do(t, "/config", map[string]any{"min_decryption_version": 4})
	d.stop(t)
	d = k.start(t, c)
	if ids := d.keyIDs(t); len(ids) != 1 || ids[0] == old[0] {
		t.Errorf("published are %v, want the fourth version alone", ids)
	}
	if status, _ := d.userInfo(t, d.mustLogin(t, "mock").AccessToken); status != http.StatusOK {
		t.Errorf("UserInfo answers %d", status)
	}
	if status, _ := d.userInfo(t, before.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("to a token of the leaked version, UserInfo answers %d", status)
	}
}

// testVaultRotationAtOnce rotates the key without waiting.
func testVaultRotationAtOnce(t *testing.T, k *vaultKey) {
	c := k.configure(newConfiguration(t)).with("oauth2", section{"compatibility": section{"keyPublication": "upstream"}})
	d := k.start(t, c)
	verifier := d.verifier(t)
	k.do(t, "/rotate", nil)
	d.stop(t) // instead of waiting until it reads the key
	d = k.start(t, c)
	tokens := d.mustLogin(t, "mock")
	if _, err := verifier.Verify(t.Context(), tokens.IDToken); err == nil {
		t.Error("the new version does not sign")
	}
	if _, err := d.verifier(t).Verify(t.Context(), tokens.IDToken); err != nil {
		t.Errorf("the new version is not published: %v", err)
	}
}

// testVaultToken signs in after the token would have expired without renewal.
func testVaultToken(t *testing.T, k *vaultKey) {
	k.newToken(t, map[string]any{"period": "4s", "no_parent": true})
	d := k.start(t, k.configure(newConfiguration(t)))
	var told struct {
		Data struct {
			Created int64  `json:"creation_time"`
			Expires string `json:"expire_time"`
		} `json:"data"`
	}
	eventually(t, patience, "the token is renewed", func() bool {
		answer, err := k.vault.Do(t.Context(), k.vault.Root, http.MethodPost, "auth/token/lookup", map[string]any{"token": k.token})
		if err != nil {
			t.Fatalf("the token is gone: %v", err)
		}
		if err := json.Unmarshal(answer, &told); err != nil {
			t.Fatal(err)
		}
		expires, err := time.Parse(time.RFC3339, told.Data.Expires)
		return err == nil && expires.Unix() > told.Data.Created+8 // the second renewal at least
	})
	d.mustLogin(t, "mock")
}

// testVaultStartErrors starts with settings that can't work.
func testVaultStartErrors(t *testing.T, symmetric *vaultKey) {
	signing := newVaultKey(t, symmetric.vault, "ecdsa-p256")
	for name, c := range map[string]struct {
		key  vaultKey
		want string
	}{
		"type of key": {*symmetric, `keys of the type "aes256-gcm96" (derived: false) can't sign tokens`},
		"wrong token": {vaultKey{vault: signing.vault, addr: signing.addr, name: signing.name, token: "s.wrong"},
			"Vault answered 403: permission denied (the token must be valid"},
		"no key": {vaultKey{vault: signing.vault, addr: signing.addr, name: "nothing", token: signing.vault.Root},
			"Vault answered 404 (there is no such key"},
		"not ours": {vaultKey{vault: signing.vault, addr: signing.addr, name: signing.name, token: symmetric.token},
			`the capability "read" on transit/keys/` + signing.name},
		"nobody there": {vaultKey{vault: signing.vault, addr: "https://" + freeAddress(t), name: signing.name, token: signing.token},
			"connection refused"},
	} {
		output, err := c.key.command(t, c.key.configure(newConfiguration(t))).CombinedOutput()
		if err == nil || !strings.Contains(string(output), c.want) {
			t.Errorf("%s: the start ends with %v, want %q in\n%s", name, err, c.want, output)
		}
		if strings.Contains(string(output), c.key.token) {
			t.Errorf("%s: the token is in the log:\n%s", name, output)
		}
	}
}

// testVaultOutage first cuts the connections and then stops Vault.
func testVaultOutage(t *testing.T, k *vaultKey) {
	relay, err := servers.NewRelay(t.Context(), k.vault.Port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	k.addr = "https://127.0.0.1:" + strconv.Itoa(relay.Port)
	d := k.start(t, k.configure(newConfiguration(t)))
	tokens := d.mustLogin(t, "mock")
	relay.Cut()
	d.mustLogin(t, "mock") // over a new connection

	answer, err := newVisitor(d.transport).signIn(t.Context(), d.authURL("/auth/mock", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.vault.SetSealed(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	failed, err := d.redeem(t.Context(), answer.Get("code"))
	if err != nil || failed.status != http.StatusInternalServerError || failed.Error != "server_error" || failed.AccessToken != "" {
		t.Errorf("without Vault the token endpoint answers %+v, %v", failed, err)
	}
	if status, _ := d.userInfo(t, tokens.AccessToken); status != http.StatusOK {
		t.Errorf("without Vault UserInfo answers %d", status)
	}
	d.keyIDs(t)
	if err := k.vault.SetSealed(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "Vault signs again", func() bool {
		again, err := d.redeem(t.Context(), answer.Get("code"))
		return err == nil && again.status == http.StatusOK
	})
	if log := d.log.String(); !strings.Contains(log, "Vault is sealed") || strings.Contains(log, k.token) {
		t.Errorf("the log does not tell the cause, or tells the token:\n%s", log)
	}
}
