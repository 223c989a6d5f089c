package policy

import (
	"context"
	"errors"
	"slices"

	"dex/internal/client"
	"dex/internal/limit"
	"dex/internal/oauth"
)

// A Rule is one thing that a request is held to.
type Rule struct {
	Name   string
	Stages []Stage
	// hold refuses a question by an *oauth.Error, or adds to the decision what follows from the rule.
	hold func(ctx context.Context, p *Policy, q *Question, d *Decision) error
}

// The rules, by name.
const (
	RuleGrant        = "grant"
	RuleSecondFactor = "second factor"
	RuleConnector    = "connector"
	RuleTargets      = "targets"
	RuleScopes       = "scopes"
	RuleAudience     = "audience"
	RuleUser         = "user"
	RuleExpressions  = "expressions"
	RuleClaims       = "claims"
)

// rules are all rules, in the order in which they refuse.
var rules = []Rule{
	{RuleGrant, []Stage{Asked, Known}, checkGrants},
	{RuleConnector, []Stage{BeforeSource, Known}, checkConnector},
	{RuleUser, []Stage{Known}, checkUser},
	{RuleExpressions, []Stage{Known}, checkExpressions},
	{RuleSecondFactor, []Stage{BeforeSource, Known}, checkSecondFactor},
	{RuleTargets, []Stage{Asked}, addTargets},
	{RuleScopes, []Stage{Asked}, checkScopes},
	{RuleAudience, []Stage{BeforeSource, Known}, decideAudience},
	{RuleClaims, []Stage{Known}, decideClaims},
}

// Rules returns all rules, for tests that break each at each of its stages.
func Rules() []Rule { return slices.Clone(rules) }

// checkGrants refuses clients that are not registered for a grant.
func checkGrants(_ context.Context, _ *Policy, q *Question, _ *Decision) error {
	for _, grant := range append(slices.Clone(q.Also), q.Grant) {
		if !q.Client.AllowsGrant(grant) {
			return q.refusedBy("client "+q.Client.ID+": grantTypes",
				oauth.Errorf(oauth.UnauthorizedClient, "The client is not registered for grant type %s.", grant))
		}
	}
	return nil
}

// checkConnector refuses users of a connector that the client may not use, or that doesn't serve the grant.
func checkConnector(_ context.Context, _ *Policy, q *Question, _ *Decision) error {
	switch d := q.Connector; {
	case d == nil && !hasUser(q.Grant): // nobody signs in
		return nil
	case d == nil:
		return errors.New("the policy was not told where a user comes from")
	case !q.Client.AllowsConnector(d.ID):
		return q.refusedBy("client "+q.Client.ID+": allowedConnectors",
			oauth.Errorf(oauth.InvalidGrant, "The client may not use connector %q.", d.ID))
	case !d.Serves(q.Grant):
		return q.refusedBy("connector "+d.ID+": grantTypes",
			oauth.Errorf(oauth.InvalidRequest, "Connector %q does not serve grant type %s.", d.ID, q.Grant))
	}
	return nil
}

// addTargets adds to the scopes those that stand for the clients that a request names as its audience. The client itself needs
// none.
func addTargets(ctx context.Context, p *Policy, q *Question, _ *Decision) error {
	for _, target := range q.Targets {
		if target == q.Client.ID {
			continue
		}
		trusted, err := trusts(ctx, q.Client, target, p.clients.Get)
		if err != nil {
			return limit.Refusal(err)
		}
		if !trusted {
			return oauth.Errorf(oauth.InvalidTarget,
				"%q is no client that trusts this one: audience and resource take client ids, whose trustedPeers must have it.", target)
		}
		if scope := oauth.ScopeAudiencePrefix + target; !slices.Contains(q.Scopes, scope) {
			q.Scopes = append(slices.Clone(q.Scopes), scope)
		}
	}
	return nil
}

