package grant

import (
	"context"
	"errors"
	"strings"

	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/token"
)

// A targeting grant's requests may name the clients that the tokens are for (RFC 8693, section 2.1).
type targeting interface {
	targets(f oauth.Form) []string
}

// decide finds out what a request is good for, and asks the policy at each stage on the way.
func (e *Endpoint) decide(ctx context.Context, g grant, r *request) (*granted, token.Terms, error) {
	q := policy.Question{
		Stage: policy.Asked, Client: r.client, Grant: r.form.Get("grant_type"), Scopes: strings.Fields(r.form.Get("scope")),
	}
	if t, ok := g.(targeting); ok {
		q.Targets = t.targets(r.form)
	}
	asked, err := e.policy.Decide(ctx, q)
	if err != nil {
		return nil, token.Terms{}, err
	}
	r.scopes = asked.Scopes
	found, err := g.verify(ctx, r)
	if err != nil {
		return nil, token.Terms{}, err
	}
	q.Scopes, q.Targets = found.Scopes, nil
	if found.source != nil {
		q.Connector = found.source.Definition
	}
	if err := e.checkSession(ctx, r, found); err != nil {
		return nil, token.Terms{}, err
	}
	if err := e.identify(ctx, found, q); err != nil {
		return nil, token.Terms{}, err
	}
	if err := e.checkUser(ctx, found); err != nil {
		return nil, token.Terms{}, err
	}
	if found.source == nil && (found.ConnectorID != "" || found.Identity.UserID != r.client.ID) {
		return nil, token.Terms{}, errors.New("a grant named no connector for its user")
	}
	q.Stage = policy.Known
	known, err := e.policy.Decide(ctx, q)
	return found, known.Terms, err
}

// checkSession refuses what lives only as long as a browser's session that has ended.
func (e *Endpoint) checkSession(ctx context.Context, r *request, found *granted) error {
	if e.bound == nil || found.SessionID == "" {
		return nil
	}
	holds, err := e.bound.Use(ctx, r.client.ID, found.SessionID)
	if err != nil || holds {
		return err
	}
	if found.abandon != nil {
		if err := found.abandon(ctx); err != nil {
			return err
		}
	}
	return oauth.Errorf(oauth.InvalidGrant, "The session of this login has ended.")
}

// checkUser refuses users who are blocked.
func (e *Endpoint) checkUser(ctx context.Context, found *granted) error {
	if e.users == nil || found.source == nil {
		return nil
	}
	blocked, err := e.users.Blocked(ctx, found.Identity.UserID, found.ConnectorID)
	if err != nil || !blocked {
		return err
	}
	return oauth.Errorf(oauth.InvalidGrant, "The user's account is blocked.")
}

// identify lets the source say who the user is, if it has to and the policy lets it be asked.
func (e *Endpoint) identify(ctx context.Context, found *granted, q policy.Question) error {
	if found.ask == nil {
		return nil
	}
	q.Stage = policy.BeforeSource
	if _, err := e.policy.Decide(ctx, q); err != nil {
		return err
	}
	return found.ask(ctx)
}
