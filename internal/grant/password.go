package grant

import (
	"context"
	"errors"
	"fmt"

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
	// Before the password is checked, so that a client that may not use the connector learns nothing.
	if err := g.policy.Connector(r.client, source.Definition, oauth.GrantPassword); err != nil {
		return nil, err
	}
	identity, err := g.check(ctx, r, source.ID, checker, scopes)
	if err != nil {
		return nil, err
	}
	a := token.Authorization{
		ClientID: r.client.ID, ConnectorID: source.ID, Scopes: scopes, Nonce: r.form.Get("nonce"),
		Identity: identity, Methods: identity.Methods, GrantID: id.New(),
	}
	a.Identity.Methods = nil // belongs to this login only
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

// check asks the source about the name and the password of a request.
func (g *passwordGrant) check(
	ctx context.Context, r *request, connectorID string, checker connector.Password, scopes []string,
) (connector.Identity, error) {
	identity, ok, err := g.connectors.CheckPassword(ctx, g.limits, checker, federation.Attempt{
		Operation: federation.PasswordGrant, ClientID: r.client.ID, ConnectorID: connectorID, Scopes: scopes,
		Username: r.form.Get("username"), Password: r.form.Get("password"),
	})
	if _, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		return identity, limit.Refusal(err)
	}
	if err == nil && !ok {
		return identity, oauth.Errorf(oauth.InvalidGrant, "The username or the password is wrong.")
	}
	return identity, sourceFailed(err)
}
