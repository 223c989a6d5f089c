package grant

import (
	"context"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/token"
)

// clientCredentialsGrant gives clients tokens of their own (RFC 6749, section 4.4).
type clientCredentialsGrant struct {
	policy *policy.Policy
}

func (g *clientCredentialsGrant) verify(ctx context.Context, r *request) (*granted, error) {
	c := r.client
	if c.Public {
		return nil, oauth.Errorf(oauth.UnauthorizedClient, "A public client has no credentials that could prove who it is.")
	}
	scopes, err := g.policy.Scopes(ctx, c, oauth.GrantClientCredentials, r.scopes())
	if err != nil {
		return nil, err
	}
	a := token.Authorization{
		ClientID: c.ID,
		Identity: connector.Identity{UserID: c.ID, Username: c.Name, PreferredUsername: c.Name, Groups: c.OwnGroups()},
		Scopes:   scopes,
		Nonce:    r.form.Get("nonce"),
	}
	return &granted{Authorization: a, wanted: token.Wanted{Access: true, ID: a.Has(oauth.ScopeOpenID)}}, nil
}
