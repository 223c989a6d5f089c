package grant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/identity"
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
	r.login = found.Login(found.GrantID)
	q.Scopes, q.Targets = found.Scopes, nil
	q.Passed, q.Methods = found.Factors, found.Methods
	if found.source != nil {
		q.Connector = found.source.Definition
		found.needsGroups = e.policy.NeedsGroups(r.client, q.Connector)
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
	found.countSource()
	if found.source == nil && (found.ConnectorID != "" || found.Identity.UserID != r.client.ID) {
		return nil, token.Terms{}, errors.New("a grant named no connector for its user")
	}
	q.Stage, q.Passed = policy.Known, found.Factors // the source may have told more
	q.Methods = slices.Concat(found.Methods, found.bySource)
	if q.Grant == oauth.GrantAuthorizationCode {
		q.RedirectURI = r.form.Get("redirect_uri")
	}
	if found.source != nil {
		q.User = &found.Identity
	}
	known, err := e.policy.Decide(ctx, q)
	if err != nil {
		return nil, token.Terms{}, err
	}
	found.Scopes = known.Scopes
	return found, known.Terms, nil
}

// countSource counts second factors that the source itself has just asked for.
func (found *granted) countSource() {
	if found.source != nil && found.source.HasAskedForMore(found.bySource) {
		found.Factors = append(found.Factors, token.FactorOfSource)
	}
}

// checkSession refuses what lives only as long as a browser's session that has ended.
func (e *Endpoint) checkSession(ctx context.Context, r *request, found *granted) error {
	if e.bound == nil || found.SessionID == "" {
		return nil
	}
	holds, err := e.bound.Use(ctx, r.client.ID, found.SessionID)
	if err == nil && holds && found.inSession {
		holds, err = e.bound.Exists(ctx, found.SessionID)
	}
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

// checkUser refuses users who are blocked or gone, and what was given out before all that the user had was ended.
func (e *Endpoint) checkUser(ctx context.Context, found *granted) error {
	if found.source == nil {
		return nil
	}
	if err := found.stillThere(ctx); err != nil {
		return err
	}
	user, err := e.users.Standing(ctx, found.Identity.UserID, found.ConnectorID)
	if err != nil {
		return err
	}
	if found.proved {
		found.Epoch = user.Value.Epoch
	}
	err = user.Value.Check(time.Now(), found.Epoch)
	switch {
	case errors.Is(err, identity.ErrBlocked):
		return oauth.Errorf(oauth.InvalidGrant, "The user's account is blocked.")
	case err != nil && found.abandon != nil:
		if err := found.abandon(ctx); err != nil {
			return err
		}
		fallthrough
	case err != nil:
		return oauth.Errorf(oauth.InvalidGrant, "This login has ended.").Because(err)
	}
	return nil
}

// stillThere refuses users of our own password database who are no longer in it. Of others, and of those who have just been looked up,
// nothing is asked.
func (found *granted) stillThere(ctx context.Context) error {
	if found.ask != nil || found.proved {
		return nil
	}
	_, err := found.source.Current(ctx, found.Identity)
	if errors.Is(err, connector.ErrGone) {
		return oauth.Errorf(oauth.InvalidGrant, "The user's account is gone.").Because(err)
	}
	return err
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
