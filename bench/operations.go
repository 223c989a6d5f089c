package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

const (
	loginScopes   = "openid email profile groups"
	offlineScopes = loginScopes + " offline_access"
)

// An operation is what a client does over and over while it is measured.
type operation struct {
	name       string
	signatures int  // that the server makes for one
	sessions   bool // it needs sessions, which the operations before do without
	// prepare prepares a client, which is not measured, and returns what to measure.
	prepare func(ctx context.Context, c *client) (once, error)
}

// once does an operation and checks its answer.
type once func(ctx context.Context) error

var operations = []operation{
	{"login", 2, false, prepareLogin},
	{"login with refresh token", 2, false, prepareOfflineLogin},
	{"refresh", 2, false, prepareRefresh},
	{"hybrid login", 3, false, prepareHybridLogin},
	{"device", 2, false, prepareDevice},
	{"password", 2, false, preparePassword},
	{"token exchange", 1, false, prepareExchange},
	{"client credentials", 1, false, prepareClientCredentials},
	{"opaque client credentials", 0, false, prepareOpaqueCredentials},
	{"revocation", 1, false, prepareRevocation},
	{"introspection", 0, false, prepareIntrospection},
	{"userinfo", 0, false, prepareUserInfo},
	{"discovery", 0, false, prepareDiscovery},
	{"JWKS", 0, false, prepareJWKS},
	{"first login in a session", 2, true, prepareFirstLogin},
	{"login by session", 2, true, prepareSessionLogin},
}

func prepareLogin(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		_, err := c.login(ctx, loginScopes)
		return err
	}, nil
}

// prepareFirstLogin signs in at the mock each time, which begins a session.
func prepareFirstLogin(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		_, _, err := c.beginSession(ctx)
		return err
	}, nil
}

// prepareSessionLogin gives each client a browser with a session, by which it signs in over and over: two requests.
func prepareSessionLogin(ctx context.Context, c *client) (once, error) {
	_, cookie, err := c.beginSession(ctx)
	return func(ctx context.Context) error {
		_, err := c.sessionLogin(ctx, cookie)
		return err
	}, err
}

func prepareOfflineLogin(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		t, err := c.login(ctx, offlineScopes)
		if err == nil && t.Refresh == "" {
			err = errNoRefreshToken
		}
		return err
	}, nil
}

var errNoRefreshToken = errors.New("the answer has no refresh token")

// prepareRefresh gives each client its own login, whose refresh tokens it redeems one after the other.
func prepareRefresh(ctx context.Context, c *client) (once, error) {
	t, err := c.login(ctx, offlineScopes)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		next, err := c.refresh(ctx, t.Refresh)
		switch {
		case err != nil:
			return err
		case next.Refresh == "":
			return errNoRefreshToken
		case next.Refresh == t.Refresh:
			return errors.New("the refresh token was not rotated")
		}
		t = next
		return nil
	}, nil
}

func prepareHybridLogin(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error { return c.hybridLogin(ctx, loginScopes) }, nil
}

func prepareDevice(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error { return c.deviceLogin(ctx, loginScopes) }, nil
}

func preparePassword(_ context.Context, c *client) (once, error) {
	form := url.Values{
		"grant_type": {"password"}, "username": {username}, "password": {password}, "scope": {loginScopes},
	}
	return func(ctx context.Context) error {
		_, err := c.redeemUser(ctx, clientID, form)
		return err
	}, nil
}

// prepareExchange exchanges a token of the mock, which accepts any text as one, for an access token.
func prepareExchange(_ context.Context, c *client) (once, error) {
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"connector_id":       {"mock"},
		"subject_token":      {"token-of-the-source"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"scope":              {loginScopes},
	}
	return func(ctx context.Context) error {
		_, err := c.redeem(ctx, clientID, form)
		return err
	}, nil
}

// ownToken gets a client an access token of its own, without an ID token.
func ownToken(ctx context.Context, c *client) (string, error) {
	t, err := c.redeem(ctx, clientID, url.Values{"grant_type": {"client_credentials"}, "scope": {"profile groups"}})
	if err == nil && t.ID != "" {
		err = errors.New("the answer has an ID token that was not asked for")
	}
	return t.Access, err
}

func prepareClientCredentials(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		_, err := ownToken(ctx, c)
		return err
	}, nil
}

// prepareOpaqueCredentials gets access tokens that are sealed instead of signed.
func prepareOpaqueCredentials(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		t, err := c.redeem(ctx, opaqueClientID, url.Values{"grant_type": {"client_credentials"}, "scope": {"profile groups"}})
		if err == nil && !strings.HasPrefix(t.Access, "dexat_") {
			err = errors.New("the access token is not opaque")
		}
		return err
	}, nil
}

// prepareRevocation revokes a token that the operation gets first, so that its signature counts too. As the answer does not
// tell whether anything was revoked, introspection checks that for one token beforehand.
func prepareRevocation(ctx context.Context, c *client) (once, error) {
	revoke := func(ctx context.Context) (string, error) {
		token, err := ownToken(ctx, c)
		if err != nil {
			return "", err
		}
		_, err = c.post(ctx, "/token/revoke", clientID, url.Values{"token": {token}})
		return token, err
	}
	token, err := revoke(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := revoke(ctx)
		return err
	}, c.introspect(ctx, token, false)
}

func prepareIntrospection(ctx context.Context, c *client) (once, error) {
	t, err := c.login(ctx, loginScopes)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return c.introspect(ctx, t.Access, true) }, nil
}

func prepareUserInfo(ctx context.Context, c *client) (once, error) {
	t, err := c.login(ctx, loginScopes)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return c.read(ctx, "/userinfo", `"email"`, "Authorization", "Bearer "+t.Access)
	}, nil
}

func prepareDiscovery(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		return c.read(ctx, "/.well-known/openid-configuration", `"jwks_uri"`)
	}, nil
}

func prepareJWKS(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error { return c.read(ctx, "/keys", `"kid"`) }, nil
}
