package e2e

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TestGoProgramOfTheGuide signs a user in as in the users' guide: with go-oidc and x/oauth2, for every form of issuer.
func TestGoProgramOfTheGuide(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *dex{
		"issuer with a path":           func(t *testing.T) *dex { return startDex(t, newConfiguration(t)) },
		"issuer without a path":        func(t *testing.T) *dex { return startDexAt(t, "") },
		"issuer of a slash":            func(t *testing.T) *dex { return startDexAt(t, "/") },
		"issuer with a trailing slash": func(t *testing.T) *dex { return startDexAt(t, "/dex/") },
		"issuer with a private CA":     startDexWithPrivateCA,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoProgram(t, start(t))
			tokens := g.signIn(t)
			g.checkIDToken(t, tokens)
			g.refresh(t, tokens)
			g.checkUserInfo(t, tokens)
			g.checkOtherAudience(t, tokens)
		})
	}
}

// startDexAt starts a server whose issuer has a given path.
func startDexAt(t *testing.T, path string) *dex {
	t.Helper()
	c := newConfiguration(t)
	return startDex(t, c.withIssuer(strings.TrimSuffix(c.issuer, "/dex")+path))
}

func startDexWithPrivateCA(t *testing.T) *dex {
	t.Helper()
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.issue(t, 2)
	c := newConfiguration(t).withTLS(t, writeFile(t, dir, "tls.crt", cert), writeFile(t, dir, "tls.key", key))
	return startServer(t, binaries.dex, c, ca.pool())
}

// TestPrivateCAIsNotTrustedByItself shows that the test above could fail.
func TestPrivateCAIsNotTrustedByItself(t *testing.T) {
	t.Parallel()
	d := startDexWithPrivateCA(t)
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: &http.Transport{}})
	_, err := oidc.NewProvider(ctx, d.issuer)
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); !unknown {
		t.Errorf("discovery without the CA: %v, want an unknown authority", err)
	}
}

// goProgram is an application in Go.
type goProgram struct {
	dex      *dex
	ctx      context.Context // carries the HTTP client, as both libraries require
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	config   oauth2.Config
	nonce    string
}

func newGoProgram(t *testing.T, d *dex) *goProgram {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: d.transport, Timeout: patience})
	provider, err := oidc.NewProvider(ctx, d.issuer)
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	return &goProgram{
		dex: d, ctx: ctx, provider: provider,
		verifier: provider.Verifier(&oidc.Config{ClientID: clientID}),
		config: oauth2.Config{
			ClientID: clientID, ClientSecret: clientSecret, RedirectURL: callbackURL, Endpoint: provider.Endpoint(),
			Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups", oidc.ScopeOfflineAccess},
		},
		nonce: rand.Text(),
	}
}

// signIn is the code flow with state, nonce and PKCE.
func (g *goProgram) signIn(t *testing.T) *oauth2.Token {
	t.Helper()
	state, pkce := rand.Text(), oauth2.GenerateVerifier()
	to := g.config.AuthCodeURL(state, oidc.Nonce(g.nonce), oauth2.S256ChallengeOption(pkce),
		oauth2.SetAuthURLParam("connector_id", "local"))
	answer, err := newVisitor(g.dex.transport).signIn(g.ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Get("state") != state || answer.Get("iss") != g.dex.issuer {
		t.Fatalf("the answer has state %q and iss %q", answer.Get("state"), answer.Get("iss"))
	}
	tokens, err := g.config.Exchange(g.ctx, answer.Get("code"), oauth2.VerifierOption(pkce))
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return tokens
}

// checkIDToken verifies the ID token and returns its subject.
func (g *goProgram) checkIDToken(t *testing.T, tokens *oauth2.Token) string {
	t.Helper()
	raw, _ := tokens.Extra("id_token").(string)
	verified, err := g.verifier.Verify(g.ctx, raw)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if verified.Nonce != g.nonce {
		t.Errorf("nonce %q, want %q", verified.Nonce, g.nonce)
	}
	if err := verified.VerifyAccessToken(tokens.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	checkClaims(t, verified)
	return verified.Subject
}

// checkClaims checks the claims that the guide's example reads, in an ID token or an answer from UserInfo.
func checkClaims(t *testing.T, from interface{ Claims(any) error }) {
	t.Helper()
	var claims struct {
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Groups   []string `json:"groups"`
		Name     string   `json:"name"`
	}
	if err := from.Claims(&claims); err != nil {
		t.Fatalf("claims: %v", err)
	}
	if claims.Email != adminEmail || !claims.Verified || claims.Name != adminName ||
		!slices.Equal(claims.Groups, []string{"team-a", "team-a/admins"}) {
		t.Errorf("claims %+v", claims)
	}
}

// refresh lets x/oauth2's TokenSource renew tokens that it considers expired.
func (g *goProgram) refresh(t *testing.T, tokens *oauth2.Token) {
	t.Helper()
	stale := *tokens
	stale.Expiry = time.Now().Add(-time.Minute)
	fresh, err := g.config.TokenSource(g.ctx, &stale).Token()
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if fresh.AccessToken == tokens.AccessToken || fresh.RefreshToken == tokens.RefreshToken {
		t.Error("the refresh changed nothing")
	}
	if g.checkIDToken(t, fresh) != g.checkIDToken(t, tokens) {
		t.Error("the refresh gave tokens of another subject")
	}
	if !fresh.Expiry.After(time.Now()) {
		t.Errorf("fresh tokens expire at %v", fresh.Expiry)
	}
}

func (g *goProgram) checkUserInfo(t *testing.T, tokens *oauth2.Token) {
	t.Helper()
	info, err := g.provider.UserInfo(g.ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		t.Fatalf("UserInfo: %v", err)
	}
	if info.Email != adminEmail || !info.EmailVerified || info.Subject != g.checkIDToken(t, tokens) {
		t.Errorf("UserInfo is about %q, %q, verified %v", info.Subject, info.Email, info.EmailVerified)
	}
	checkClaims(t, info)
}

// checkOtherAudience presents the token to another application, which must refuse it.
func (g *goProgram) checkOtherAudience(t *testing.T, tokens *oauth2.Token) {
	t.Helper()
	raw, _ := tokens.Extra("id_token").(string)
	_, err := g.provider.Verifier(&oidc.Config{ClientID: otherClientID}).Verify(g.ctx, raw)
	if err == nil || !strings.Contains(err.Error(), "audience") {
		t.Errorf("another client's verifier says %v, want a refused audience", err)
	}
}
