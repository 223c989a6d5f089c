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
	"dex/internal/token"
)

// passwordGrant lets clients show a user's name and password (RFC 6749, section 4.3).
type passwordGrant struct {
	beginner
	connectorID string
	connectors  *federation.Registry
	limits      *limit.Set
}

func (g *passwordGrant) verify(ctx context.Context, r *request) (*granted, error) {
	username, password := r.form.Get("username"), r.form.Get("password")
	if username == "" || password == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameters username and password are required.")
	}
	source, checker, err := g.source(ctx)
	if err != nil {
		return nil, err
	}
	found := &granted{
		Authorization: token.Authorization{
			ClientID: r.client.ID, ConnectorID: source.ID, Scopes: r.scopes, Nonce: r.form.Get("nonce"), GrantID: id.New(),
		},
		source: source,
		wanted: token.Wanted{Access: true, ID: true},
	}
	found.proved = true
	found.ask = func(ctx context.Context) error {
		identity, err := g.check(ctx, r, source.ID, checker, found.sourceScopes(r.scopes))
		found.Methods, found.bySource, identity.Methods = identity.Methods, identity.Methods, nil // belong to this login only
		found.Identity = identity
		return err
	}
	found.commit = func(ctx context.Context, refreshDue bool) (string, error) {
		if !refreshDue {
			return "", nil
		}
		user := found.Identity
		if err := g.offline.Keep(ctx, user.UserID, source.ID, user.Data, nil); err != nil {
			return "", err
		}
		return g.families.Begin(ctx, found.GrantID, id.NewSecret(), found.Authorization)
	}
	return found, nil
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
	ctx context.Context, r *request, connectorID string, checker connector.Password, scopes connector.Scopes,
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
