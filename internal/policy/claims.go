package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/expression"
	"dex/internal/federation"
	"dex/internal/rule"
	"dex/internal/token"
)

// A scope is whose rules they are.
type scope struct {
	name   string
	auth   []rule.Refusal
	tokens *rule.TokenPolicy
}

// needsGroups reports whether expressions of a scope may read the user's groups.
func (p *Policy) needsGroups(s *scope) bool {
	return slices.ContainsFunc(p.refusalsOf(s), func(part refusals) bool { return part.needGroups() }) ||
		s.tokens != nil && p.claimsOf(s).needGroups()
}

// refusalsOf and claimsOf return what a scope has, compiled.
func (p *Policy) refusalsOf(s *scope) []refusals {
	if len(s.auth) == 0 {
		return nil
	}
	return p.refusals.of(&s.auth[0], func() []refusals { return compileRefusals(s.auth) })
}

func (p *Policy) claimsOf(s *scope) *claims {
	return p.claims.of(s.tokens, func() *claims { return compileClaims(s.tokens) })
}

// scopes returns all rules that are about a question, the widest first.
func (p *Policy) scopes(q *Question) []scope {
	return []scope{p.global, ofConnector(q.Connector), ofClient(q.Client)}
}

func ofConnector(d *federation.Definition) scope {
	return scope{"connector " + d.ID, d.AuthPolicy, d.TokenPolicy}
}

func ofClient(c *client.Client) scope { return scope{"client " + c.ID, c.AuthPolicy, c.TokenPolicy} }

// A program is a compiled expression, or why it can't be one: a stored client may have what the storage wasn't checked for.
type program struct {
	*expression.Program
	err    error
	groups bool // it may read the user's groups, or claims that are groups
}

func compile(text string, v expression.Variables, want expression.Type) program {
	if text == "" {
		return program{}
	}
	p, err := expression.Compile(text, v, want)
	return program{p, err, strings.Contains(text, "groups") || err == nil && p.ReadsGroups()}
}

// A refusal is a rule.Refusal, compiled.
type refusal struct{ expression, message program }

func (r *refusal) needsGroups() bool { return r.expression.groups || r.message.groups }

func compileRefusal(r *rule.Refusal) refusal {
	return refusal{compile(r.Expression, rule.OfUser, expression.Bool), compile(r.Message, rule.OfUser, expression.String)}
}

// claims is a rule.TokenPolicy, compiled.
type claims struct {
	filter *refusal
	claims []claim
	// existing is whether an expression reads what the tokens would say without it.
	existing bool
}

func (c *claims) needGroups() bool {
	return c.filter != nil && c.filter.needsGroups() ||
		slices.ContainsFunc(c.claims, func(one claim) bool { return one.key.groups || one.value.groups || one.condition.groups })
}

type claim struct {
	key, value, condition program
	system                bool // the operator writes of groups of Kubernetes
}

func compileClaims(t *rule.TokenPolicy) *claims {
	c := &claims{}
	if t.Filter != nil {
		filter := compileRefusal(t.Filter)
		c.filter = &filter
	}
	for _, one := range t.Claims {
		c.claims = append(c.claims, claim{
			compile(one.Key, rule.OfClaims, expression.String), compile(one.Value, rule.OfClaims, expression.Any),
			compile(one.Condition, rule.OfClaims, expression.Bool), strings.Contains(strings.ToLower(one.Value), rule.SystemPrefix),
		})
		c.existing = c.existing || strings.Contains(one.Key+one.Value+one.Condition, "existing_claims")
	}
	return c
}

// input returns what expressions see of a question.
func (q *Question) input(user *connector.Identity) expression.Input {
	claims := user.Extra
	if claims == nil {
		claims = map[string]any{} // so that has(claims.x) is false for users of whom the source says nothing more
	}
	return expression.Input{
		Identity: &expression.Identity{
			UserID: user.UserID, Username: user.Username, PreferredUsername: user.PreferredUsername,
			Email: user.Email, EmailVerified: user.EmailVerified, Groups: user.Groups,
		},
		Request: &expression.Request{
			ClientID: q.Client.ID, ConnectorID: q.Connector.ID, RedirectURI: q.RedirectURI, Scopes: q.Scopes,
		},
		Claims: claims,
	}
}

