package oauth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// connection is a connector to a provider.
type connection struct {
	cfg    *Config
	flow   relyingparty.Flow
	log    *slog.Logger
	client *http.Client
	// inexact tells the operator once of ids that are not what the provider has.
	inexact sync.Once
}

var (
	_ connector.Callback  = (*connection)(nil)
	_ connector.Refresher = (*connection)(nil)
)

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := &relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret, Method: c.ClientAuthMethod}
	return &connection{
		cfg: c, log: env.Log, client: client,
		flow: relyingparty.Flow{
			Client: us.Over(client), AuthURL: c.AuthorizationURL, Tokens: relyingparty.Endpoint{URL: c.TokenURL},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: c.PKCEChallenge, Issuer: c.Issuer,
		},
	}, nil
}

// Close lets go of idle connections.
func (c *connection) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// Begin implements connector.Callback.
func (c *connection) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	return c.flow.Begin(r.State, c.cfg.Scopes, nil)
}

// HandleCallback implements connector.Callback.
func (c *connection) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	given, err := c.flow.Finish(ctx, r)
	if err != nil {
		return connector.Identity{}, err
	}
	id, err := c.identify(ctx, r.Scopes, given)
	if err == nil && r.Scopes.OfflineAccess {
		id.Data, err = given.Keep()
	}
	return id, err
}

// Rotates implements connector.Rotating: many providers' refresh tokens work once.
func (c *connection) Rotates() {}

// Refresh implements connector.Refresher: with a new access token if the provider gave a refresh token, else with the old
// one as long as it is good.
func (c *connection) Refresh(ctx context.Context, s connector.Scopes, last connector.Identity) (connector.Identity, error) {
	given, err := relyingparty.Kept(last.Data)
	if err != nil {
		return connector.Identity{}, err
	}
	if given.Refresh != "" {
		if given, err = c.flow.Renew(ctx, given.Refresh); err != nil {
			return connector.Identity{}, err
		}
	}
	data, err := given.Keep()
	if err != nil {
		return connector.Identity{}, err
	}
	id, err := c.identify(ctx, s, given)
	if err == nil && id.UserID != last.UserID {
		err = fmt.Errorf("%w: the provider answers for another user", connector.ErrGone)
	}
	err = relyingparty.GoneIfUnknown(err)
	if err != nil {
		id = connector.Identity{}
	}
	id.Data = data // the old tokens may be worth nothing any more, whatever else fails
	return id, err
}
