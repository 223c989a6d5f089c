package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/expression"
	"dex/internal/relyingparty"
)

// Expressions are CEL expressions over the provider's claims. Each says of users what ClaimMapping or the standard claim would.
type Expressions struct {
	Username      string            `key:"username"`
	Email         string            `key:"email"`
	Groups        string            `key:"groups"`
	EmailVerified string            `key:"emailVerified"`
	Extra         map[string]string `key:"extra"` // what only policies see, by name
}

// maxExtra bounds how many expressions Extra may have.
const maxExtra = 32

// extraName is what names in Extra may be. A dot would make another key of them.
var extraName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// compiled has the programs of Expressions; nil for those that are not set.
type compiled struct {
	username, email, groups, emailVerified *expression.Program
	extra                                  map[string]*expression.Program
}

// checkExpressions compiles the expressions.
func (c *Config) checkExpressions(check *settings.Check) {
	const key = "claimMappingExpressions"
	e := &c.ClaimMappingExpressions
	compile := func(name, text string, want expression.Type) *expression.Program {
		if text == "" {
			return nil
		}
		p, err := expression.Compile(text, expression.Variables{Claims: true}, want)
		if err != nil {
			check.Fail(key+"."+name, "is no expression that can be used here: %v", err)
		}
		return p
	}
	c.compiled = compiled{
		username: compile("username", e.Username, expression.String), email: compile("email", e.Email, expression.String),
		groups: compile("groups", e.Groups, expression.StringList), emailVerified: compile("emailVerified", e.EmailVerified, expression.Bool),
	}
	if len(e.Extra) > maxExtra {
		check.Fail(key+".extra", "has %d entries, and may have %d", len(e.Extra), maxExtra)
		return
	}
	for name, text := range e.Extra {
		if !extraName.MatchString(name) {
			check.Fail(key+".extra", "has the name %q; use letters, digits, - and _", name)
			continue
		}
		if p := compile("extra."+name, text, expression.Any); p != nil {
			if c.compiled.extra == nil {
				c.compiled.extra = map[string]*expression.Program{}
			}
			c.compiled.extra[name] = p
		}
	}
	for _, each := range []struct{ set, name, other, value string }{
		{e.Username, "username", "userNameKey", c.UserNameKey},
		{e.Email, "email", "claimMapping.email", c.ClaimMapping.Email},
		{e.Groups, "groups", "claimMapping.groups", c.ClaimMapping.Groups},
	} {
		if each.set != "" && each.value != "" {
			check.Warn(each.other, "is not used: %s.%s takes its place", key, each.name)
		}
	}
}

// A subject is a user as the provider's claims describe them.
type subject struct {
	said relyingparty.Claims
	// last is what was known of the user, at a refresh. Its claims may leave out what those of the login had (OpenID Connect
	// Core, section 12.2).
	last *connector.Identity
}

// text evaluates an expression. At a refresh, what was known stays if the claims don't have what the expression needs.
func (s *subject) text(ctx context.Context, name string, p *expression.Program, known func(*connector.Identity) string) (string, error) {
	text, err := p.String(ctx, expression.Input{Claims: s.said})
	switch {
	case err == nil:
		return text, nil
	case s.last != nil && ctx.Err() == nil:
		return known(s.last), nil
	}
	return "", unexpressed(ctx, name, err)
}

// groups evaluates an expression. Groups that a refresh doesn't show are lost.
func (s *subject) groups(ctx context.Context, p *expression.Program) ([]string, error) {
	groups, err := p.Strings(ctx, expression.Input{Claims: s.said})
	switch {
	case err == nil:
		return slices.Clone(groups), nil // as the caller changes it
	case s.last != nil && ctx.Err() == nil:
		return nil, nil
	}
	return nil, unexpressed(ctx, "groups", err)
}

// verified evaluates an expression. At a refresh whose claims don't have what it needs, an address stays what it was.
func (s *subject) verified(ctx context.Context, p *expression.Program, email string) (bool, error) {
	verified, err := p.Bool(ctx, expression.Input{Claims: s.said})
	switch {
	case err == nil:
		return verified, nil
	case s.last != nil && ctx.Err() == nil:
		return s.last.EmailVerified && s.last.Email == email, nil
	}
	return false, unexpressed(ctx, "emailVerified", err)
}

// extra evaluates what only policies see. What is null is left out; so is what a refresh doesn't show.
func (s *subject) extra(ctx context.Context, programs map[string]*expression.Program) (map[string]any, error) {
	if len(programs) == 0 {
		return nil, nil
	}
	all := map[string]any{}
	for name, p := range programs {
		value, err := p.Any(ctx, expression.Input{Claims: s.said})
		switch {
		case err == nil && value != nil:
			all[name] = value
		case err != nil && (s.last == nil || ctx.Err() != nil):
			return nil, unexpressed(ctx, "extra."+name, err)
		}
	}
	return asStored(all)
}

// asStored returns values as they come back from the storage, whose numbers have no integers, so that policies see the same at
// a login and at a refresh.
func asStored(extra map[string]any) (map[string]any, error) {
	encoded, err := json.Marshal(extra)
	if err != nil {
		return nil, fmt.Errorf("encode what claimMappingExpressions.extra makes: %w", err)
	}
	if len(encoded) > connector.MaxExtra {
		return nil, &connector.Unusable{
			Reason: notUsable,
			Cause:  fmt.Errorf("what claimMappingExpressions.extra makes has %d bytes, and may have %d", len(encoded), connector.MaxExtra),
		}
	}
	var stored map[string]any
	if err := json.Unmarshal(encoded, &stored); err != nil {
		return nil, fmt.Errorf("read what claimMappingExpressions.extra makes: %w", err)
	}
	return stored, nil
}

const notUsable = "Your account can't be used here. Ask your administrator."

// unexpressed says that an expression has no value for a user.
func unexpressed(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &connector.Unusable{Reason: notUsable, Cause: fmt.Errorf("claimMappingExpressions.%s: %w", name, err)}
}
