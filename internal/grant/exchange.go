package grant

import (
	"context"
	"errors"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/token"
)

// exchangeGrant gives our tokens for an identity source's (RFC 8693).
type exchangeGrant struct {
	connectors *federation.Registry
	// anyAudience ignores audience and resource, and takes subject tokens that were made for others, as upstream does.
	anyAudience bool
}

func (g *exchangeGrant) verify(ctx context.Context, r *request) (*granted, error) {
	subject, requested, err := readExchange(r.form)
	if err != nil {
		return nil, err
	}
	source, err := g.source(ctx, r.form.Get("connector_id"))
	if err != nil {
		return nil, err
	}
	exchanger, ok := source.Instance.(connector.TokenIdentity)
	if !ok {
		return nil, oauth.Errorf(oauth.InvalidRequest, "Connector %q can't tell whom a token stands for; use another connector_id.", source.ID)
	}
	subject.AnyAudience = g.anyAudience
	found := &granted{
		Authorization: token.Authorization{ClientID: r.client.ID, ConnectorID: source.ID, Scopes: r.scopes, GrantID: id.New()},
		source:        source,
		wanted:        token.Wanted{Access: requested == oauth.TokenTypeAccess, ID: requested == oauth.TokenTypeID},
		issued:        requested,
	}
	found.proved = true
	found.ask = func(ctx context.Context) (err error) {
		scopes := found.sourceScopes(r.scopes)
		asking, asked := g.connectors.Asking(ctx, source.ID, federation.Exchange)
		found.Identity, err = exchanger.TokenIdentity(asking, scopes, subject)
		found.Identity.GroupsTold = scopes.Groups
		found.bySource = found.Identity.Methods
		return sourceFailed(asked.Ended(ctx, err))
	}
	return found, nil
}

// readExchange reads what is to be exchanged for what, before anybody is asked about it.
func readExchange(f oauth.Form) (connector.SubjectToken, string, error) {
	none := connector.SubjectToken{}
	if f.Has("actor_token") || f.Has("actor_token_type") {
		return none, "", oauth.Errorf(oauth.InvalidRequest, "Delegation is not supported: leave actor_token and actor_token_type out.")
	}
	subject := connector.SubjectToken{Type: f.Get("subject_token_type"), Token: f.Get("subject_token")}
	if subject.Token == "" {
		return none, "", oauth.Errorf(oauth.InvalidRequest, "The parameter subject_token is missing.")
	}
	if !oauth.IsBearerToken(subject.Token) {
		return none, "", oauth.Errorf(oauth.InvalidRequest, "The subject_token has characters that no token has (RFC 6750, section 2.1).")
	}
	switch subject.Type {
	case oauth.TokenTypeAccess, oauth.TokenTypeID:
	case oauth.TokenTypeJWT:
		subject.Type = oauth.TokenTypeAccess
	default:
		return none, "", oauth.Errorf(oauth.InvalidRequest, "The subject_token_type must be %s or %s.",
			oauth.TokenTypeAccess, oauth.TokenTypeID)
	}
	switch requested := f.Get("requested_token_type"); requested {
	case "", oauth.TokenTypeJWT:
		return subject, oauth.TokenTypeAccess, nil
	case oauth.TokenTypeAccess, oauth.TokenTypeID:
		return subject, requested, nil
	}
	return none, "", oauth.Errorf(oauth.InvalidRequest, "The requested_token_type must be %s or %s.",
		oauth.TokenTypeAccess, oauth.TokenTypeID)
}

func (g *exchangeGrant) source(ctx context.Context, connectorID string) (*federation.Opened, error) {
	if connectorID == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest,
			"The parameter connector_id is missing: it names the connector whose token the subject_token is.")
	}
	source, err := g.connectors.Open(ctx, connectorID)
	if errors.Is(err, federation.ErrUnknown) {
		return nil, oauth.Errorf(oauth.InvalidRequest, "There is no connector %q.", connectorID).Because(err)
	}
	if err != nil {
		return nil, notOpened(ctx, g.connectors, connectorID, federation.Exchange, err)
	}
	return source, nil
}

// targets implements targeting.
func (g *exchangeGrant) targets(f oauth.Form) []string {
	if g.anyAudience {
		return nil
	}
	var named []string
	for _, name := range oauth.Lists {
		named = append(named, f[name]...)
	}
	return named
}
