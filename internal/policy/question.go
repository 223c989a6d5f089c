package policy

import (
	"context"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/token"
)

// A Stage is how far a request has come when the policy is asked.
type Stage string

// The stages, in the order in which a request comes to them.
const (
	// Asked is the first: a request has come, and says what it is for.
	Asked Stage = "asked"
	// BeforeSource is when the connector is known, and its source is about to be asked who the user is. A source learns of
	// nobody who may not use it.
	BeforeSource Stage = "before the source"
	// Known is the last: it is known who the user is, and tokens, or a code for them, are made next.
	Known Stage = "known"
)

// A Question is who asks for what.
type Question struct {
	Stage  Stage
	Client *client.Client
	Grant  string
	// Also are the grants that the request uses besides, as a code that comes together with tokens does.
	Also []string
	// Login is set where the user is in front of a browser, or will be, and can still be asked for what is missing.
	Login bool
	// Connector is where the user comes from; nil at the first stage, and for a client's own tokens.
	Connector *federation.Definition
	// Scopes are those that the request asks for at the first stage, and those of its tokens at the others.
	Scopes []string
	// Targets are the clients that a request names as the audience of its tokens without a scope (RFC 8693, section 2.1).
	Targets []string
}

// A Decision is what follows from the rules.
type Decision struct {
	// Scopes are those that the request asks for which have a meaning, without repetitions. At the first stage there are none
	// for a grant that redeems what a login gave.
	Scopes []string
	// Terms are what tokens are made on. Only the last stage has any.
	Terms token.Terms
}

// A Refusal is the error of a request that a rule refuses.
type Refusal struct {
	Rule string
	Err  *oauth.Error // what the application is told
}

func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap makes the refusal an *oauth.Error.
func (r *Refusal) Unwrap() error { return r.Err }

// A Decider decides: a *Policy, or something around one.
type Decider interface {
	// Decide returns what follows from the rules of a stage. The error is a *Refusal, or any other for a failure of our own.
	Decide(ctx context.Context, q Question) (Decision, error)
}
