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
	"dex/internal/token"
)

// A Policy decides. It is safe for concurrent use.
type Policy struct {
	clients *client.Registry
	options Options
}

// Options are what an operator may decide otherwise.
type Options struct {
	RefuseUnknownScopes bool     // instead of leaving them out
	SecondFactors       []string // that users need where the client doesn't say which

	TokenLifetime time.Duration // of ID and access tokens
	TokenProfile  bool          // access tokens are as RFC 9068 has them
}

// New returns the policy over the registered clients.
func New(clients *client.Registry, o Options) *Policy { return &Policy{clients: clients, options: o} }

// Decide implements Decider.
func (p *Policy) Decide(ctx context.Context, q Question) (Decision, error) {
	var d Decision
	asked := false
	for _, r := range rules {
		if !slices.Contains(r.Stages, q.Stage) {
			continue
		}
		asked = true
		if err := r.hold(ctx, p, &q, &d); err != nil {
			return Decision{}, refusal(r, err)
		}
	}
	if !asked {
		return Decision{}, fmt.Errorf("the policy has no stage %q", q.Stage)
	}
	if q.Stage != Known {
		d.Terms = token.Terms{}
	}
	return d, nil
}

// refusal names the rule that has refused. A failure of ours is no refusal, and neither is a limit that was reached.
func refusal(r Rule, err error) error {
	refused, ok := errors.AsType[*oauth.Error](err)
	if !ok || refused.Code == oauth.ServerError || refused.RetryAfter > 0 {
		return err
	}
	return &Refusal{Rule: r.Name, Err: refused}
}