// checkExpressions refuses users whom an expression refuses.
func checkExpressions(ctx context.Context, p *Policy, q *Question, d *Decision) error {
	if !hasUser(q.Grant) {
		return nil
	}
	var in *expression.Input
	for _, s := range p.scopes(q) {
		for _, part := range p.refusalsOf(&s) {
			if in == nil {
				made := q.input(d.user)
				in = &made
			}
			if err := part.hold(ctx, q, *in, s.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold refuses the user if the expression has a value, or none.
func (r *refusal) hold(ctx context.Context, q *Question, in expression.Input, refuses bool, whose, list string, i int) error {
	where := func() string {
		if i < 0 {
			return whose + ": " + list
		}
		return fmt.Sprintf("%s: %s[%d]", whose, list, i)
	}
	got, err := r.expression.bool(ctx, in)
	if err != nil {
		q.note(where(), Refused, "%v", err)
		return q.denied(ExpressionFails, "", fmt.Errorf("%s: %w", where(), err))
	}
	if got != refuses {
		if q.Trace != nil {
			q.note(where(), Passed, "the expression is %t", got)
		}
		return nil
	}
	message := ""
	if r.message.Program != nil || r.message.err != nil {
		if text, messageErr := r.message.string(ctx, in); messageErr == nil && text != "" {
			message = text
		}
	}
	if q.Trace != nil {
		q.note(where(), Refused, "%s", strings.TrimSuffix(fmt.Sprintf("the expression is %t: %s", got, message), ": "))
	}
	return q.denied(ByExpression, message, fmt.Errorf("%s refuses the user", where()))
}

func (p program) bool(ctx context.Context, in expression.Input) (bool, error) {
	if p.err != nil || p.Program == nil {
		return false, errors.Join(errors.New("the expression can't be used"), p.err)
	}
	return p.Bool(ctx, in)
}

func (p program) string(ctx context.Context, in expression.Input) (string, error) {
	if p.err != nil || p.Program == nil {
		return "", errors.Join(errors.New("the expression can't be used"), p.err)
	}
	return p.String(ctx, in)
}

// decideClaims decides what the tokens say of the user.
func decideClaims(ctx context.Context, p *Policy, q *Question, d *Decision) error {
	if !hasUser(q.Grant) {
		return nil
	}
	in, made := q.input(d.user), map[string]any{}
	for _, s := range p.scopes(q) {
		if s.tokens == nil {
			continue
		}
		compiled := p.claimsOf(&s)
		if compiled.filter != nil {
			if err := compiled.filter.hold(ctx, q, in, false, s.name, "tokenPolicy.filter", -1); err != nil {
				return err
			}
		}
		if compiled.existing {
			in.ExistingClaims = existing(q, d, made)
		}
		for i := range compiled.claims {
			where := func() string { return fmt.Sprintf("%s: tokenPolicy.claims[%d]", s.name, i) }
			note := func(format string, args ...any) {
				if q.Trace != nil {
					q.note(where(), Changed, format, args...)
				}
			}
			if err := compiled.claims[i].make(ctx, q, in, made, note); err != nil {
				where := where()
				q.note(where, Refused, "%v", err)
				return q.denied(ExpressionFails, "", fmt.Errorf("%s: %w", where, err))
			}
		}
	}
	if err := checkSize(made); err != nil {
		return q.denied(ExpressionFails, "", err)
	}
	if len(made) > 0 {
		d.Terms.Claims = made
	}
	user := *d.user
	if g := q.Client.Groups; g != nil {
		user.Groups, _ = p.changes.of(g, func() *rule.GroupChange { return rule.NewGroupChange(g) }).Apply(user.Groups)
		q.note("client "+q.Client.ID+": groups", Changed, "tokens have %d of the user's %d groups: %q", len(user.Groups), len(d.user.Groups), shown(user.Groups))
	}
	d.Terms.User = &user
	return nil
}

// make adds the claim to those that were made, if its condition holds, and notes what has come of it.
func (c *claim) make(ctx context.Context, q *Question, in expression.Input, made map[string]any, note func(format string, args ...any)) error {
	if c.condition.Program != nil || c.condition.err != nil {
		holds, err := c.condition.bool(ctx, in)
		if err != nil {
			return err
		}
		if !holds {
			note("no claim, as the condition is false")
			return nil
		}
	}
	name, err := c.key.string(ctx, in)
	if err != nil {
		return err
	}
	if err := rule.CheckClaimName(name); err != nil {
		note("no claim: %v", err)
		return nil // as it has been decided for names that are computed
	}
	if c.value.err != nil || c.value.Program == nil {
		return errors.Join(errors.New("the expression can't be used"), c.value.err)
	}
	value, err := c.value.Any(ctx, in)
	if err != nil {
		return err
	}
	if err := rule.CheckClaim(name, value); err != nil {
		return err
	}
	if name == "groups" && !c.system {
		value = guarded(q, value, in.Identity.Groups)
	}
	if _, replaced := made[name]; replaced {
		note("claim %s, in place of the one before", name)
	} else {
		note("claim %s", name)
	}
	made[name] = value
	return nil
}

// guarded returns the groups of a claim without those that mean something to Kubernetes, as far as they come from the source in another
// way than as the user's groups, which are guarded already.
func guarded(q *Question, value any, known []string) any {
	if g := q.Connector.Groups; g != nil && g.AllowSystem {
		return value
	}
	list, ok := value.([]any)
	if texts, are := value.([]string); are {
		for _, text := range texts {
			list = append(list, text)
		}
		ok = true
	}
	if !ok {
		return value
	}
	refuses := func(group any) bool {
		name, _ := group.(string)
		return rule.IsSystem(name) && !slices.Contains(known, name)
	}
	if !slices.ContainsFunc(list, refuses) {
		return value
	}
	q.note("connector "+q.Connector.ID+": groups", Changed, "left out of a claim, as they mean something to Kubernetes (allowSystem)")
	return slices.DeleteFunc(list, refuses)
}

// existing returns the claims about the user that tokens would have, and the empty ones that they would leave out.
func existing(q *Question, d *Decision, made map[string]any) map[string]any {
	all := token.ClaimsShown(d.Scopes, d.user)
	all["aud"] = d.Terms.Audience
	maps.Copy(all, made)
	return all
}

// maxClaims bounds all claims that expressions make together, as JSON, in bytes.
const maxClaims = 128 << 10

func checkSize(made map[string]any) error {
	if len(made) == 0 {
		return nil
	}
	text, err := json.Marshal(made)
	if err == nil && len(text) > maxClaims {
		err = fmt.Errorf("the claims of expressions have %d bytes together, of at most %d", len(text), maxClaims)
	}
	return err
}
