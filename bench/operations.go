package main

import (
	"context"
	"errors"
)

const (
	loginScopes   = "openid email profile groups"
	offlineScopes = loginScopes + " offline_access"
)

// An operation is what is measured: what a client does over and over.
type operation struct {
	name       string
	signatures int // that the server makes for it
	// prepare readies a client and returns its one operation. It is not measured.
	prepare func(ctx context.Context, c *client) (once, error)
}

// once does an operation and checks its answer.
type once func(ctx context.Context) error

var operations = []operation{
	{"login", 2, prepareLogin},
	{"login with refresh token", 2, prepareOfflineLogin},
	{"refresh", 2, prepareRefresh},
	{"userinfo", 0, prepareUserInfo},
	{"discovery", 0, prepareDiscovery},
	{"JWKS", 0, prepareJWKS},
}

func prepareLogin(_ context.Context, c *client) (once, error) {
	return func(ctx context.Context) error {
		_, err := c.login(ctx, loginScopes)
		return err
	}, nil
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

// prepareRefresh gives each client a login of its own, whose tokens it uses one after the other.
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
