// Package explain says what the policy decides about a login, and why: for a running server, and for cases that hold a configuration
// to what is expected of it.
package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/token"
)

// What refuses logins besides the rules of the policy.
const (
	RuleBlocked   = "blocked user"
	RuleTokenSize = "token size"
)

// An Explainer asks what a server would decide. It changes nothing, and makes no tokens.
type Explainer struct {
	Policy policy.Decider
	Minter *token.Minter
}

// A Login is what is asked about.
type Login struct {
	Client    *client.Client
	Connector *federation.Definition
	User      connector.Identity // as the source tells
	Blocked   bool               // the user's account is
	Grant     string             // one of Grants
	Scopes    []string           // that the application asks for
}

// DefaultScopes are those of a question that names none.
var DefaultScopes = []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeGroups}

// Grants are the grants with a user.
var Grants = []string{
	oauth.GrantAuthorizationCode, oauth.GrantImplicit, oauth.GrantDeviceCode, oauth.GrantRefreshToken, oauth.GrantPassword,
	oauth.GrantTokenExchange,
}

// An Explanation is what becomes of a login.
type Explanation struct {
	Allowed bool
	Refusal *Refusal // nil if it is allowed
	Steps   []policy.Step
	// Missing is what the user has to pass besides: of each item, any one of the authenticators.
	Missing [][]string
	Grant   string
	Scopes  []string

	// What tokens are like; only if it is allowed.
	Terms     token.Terms
	Algorithm string // of their signatures
	Claims    json.RawMessage
}

// A Refusal is why a login is refused.
type Refusal struct {
	Stage  policy.Stage
	Rule   string
	Reason policy.Reason // why the user is; empty where the request is refused
	Code   string        // what the application is told, of OAuth
	Told   string        // what the application is told, or what the operator has the user be told
	Cause  string        // for operators
}

// Explain asks the policy at each stage that a login comes to. An error says that it could not be asked.
func (e *Explainer) Explain(ctx context.Context, l Login) (*Explanation, error) {
	q := policy.Question{
		Client: l.Client, Grant: l.Grant, Scopes: l.Scopes, Login: isLogin(l.Grant), Trace: &policy.Trace{},
		Methods: l.User.Methods,
	}
	if q.Grant == oauth.GrantRefreshToken {
		q.Passed = []string{token.FactorOfUpstream} // the login has had them
	}
	found := &Explanation{Grant: l.Grant}
	d, err := e.decide(ctx, l, &q)
	found.Steps = q.Trace.Steps
	if refused, ok := errors.AsType[*policy.Refusal](err); ok {
		found.Refusal = refusalOf(q.Stage, refused)
		found.Scopes = q.Scopes
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	if l.Blocked {
		found.refuse(policy.Known, RuleBlocked, oauth.AccessDenied, "Your account is blocked.", "the user is blocked")
		return found, nil
	}
	found.Allowed, found.Missing, found.Scopes = true, d.Missing, d.Scopes
	if d, err = e.afterFactors(ctx, q, d); err != nil {
		return nil, err
	}
	return found, e.preview(ctx, l, q.Passed, d, found)
}

// decide asks at each stage.
func (e *Explainer) decide(ctx context.Context, l Login, q *policy.Question) (policy.Decision, error) {
	q.Stage = policy.Asked
	d, err := e.Policy.Decide(ctx, *q)
	if err != nil {
		return d, err
	}
	if q.Grant != oauth.GrantRefreshToken { // whose scopes are those of the login
		q.Scopes = d.Scopes
	}
	q.Stage, q.Connector = policy.BeforeSource, l.Connector
	if _, err = e.Policy.Decide(ctx, *q); err != nil {
		return d, err
	}
	q.Stage, q.User = policy.Known, &l.User
	q.RedirectURI = redirectURI(l.Client, l.Grant)
	return e.Policy.Decide(ctx, *q)
}

// isLogin reports whether the user of a grant signs in with a browser.
func isLogin(grant string) bool {
	return slices.Contains([]string{oauth.GrantAuthorizationCode, oauth.GrantImplicit, oauth.GrantDeviceCode}, grant)
}

// redirectURI returns where the answer to a login goes, which rules may be about: the client's first address, as most have one.
func redirectURI(c *client.Client, grant string) string {
	if len(c.RedirectURIs) == 0 || grant != oauth.GrantAuthorizationCode && grant != oauth.GrantImplicit {
		return ""
	}
	return c.RedirectURIs[0]
}

// afterFactors returns the decision about a user who has passed what was missing.
func (e *Explainer) afterFactors(ctx context.Context, q policy.Question, d policy.Decision) (policy.Decision, error) {
	if len(d.Missing) == 0 {
		return d, nil
	}
	q.Trace = nil // it was asked already
	q.Passed = slices.Clone(q.Passed)
	for _, item := range d.Missing {
		q.Passed = append(q.Passed, item[0])
	}
	d, err := e.Policy.Decide(ctx, q)
	if err == nil && len(d.Missing) > 0 {
		err = fmt.Errorf("second factors are missing however many the user passes: %v", d.Missing)
	}
	return d, err
}

// preview adds what the tokens would be like.
func (e *Explainer) preview(ctx context.Context, l Login, passed []string, d policy.Decision, to *Explanation) error {
	a := &token.Authorization{
		ClientID: l.Client.ID, ConnectorID: l.Connector.ID, Identity: l.User, Scopes: d.Scopes,
		AuthTime: time.Now(), Methods: l.User.Methods, Factors: passed, ACR: d.ACR,
	}
	seen, err := e.Minter.Preview(ctx, a, d.Terms)
	if err != nil {
		return err
	}
	if seen.Referred > 0 {
		to.Steps = append(to.Steps, policy.Step{
			Stage: policy.Known, Rule: RuleTokenSize, Outcome: policy.Changed,
			Detail: fmt.Sprintf("tokens refer to UserInfo for %d groups, more than maxGroups or maxSize lets them hold", seen.Referred),
		})
	}
	if seen.TooLarge > 0 {
		to.Missing = nil
		to.refuse(policy.Known, RuleTokenSize, oauth.ServerError, "",
			fmt.Sprintf("a token would have %d bytes, more than the %d of maxSize", seen.TooLarge, d.Terms.MaxSize))
		return nil
	}
	to.Terms, to.Algorithm, to.Claims = d.Terms, seen.Algorithm, seen.Claims
	return nil
}

// refuse says that something besides the policy refuses the login.
func (x *Explanation) refuse(at policy.Stage, rule, code, told, cause string) {
	x.Allowed = false
	x.Refusal = &Refusal{Stage: at, Rule: rule, Code: code, Told: told, Cause: cause}
	x.Steps = append(x.Steps, policy.Step{Stage: at, Rule: rule, Outcome: policy.Refused, Detail: cause})
}

func refusalOf(at policy.Stage, r *policy.Refusal) *Refusal {
	told := r.Err.Description
	if r.Message != "" {
		told = r.Message
	}
	return &Refusal{Stage: at, Rule: r.Rule, Reason: r.Reason, Code: r.Err.Code, Told: told, Cause: r.Err.Error()}
}

// AccessTokenForm names the form of access tokens: jwt, at+jwt (RFC 9068) or opaque.
func (x *Explanation) AccessTokenForm() string {
	switch {
	case x.Terms.Opaque:
		return "opaque"
	case x.Terms.Profile:
		return "at+jwt"
	}
	return "jwt"
}
