// Package policy says who may have what. Each way to a token passes through it, so each rule stands here once.
package policy

import (
	"context"
	"errors"
	"slices"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
)

// A Policy decides. It is safe for concurrent use.
type Policy struct {
	clients *client.Registry
	options Options
}

// Options are what an operator may decide otherwise.
type Options struct {
	RefuseUnknownScopes bool     // instead of leaving them out
	SecondFactors       []string // that users of clients need which don't say which
}

// New returns the policy over the registered clients.
func New(clients *client.Registry, o Options) *Policy { return &Policy{clients: clients, options: o} }

// Grant returns why a client may not use a grant, as an *oauth.Error, or nil.
func (p *Policy) Grant(c *client.Client, grant string) error {
	if !c.AllowsGrant(grant) {
		return oauth.Errorf(oauth.UnauthorizedClient, "The client is not registered for grant type %s.", grant)
	}
	return nil
}

// SecondFactor returns why a client's users can't sign in with a grant as they would have to, as an *oauth.Error, or nil.
// Second factors can't be asked for yet: rather than let in with less, users are refused.
func (p *Policy) SecondFactor(c *client.Client, grant string) error {
	wanted := c.MFAChain
	if wanted == nil {
		wanted = p.options.SecondFactors
	}
	if len(wanted) == 0 || grant == oauth.GrantClientCredentials { // which has no user
		return nil
	}
	code := oauth.InvalidGrant
	if grant == oauth.GrantDeviceCode {
		code = oauth.AccessDenied // RFC 8628, section 3.5
	}
	return oauth.Errorf(code, "The application asks for a second factor, which this server can't check yet.")
}

// Connector returns why a client's user may not come from a connector with a grant, as an *oauth.Error, or nil.
func (p *Policy) Connector(c *client.Client, d *federation.Definition, grant string) error {
	if !c.AllowsConnector(d.ID) {
		return oauth.Errorf(oauth.InvalidGrant, "The client may not use connector %q.", d.ID)
	}
	if !d.Serves(grant) {
		return oauth.Errorf(oauth.InvalidRequest, "Connector %q does not serve grant type %s.", d.ID, grant)
	}
	return nil
}

// Scopes returns those of the scopes that are requested with a grant that have a meaning, without repetitions. The error is
// an *oauth.Error: invalid_scope where openid is missing, a scope has no place in the grant, or a client asks for the
// audience of one that does not trust it.
func (p *Policy) Scopes(ctx context.Context, c *client.Client, grant string, requested []string) ([]string, error) {
	if needsOpenID(grant) && !slices.Contains(requested, oauth.ScopeOpenID) {
		return nil, oauth.Errorf(oauth.InvalidScope, "The scope openid is missing.")
	}
	granted, seen := make([]string, 0, len(requested)), make(map[string]bool, len(requested))
	for _, scope := range requested {
		if seen[scope] {
			continue
		}
		seen[scope] = true
		switch {
		case !oauth.KnownScope(scope):
			if p.options.RefuseUnknownScopes && grant != oauth.GrantTokenExchange { // where upstream never looked
				return nil, oauth.Errorf(oauth.InvalidScope, "The scope %q is not known here.", scope)
			}
			// Left out (OpenID Connect Core, 3.1.2.1).
		case grant == oauth.GrantTokenExchange && scope == oauth.ScopeOfflineAccess:
			// Ignored, as no refresh token comes of it (OpenID Connect Core, section 11).
		case grant == oauth.GrantClientCredentials && (scope == oauth.ScopeOfflineAccess || scope == oauth.ScopeFederatedID):
			return nil, oauth.Errorf(oauth.InvalidScope, "The scope %s is a user's, and there is none.", scope)
		default:
			granted = append(granted, scope)
		}
	}
	if _, err := p.audience(ctx, c, granted, p.clients.Find); err != nil {
		return nil, err
	}
	return granted, nil
}

// needsOpenID reports whether a grant always gives an ID token.
func needsOpenID(grant string) bool {
	return grant != oauth.GrantClientCredentials && grant != oauth.GrantTokenExchange
}

// Audience returns who is to accept tokens of a client with these scopes: the clients of the audience scopes in their
// order, and the client itself. It is asked anew for each token, so that trust that was withdrawn is gone at once. The
// error is an *oauth.Error: invalid_scope where there is no trust.
func (p *Policy) Audience(ctx context.Context, c *client.Client, scopes []string) ([]string, error) {
	return p.audience(ctx, c, scopes, p.clients.Get)
}

// A finder finds a client.
type finder func(ctx context.Context, id string) (*client.Client, error)

func (p *Policy) audience(ctx context.Context, c *client.Client, scopes []string, find finder) ([]string, error) {
	var audience []string
	seen := map[string]bool{}
	for _, scope := range scopes {
		id, ok := oauth.AudienceOf(scope)
		if !ok || seen[id] {
			continue
		}
		seen[id] = true
		trusted, err := trusts(ctx, c, id, find)
		if err != nil {
			return nil, limit.Refusal(err)
		}
		if !trusted {
			return nil, oauth.Errorf(oauth.InvalidScope, "Client %q does not trust this client with its audience.", id)
		}
		audience = append(audience, id)
	}
	if !seen[c.ID] {
		audience = append(audience, c.ID)
	}
	return audience, nil
}

// trusts reports whether a client lets another one ask for tokens for it. One that doesn't exist trusts nobody.
func trusts(ctx context.Context, c *client.Client, id string, find finder) (bool, error) {
	if id == c.ID {
		return true, nil
	}
	peer, err := find(ctx, id)
	if errors.Is(err, client.ErrUnknown) {
		return false, nil
	}
	return err == nil && peer.Trusts(c.ID), err
}
