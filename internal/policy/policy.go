// Package policy decides who may have what. Each way to a token asks it at every stage that it has, so that each rule stands
// in one place.
package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/client"
	"dex/internal/oauth"
	"dex/internal/rule"
	"dex/internal/token"
)

// A Policy decides. It is safe for concurrent use.
type Policy struct {
	clients *client.Registry
	options Options
	global  scope

	sets    memo[string, *rule.Set]
	emails  memo[string, *rule.Emails]
	changes memo[rule.Groups, *rule.GroupChange]

	sourceChanges memo[rule.SourceGroups, *rule.GroupChange]
	refusals      memo[rule.Refusal, []refusals]
	claims        memo[rule.TokenPolicy, *claims]
}

// Options are what an operator may decide otherwise.
type Options struct {
	RefuseUnknownScopes bool // instead of leaving them out
	Factors             Factors

	// AuthPolicy and TokenPolicy are for all clients.
	AuthPolicy  []rule.Refusal
	TokenPolicy *rule.TokenPolicy

	Tokens Tokens
}

// Tokens are what tokens are like whose clients don't say.
type Tokens struct {
	Lifetime  time.Duration // of ID and access tokens
	Longest   time.Duration // that any client may have
	Profile   bool          // access tokens are as RFC 9068 has them
	Opaque    bool          // access tokens are sealed instead of signed
	MaxGroups int           // with more, tokens refer to UserInfo for them; 0 for any number
	MaxSize   int           // of one token, in bytes; 0 for any size
}

// New returns the policy over the registered clients.
func New(clients *client.Registry, o Options) *Policy {
	return &Policy{clients: clients, options: o, global: scope{"all clients", o.AuthPolicy, o.TokenPolicy}}
}

// Decide implements Decider.
func (p *Policy) Decide(ctx context.Context, q Question) (Decision, error) {
	var d Decision
	asked := false
	for _, r := range rules {
		if !slices.Contains(r.Stages, q.Stage) {
			continue
		}
		asked = true
		q.rule = r.Name
		said := q.noted()
		err := r.hold(ctx, p, &q, &d)
		q.noteEnd(said, &d, err)
		if err != nil {
			return Decision{}, refused(r, err)
		}
	}
	if !asked {
		return Decision{}, fmt.Errorf("the policy has no stage %q", q.Stage)
	}
	if q.Stage != Known || len(d.Missing) > 0 {
		d.Terms = token.Terms{}
	}
	return d, nil
}

// refused names the rule that has refused. A failure of ours is no refusal, and neither is a limit that was reached.
func refused(r Rule, err error) error {
	if known, ok := errors.AsType[*Refusal](err); ok {
		return known
	}
	refused, ok := errors.AsType[*oauth.Error](err)
	if !ok || refused.Code == oauth.ServerError || refused.RetryAfter > 0 {
		return err
	}
	return &Refusal{Rule: r.Name, Err: refused}
}
