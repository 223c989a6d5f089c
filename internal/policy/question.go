package policy

import (
	"context"
	"strings"

	"dex/internal/client"
	"dex/internal/connector"
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

	// Passed are the authenticators by which the user has proved who they are, as token.Authorization has them.
	Passed []string
	// Methods are how the user has signed in (RFC 8176).
	Methods []string
	// ACRValues are what a login's application asks for, what it likes best first (OpenID Connect Core, 3.1.2.1).
	ACRValues []string
	// Enrolled are the authenticators that the user has set up, as far as a login knows them.
	Enrolled []string

	// User is who it is, as the source has told; set at the last stage, unless there is no user.
	User *connector.Identity
	// RedirectURI is where the answer goes, where that is known.
	RedirectURI string

	// Trace is where the rules say what they have made of the question; nil where nobody asks.
	Trace *Trace
	rule  string // that looks at the question
}

// A Decision is what follows from the rules.
type Decision struct {
	// Scopes are those of the question that have a meaning, without repetitions. At the first stage there are none for a
	// request that redeems what a login gave: they were asked for when the login began.
	Scopes []string
	// Missing is what the user of a login has still to pass: of each item, any one of the authenticators. While anything is missing
	// there are no terms.
	Missing [][]string
	// ACR is how strongly the user of a login has signed in, in the words of acr_values; empty if there is no word for it.
	ACR string
	// Terms say how tokens are made. Only the last stage has them.
	Terms token.Terms

	user *connector.Identity // by the names that the connector's settings give the groups
}

// A Refusal is the error of a request that a rule refuses.
type Refusal struct {
	Rule   string
	Reason Reason // why a user is refused; empty for refusals of the request
	// Everywhere says that the connector refuses the user, whatever the client.
	Everywhere bool
	// Message is what the operator has a user be told who is refused; empty for something usual.
	Message string
	Err     *oauth.Error // what the application is told
}

func (r *Refusal) Error() string { return r.Err.Error() }

// RefusalReason implements what event.ReasonOf looks for: the rule, where the cause has no other word.
func (r *Refusal) RefusalReason() string { return "policy_" + strings.ReplaceAll(r.Rule, " ", "_") }

// Unwrap makes the refusal an *oauth.Error.
func (r *Refusal) Unwrap() error { return r.Err }

// A Decider decides: a *Policy, or something around one.
type Decider interface {
	// Decide returns what follows from the rules of a stage. The error is a *Refusal, or another one where the question could
	// not be answered: an *oauth.Error if a client could not be looked up.
	Decide(ctx context.Context, q Question) (Decision, error)
	// NeedsGroups reports whether a decision about a user of a connector may depend on the user's groups, so that the source must be
	// asked for them even if the application doesn't want them.
	NeedsGroups(c *client.Client, d *federation.Definition) bool
}
