package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/id"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/token"
)

// passwordGrant lets clients show a user's name and password (RFC 6749, section 4.3).
type passwordGrant struct {
	beginner
	connectorID string
	connectors  *federation.Registry
	policy      *policy.Policy
	limits      *limit.Set
	log         *slog.Logger
}

func (g *passwordGrant) verify(ctx context.Context, r *request) (*granted, error) {
	username, password := r.form.Get("username"), r.form.Get("password")
	if username == "" || password == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameters username and password are required.")
	}
	scopes, err := g.policy.Scopes(ctx, r.client, oauth.GrantPassword, r.scopes())
	if err != nil {
		return nil, err
	}
	source, checker, err := g.source(ctx)
	if err != nil {
		return nil, err
	}
	// Before the password is checked, so that a client which may not use the connector learns nothing by it.
	if err := g.policy.Connector(r.client, source.Definition, oauth.GrantPassword); err != nil {
		return nil, err
	}
	a := token.Authorization{
		ClientID: r.client.ID, ConnectorID: source.ID, Scopes: scopes, Nonce: r.form.Get("nonce"),
		Methods: []string{oauth.MethodPassword}, GrantID: id.New(),
	}
	if a.Identity, err = g.check(ctx, r, source.ID, checker, connector.ScopesOf(a.Scopes)); err != nil {
		return nil, err
	}
	return &granted{
		Authorization: a,
		source:        source,
		wanted:        token.Wanted{Access: true, ID: true},
		commit: func(ctx context.Context, refreshDue bool) (string, error) {
			if !refreshDue {
				return "", nil
			}
			if err := g.offline.Keep(ctx, a.Identity.UserID, a.ConnectorID, a.Identity.Data, nil); err != nil {
				return "", err
			}
			return g.families.Begin(ctx, a.GrantID, id.NewSecret(), a)
		},
	}, nil
}

// source opens the connector that checks passwords.
func (g *passwordGrant) source(ctx context.Context) (*federation.Opened, connector.Password, error) {
	source, err := g.connectors.Open(ctx, g.connectorID)
	if errors.Is(err, federation.ErrUnknown) {
		return nil, nil, fmt.Errorf("oauth2.passwordConnector %q: %w", g.connectorID, err)
	}
	if err != nil {
		return nil, nil, notOpened(ctx, g.connectors, g.connectorID, federation.PasswordGrant, err)
	}
	checker, ok := source.Instance.(connector.Password)
	if !ok {
		return nil, nil, fmt.Errorf("oauth2.passwordConnector %q checks no passwords", g.connectorID)
	}
	return source, checker, nil
}

// check asks the source about a name and a password.
func (g *passwordGrant) check(
	ctx context.Context, r *request, connectorID string, checker connector.Password, scopes connector.Scopes,
) (connector.Identity, error) {
	username := r.form.Get("username")
	identity, ok, err := g.limits.CheckPassword(ctx, connectorID, checker, scopes, username, r.form.Get("password"))
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		return identity, limit.Refusal(exceeded)
	}
	if err == nil && !ok {
		g.connectors.Count(connectorID, federation.PasswordGrant, connector.WrongPassword)
		g.log.ErrorContext(ctx, "failed login attempt: Invalid credentials.", "connector_id", connectorID, "user", username)
		return identity, oauth.Errorf(oauth.InvalidGrant, "The username or the password is wrong.")
	}
	return identity, sourceFailed(g.connectors.Ended(ctx, connectorID, federation.PasswordGrant, err))
}