// checkScopes keeps those of the requested scopes that have a meaning, without repetitions. It refuses a request that lacks openid,
// or has a scope that has no place in its grant or that stands for a client which does not trust this one.
func checkScopes(ctx context.Context, p *Policy, q *Question, d *Decision) error {
	if redeems(q) {
		return nil
	}
	if alwaysHasIDToken(q.Grant) && !slices.Contains(q.Scopes, oauth.ScopeOpenID) {
		return oauth.Errorf(oauth.InvalidScope, "The scope openid is missing.")
	}
	d.Scopes = make([]string, 0, len(q.Scopes))
	seen := make(map[string]bool, len(q.Scopes))
	for _, scope := range q.Scopes {
		if seen[scope] {
			continue
		}
		seen[scope] = true
		switch {
		case !oauth.KnownScope(scope):
			if p.options.RefuseUnknownScopes && q.Grant != oauth.GrantTokenExchange { // where upstream never looked
				return oauth.Errorf(oauth.InvalidScope, "The scope %q is not known here.", scope)
			}
			// Left out (OpenID Connect Core, 3.1.2.1).
		case !allowsScope(q.Client, scope):
			return q.refusedBy("client "+q.Client.ID+": allowedScopes",
				oauth.Errorf(oauth.InvalidScope, "The client may not ask for the scope %s.", scope))
		case scope == oauth.ScopeOfflineAccess && !givesRefreshTokens(q):
			// Ignored (OpenID Connect Core, section 11).
		case !hasUser(q.Grant) && (scope == oauth.ScopeOfflineAccess || scope == oauth.ScopeFederatedID):
			return oauth.Errorf(oauth.InvalidScope, "The scope %s is a user's, and there is none.", scope)
		default:
			d.Scopes = append(d.Scopes, scope)
		}
	}
	// The clients in the scopes may be guesses of a stranger, whose look-ups are limited.
	_, err := audienceOf(ctx, q.Client, d.Scopes, p.clients.Find)
	return err
}

// allowsScope reports whether a client may have a scope. Those that stand for other clients are for these to allow.
func allowsScope(c *client.Client, scope string) bool {
	_, isAudience := oauth.AudienceOf(scope)
	return len(c.AllowedScopes) == 0 || scope == oauth.ScopeOpenID || isAudience || slices.Contains(c.AllowedScopes, scope)
}

// redeems reports whether a request shows what a login gave, whose scopes were asked for when that began.
func redeems(q *Question) bool {
	redeeming := []string{oauth.GrantAuthorizationCode, oauth.GrantDeviceCode, oauth.GrantRefreshToken}
	return !q.Login && slices.Contains(redeeming, q.Grant)
}

// alwaysHasIDToken reports whether every answer to a grant has an ID token.
func alwaysHasIDToken(grant string) bool {
	return hasUser(grant) && grant != oauth.GrantTokenExchange
}

// hasUser reports whether the tokens of a grant are for a user. A grant that nobody has listed has one, and is held to all rules.
func hasUser(grant string) bool { return !slices.Contains(oauth.ClientGrants(), grant) }

// givesRefreshTokens reports whether a refresh token can come of a request. Client credentials are not its business: a client
// that wants one there is told so.
func givesRefreshTokens(q *Question) bool {
	switch q.Grant {
	case oauth.GrantTokenExchange:
		return false
	case oauth.GrantImplicit:
		return slices.Contains(q.Also, oauth.GrantAuthorizationCode)
	}
	return true
}

// decideAudience decides who is to accept the tokens. It does so anew for each token, so that withdrawn trust ends at once.
func decideAudience(ctx context.Context, p *Policy, q *Question, d *Decision) error {
	accepting, err := audienceOf(ctx, q.Client, q.Scopes, p.clients.Get)
	if err != nil {
		return err
	}
	d.Scopes = slices.DeleteFunc(slices.Clone(q.Scopes), func(scope string) bool { return !allowsScope(q.Client, scope) })
	d.Terms = p.options.Tokens.terms(q.Client)
	d.Terms.Audience = accepting
	return nil
}

// A finder finds a client.
type finder func(ctx context.Context, id string) (*client.Client, error)

// audienceOf returns the clients of the audience scopes in their order, and the client itself.
func audienceOf(ctx context.Context, c *client.Client, scopes []string, find finder) ([]string, error) {
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
