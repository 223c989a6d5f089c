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
	// BeforeSource comes when the connector is known, and its source is about to be asked who the user is. A source learns
	// nothing of requests that the policy refuses.
	BeforeSource Stage = "before the source"
	// Known is the last: it is known who the user is, and next come the tokens, or a code for them.
	Known Stage = "known"
)

// A Question is who asks for what.
type Question struct {
	Stage  Stage
	Client *client.Client
	Grant  string
	// Also has the other grants that the request uses: authorization_code where a code comes together with tokens.
	Also []string
	// Login is set where the user signs in with a browser, now or later, and can still be asked for what is missing.
	Login bool
	// Connector is where the user comes from; nil at the first stage, and for a client's own tokens.
	Connector *federation.Definition
	// Scopes are those that the request asks for at the first stage, and those of its tokens at the others.
	Scopes []string
	// Targets are the clients that a request names as its audience by parameters instead of scopes (RFC 8693, section 2.1).
	Targets []string
}

// A Decision is what follows from the rules.
type Decision struct {
	// Scopes are those of the question that have a meaning, without repetitions. At the first stage there are none for a
	// request that redeems what a login gave: they were asked for when the login began.
	Scopes []string
	// Terms say how tokens are made. Only the last stage has them.
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
	// Decide returns what follows from the rules of a stage. The error is a *Refusal, or another one where the question could
	// not be answered: an *oauth.Error if a client could not be looked up.
	Decide(ctx context.Context, q Question) (Decision, error)
}
