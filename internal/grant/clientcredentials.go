package grant

import (
	"context"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/token"
)

// clientCredentialsGrant gives clients tokens of their own (RFC 6749, section 4.4).
type clientCredentialsGrant struct{}

func (clientCredentialsGrant) verify(_ context.Context, r *request) (*granted, error) {
	c := r.client
	if c.Public {
		return nil, oauth.Errorf(oauth.UnauthorizedClient, "A public client has no credentials that could prove who it is.")
	}
	a := token.Authorization{
		ClientID: c.ID,
		Identity: connector.Identity{UserID: c.ID, Username: c.Name, PreferredUsername: c.Name, Groups: c.OwnGroups()},
		Scopes:   r.scopes,
		Nonce:    r.form.Get("nonce"),
	}
	return &granted{Authorization: a, wanted: token.Wanted{Access: true, ID: a.Has(oauth.ScopeOpenID)}}, nil
}
