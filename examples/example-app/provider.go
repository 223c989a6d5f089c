package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// provider is the OpenID Connect provider being tried out, with this program
// as its client.
type provider struct {
	metadata metadata
	oauth2   oauth2.Config // without scopes: each sign-in has its own
	oidc     *oidc.Provider
	verifier *oidc.IDTokenVerifier
	client   *http.Client
}

// checkResponseIssuer guards against mix-up attacks (RFC 9207, section 2.4).
func (p *provider) checkResponseIssuer(response url.Values) error {
	if !response.Has("iss") {
		if p.metadata.ResponseIssuer {
			return errors.New("the response has no iss parameter, though the provider promises one")
		}
		return nil
	}
	if got := response.Get("iss"); got != p.metadata.Issuer {
		return fmt.Errorf("the response comes from %q, not from %q", got, p.metadata.Issuer)
	}
	return nil
}

// exchange redeems the code of a sign-in.
func (p *provider) exchange(ctx context.Context, code string, login pendingLogin) (*tokenSet, error) {
	var params []oauth2.AuthCodeOption
	if login.pkceVerifier != "" {
		params = append(params, oauth2.VerifierOption(login.pkceVerifier))
	}
	set, err := p.request(ctx, "Authorization code", func(ctx context.Context) (*oauth2.Token, error) {
		return p.oauth2.Exchange(ctx, code, params...)
	})
	if err != nil {
		return nil, err
	}
	if set.idToken == "" {
		return nil, errors.New("the token response has no ID token")
	}
	if subtle.ConstantTimeCompare([]byte(set.identity.Nonce), []byte(login.nonce)) != 1 {
		return nil, errors.New("the ID token's nonce is not the one of this sign-in")
	}
	return set, nil
}

// refresh redeems a refresh token. The result always has a refresh token: if
// there is no new one, the old one stays valid (RFC 6749, section 6).
func (p *provider) refresh(ctx context.Context, refreshToken string) (*tokenSet, error) {
	return p.request(ctx, "Refresh token", func(ctx context.Context) (*oauth2.Token, error) {
		return p.oauth2.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	})
}

// request makes one token request, keeps the raw answer, and verifies the ID
// token if there is one.
func (p *provider) request(ctx context.Context, grant string, send func(context.Context) (*oauth2.Token, error)) (*tokenSet, error) {
	var raw bytes.Buffer
	recording := *p.client
	recording.Transport = recordTransport{next: p.client.Transport, body: &raw}

	token, err := send(oidc.ClientContext(ctx, &recording))
	if err != nil {
		return nil, fmt.Errorf("token request: %w", err)
	}
	set := &tokenSet{
		grant:        grant,
		received:     time.Now(),
		accessToken:  token.AccessToken,
		refreshToken: token.RefreshToken,
		expiry:       token.Expiry,
		raw:          raw.Bytes(),
	}
	idToken, ok := token.Extra("id_token").(string)
	if !ok || idToken == "" {
		return set, nil
	}
	set.idToken = idToken
	set.identity, err = p.verify(ctx, idToken, token.AccessToken)
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	return set, nil
}

// verify checks an ID token, and that it was issued together with the access
// token. The nonce is left to the caller.
func (p *provider) verify(ctx context.Context, idToken, accessToken string) (identity, error) {
	verified, err := p.verifier.Verify(ctx, idToken)
	if err != nil {
		return identity{}, err
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(accessToken); err != nil {
			return identity{}, err
		}
	}
	var id identity
	if err := verified.Claims(&id); err != nil {
		return identity{}, fmt.Errorf("claims: %w", err)
	}
	// OpenID Connect Core 1.0, section 3.1.3.7, item 5.
	if id.AuthorizedParty != "" && id.AuthorizedParty != p.oauth2.ClientID {
		return identity{}, fmt.Errorf("issued to client %q", id.AuthorizedParty)
	}
	return id, nil
}

// userInfo asks the UserInfo endpoint; the answer is a JSON object.
func (p *provider) userInfo(ctx context.Context, accessToken string) (json.RawMessage, string, error) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: accessToken})
	info, err := p.oidc.UserInfo(oidc.ClientContext(ctx, p.client), source)
	if err != nil {
		return nil, "", fmt.Errorf("UserInfo request: %w", err)
	}
	var claims json.RawMessage
	if err := info.Claims(&claims); err != nil {
		return nil, "", fmt.Errorf("UserInfo response: %w", err)
	}
	return claims, info.Subject, nil
}
