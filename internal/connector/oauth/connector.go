package oauth

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// connection is a connector to a provider.
type connection struct {
	relyingparty.SignIn
	cfg *Config
	log *slog.Logger
	// inexact tells the operator once of ids that are not what the provider has.
	inexact sync.Once
}

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := &relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret, Method: c.ClientAuthMethod}
	conn := &connection{cfg: c, log: env.Log}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us.Over(client), AuthURL: c.AuthorizationURL, Tokens: relyingparty.Endpoint{URL: c.TokenURL},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: c.PKCEChallenge, Issuer: c.Issuer,
		},
		HTTP:        client,
		Header:      http.Header{"Accept": {"application/json"}},
		Scopes:      func(connector.Scopes) []string { return c.Scopes },
		Identify:    conn.identify,
		AlwaysRenew: true, // as upstream: nothing is known of what the provider does with access tokens
	}
	return conn, nil
}
