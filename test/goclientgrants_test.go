package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TestGrantsOfGoPrograms uses each grant that x/oauth2 supports, and verifies the tokens with go-oidc.
func TestGrantsOfGoPrograms(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			c := everyGrant(newConfiguration(t))
			c.with("signer", section{"type": "local", "config": section{"algorithm": algorithm, "keysRotationPeriod": "6h"}})
			d := startDex(t, c)
			g := newGoProgram(t, d)
			g.config.ClientID, g.config.ClientSecret = clientID, clientSecret
			t.Run("device", g.device)
			t.Run("password", g.password)
			t.Run("client credentials", g.clientCredentials)
		})
	}
}

// device signs in for a device, whose user types its code into a browser without JavaScript.
func (g *goProgram) device(t *testing.T) {
	// The library doesn't send the secret here, although RFC 8628 (3.1) requires it.
	begun, err := g.config.DeviceAuth(g.ctx, oauth2.SetAuthURLParam("client_secret", clientSecret))
	if err != nil {
		t.Fatal(err)
	}
	tokens := make(chan *oauth2.Token, 1)
	failed := make(chan error, 1)
	go func() {
		got, err := g.config.DeviceAccessToken(g.ctx, begun)
		tokens <- got
		failed <- err
	}()
	v := newVisitor(g.dex.transport)
	form := url.Values{"user_code": {begun.UserCode}, "decision": {"continue"}}
	p, err := v.post(g.ctx, g.dex.endpoint("/device/auth/verify_code"), form)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = v.get(g.ctx, linkTo(t, g.dex, p.body, "/auth/mock?")); err != nil || !strings.Contains(p.body, "Device connected") {
		t.Fatalf("the login for the device ends with %v: %s", err, p.body)
	}
	got := <-tokens
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	g.verify(t, got)
	if _, err := g.config.TokenSource(g.ctx, &oauth2.Token{RefreshToken: got.RefreshToken}).Token(); err != nil {
		t.Errorf("refresh: %v", err)
	}
}

// linkTo returns the first link on a page to a path of the server.
func linkTo(t *testing.T, d *dex, page, path string) string {
	t.Helper()
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(page, `href="`+issuer.Path+path)
	link, _, closed := strings.Cut(rest, `"`)
	if !ok || !closed {
		t.Fatalf("no link to %s in %s", path, page)
	}
	return d.endpoint(path) + strings.ReplaceAll(link, "&amp;", "&")
}

func (g *goProgram) password(t *testing.T) {
	tokens, err := g.config.PasswordCredentialsToken(g.ctx, adminEmail, adminPassword)
	if err != nil {
		t.Fatal(err)
	}
	verified := g.verify(t, tokens)
	checkClaims(t, verified)
	if _, err := g.config.PasswordCredentialsToken(g.ctx, adminEmail, "wrong"); !strings.Contains(errText(err), "invalid_grant") {
		t.Errorf("a wrong password gives %v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (g *goProgram) clientCredentials(t *testing.T) {
	cfg := clientcredentials.Config{
		ClientID: clientID, ClientSecret: clientSecret, TokenURL: g.provider.Endpoint().TokenURL, Scopes: []string{oidc.ScopeOpenID},
	}
	tokens, err := cfg.Token(g.ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.verify(t, tokens)
	ask, err := http.NewRequestWithContext(context.WithoutCancel(g.ctx), http.MethodPost, g.dex.endpoint("/token/introspect"),
		strings.NewReader(url.Values{"token": {tokens.AccessToken}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ask.SetBasicAuth(clientID, clientSecret)
	answer, err := (&http.Client{Transport: g.dex.transport, Timeout: patience}).Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(body), `"active":true`) {
		t.Errorf("introspection says %s, %v", body, err)
	}
}

// verify checks the ID token and its at_hash, and UserInfo for a user's tokens.
func (g *goProgram) verify(t *testing.T, tokens *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, _ := tokens.Extra("id_token").(string)
	verified, err := g.verifier.Verify(g.ctx, raw)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if err := verified.VerifyAccessToken(tokens.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	if _, err := g.provider.UserInfo(g.ctx, oauth2.StaticTokenSource(tokens)); err != nil {
		t.Errorf("UserInfo: %v", err)
	}
	return verified
}
