package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A flow gets tokens from one provider.
type flow struct {
	*options
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
	s256     bool // the provider knows PKCE
}

// authenticate redeems the refresh token that is there, or signs the user in.
func (o *options) authenticate(ctx context.Context, client *http.Client, had tokens) (tokens, error) {
	ctx = oidc.ClientContext(ctx, client)
	provider, err := oidc.NewProvider(ctx, o.issuer)
	if err != nil {
		return tokens{}, fmt.Errorf("authentication error: oidc error: oidc discovery error: %w", err)
	}
	var metadata struct {
		Methods []string `json:"code_challenge_methods_supported"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return tokens{}, err
	}
	f := &flow{
		options: o,
		config: oauth2.Config{
			ClientID: o.clientID, ClientSecret: o.clientSecret, Endpoint: provider.Endpoint(),
			Scopes: append(slices.Clone(o.scopes), oidc.ScopeOpenID),
		},
		verifier: provider.Verifier(&oidc.Config{ClientID: o.clientID}),
		s256:     o.pkce == "S256" || o.pkce == "auto" && slices.Contains(metadata.Methods, "S256"),
	}
	if had.RefreshToken != "" {
		fresh, err := f.refresh(ctx, had)
		if _, refused := errors.AsType[*oauth2.RetrieveError](err); !refused {
			return fresh, err
		}
		fmt.Fprintln(os.Stderr, "could not refresh the token:", err)
	}
	switch {
	case o.grant == "device-code":
		return f.device(ctx)
	case o.grant == "password" || o.grant == "auto" && o.username != "":
		token, err := f.config.PasswordCredentialsToken(ctx, o.username, o.password)
		return f.verify(ctx, "ropc error", token, err, "")
	case o.grant == "auto" || o.grant == "authcode":
		return f.browser(ctx)
	}
	return tokens{}, fmt.Errorf("grant-type must be one of (auto|authcode|password|device-code)")
}

func (f *flow) refresh(ctx context.Context, had tokens) (tokens, error) {
	token, err := f.config.TokenSource(ctx, &oauth2.Token{RefreshToken: had.RefreshToken, Expiry: time.Now()}).Token()
	return f.verify(ctx, "could not refresh the token", token, err, "")
}

// device shows where to sign in, and waits until the user has.
func (f *flow) device(ctx context.Context) (tokens, error) {
	asked, err := f.config.DeviceAuth(ctx)
	if err != nil {
		return tokens{}, fmt.Errorf("authentication error: device-code error: authorization error: %w", err)
	}
	if asked.VerificationURIComplete != "" {
		f.show(asked.VerificationURIComplete)
	} else {
		fmt.Fprintln(os.Stderr, "Please enter the following code when asked in your browser:", asked.UserCode)
		f.show(asked.VerificationURI)
	}
	token, err := f.config.DeviceAccessToken(ctx, asked)
	return f.verify(ctx, "device-code error", token, err, "")
}

// verify checks the ID token that an answer of the token endpoint must have.
func (f *flow) verify(ctx context.Context, what string, token *oauth2.Token, err error, nonce string) (tokens, error) {
	if err != nil {
		return tokens{}, fmt.Errorf("authentication error: %s: %w", what, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return tokens{}, fmt.Errorf("authentication error: %s: id_token is missing in the token response", what)
	}
	verified, err := f.verifier.Verify(ctx, raw)
	if err != nil {
		return tokens{}, fmt.Errorf("authentication error: %s: could not verify the ID token: %w", what, err)
	}
	if nonce != "" && verified.Nonce != nonce {
		return tokens{}, fmt.Errorf("authentication error: %s: nonce did not match", what)
	}
	if f.useAccessToken {
		raw = token.AccessToken
	}
	return tokens{IDToken: raw, RefreshToken: token.RefreshToken}, nil
}

// show opens a page in the user's browser, or asks the user to.
func (f *flow) show(address string) {
	if !f.skipBrowser {
		for _, program := range []string{"xdg-open", "x-www-browser", "www-browser"} {
			if path, err := exec.LookPath(program); err == nil && exec.Command(path, address).Run() == nil { //nolint:gosec,noctx // as the real one
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, "Please visit the following URL in your browser:", address)
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return strings.TrimRight(base64.URLEncoding.EncodeToString(b), "=")
}
