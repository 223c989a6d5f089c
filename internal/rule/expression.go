package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dex/internal/expression"
	"dex/internal/spelling"
)

// A Refusal is whom an expression refuses.
type Refusal struct {
	Expression string `key:"expression" json:"expression"`     // CEL, a bool
	Message    string `key:"message" json:"message,omitempty"` // CEL, a string for the user; empty for a usual one
}

// TokenPolicy is what tokens say, besides or instead of what they would say.
type TokenPolicy struct {
	Claims []Claim `key:"claims" json:"claims,omitempty"` // later ones win
	// Filter must be true, or there are no tokens.
	Filter *Refusal `key:"filter" json:"filter,omitempty"`
}

// A Claim is one that an expression makes.
type Claim struct {
	Key       string `key:"key" json:"key"`                       // CEL, a string: its name
	Value     string `key:"value" json:"value"`                   // CEL
	Condition string `key:"condition" json:"condition,omitempty"` // CEL, a bool; empty for always
}

// Variables of the expressions about users, and of those about the claims of tokens.
var (
	OfUser   = expression.Variables{Identity: true, Request: true, Claims: true}
	OfClaims = expression.Variables{Identity: true, Request: true, Claims: true, ExistingClaims: true}
)

// maxRules is how many expressions one list may have.
const maxRules = 1000

// reserved are claims that say whose a token is, for whom, how long and for what: the protocol's, never an operator's.
var reserved = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "c_hash",
	"acr", "amr", "azp", "sid", "client_id", "scope", "events", "cnf", "act", "may_act", "typ", "active", "token_type", "username",
	"federated_claims", "_claim_names", "_claim_sources",
}

// claimTypes are what claims must be that have a meaning here.
var claimTypes = map[string]expression.Type{
	"email": expression.String, "name": expression.String, "preferred_username": expression.String,
	"email_verified": expression.Bool, "groups": expression.StringList,
}

// CheckClaim returns why an expression may not make a claim of a value, or nil.
func CheckClaim(name string, value any) error {
	if err := CheckClaimName(name); err != nil {
		return err
	}
	want, known := claimTypes[name]
	if !known {
		return nil
	}
	ok := false
	switch want {
	case expression.String:
		_, ok = value.(string)
	case expression.Bool:
		_, ok = value.(bool)
	case expression.StringList:
		ok = isStrings(value)
	case expression.Any:
		ok = true
	}
	if !ok {
		return fmt.Errorf("the claim %s must be %s", name, want)
	}
	return nil
}

// CheckClaimName returns why an expression may not make a claim, or nil.
func CheckClaimName(name string) error {
	if name == "" || len(name) > maxText {
		return fmt.Errorf("the name of a claim must have 1 to %d bytes", maxText)
	}
	if IsReserved(name) {
		return fmt.Errorf("the claim %s belongs to the protocol", name)
	}
	for known := range claimTypes {
		if strings.EqualFold(name, known) && name != known {
			return fmt.Errorf("the claim %s must be spelt %s", name, known)
		}
	}
	return nil
}

// IsReserved reports whether a claim is the protocol's. Case is ignored, as some readers of tokens do.
func IsReserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, name) })
}

func isStrings(value any) bool {
	if _, ok := value.([]string); ok {
		return true
	}
	list, ok := value.([]any)
	for _, v := range list {
		if _, is := v.(string); !is {
			return false
		}
	}
	return ok
}

// CheckRefusals reports mistakes in a list at a key.
func CheckRefusals(on Reporter, key string, list []Refusal) {
	if len(list) > maxRules {
		on.Errorf(key, "must have at most %d rules", maxRules)
		return
	}
	for i := range list {
		list[i].check(on, item(key, i), OfUser)
	}
}

func (r *Refusal) check(on Reporter, key string, v expression.Variables) {
	if on.Required(key+".expression", r.Expression, "a CEL expression, which results in a bool") {
		compile(on, key+".expression", r.Expression, v, expression.Bool)
	}
	if r.Message != "" {
		compile(on, key+".message", r.Message, v, expression.String)
	}
}

// Check reports mistakes at a key.
func (t *TokenPolicy) Check(on Reporter, key string) {
	if t == nil {
		return
	}
	if t.Filter != nil {
		t.Filter.check(on, key+".filter", OfUser)
	}
	if len(t.Claims) > maxRules {
		on.Errorf(key+".claims", "must have at most %d claims", maxRules)
		return
	}
	for i := range t.Claims {
		t.Claims[i].check(on, item(key+".claims", i))
	}
}

func (c *Claim) check(on Reporter, key string) {
	if on.Required(key+".key", c.Key, "a CEL expression for the claim's name, such as \"'department'\": the inner quotes make it text") {
		c.checkKey(on, key+".key")
	}
	if on.Required(key+".value", c.Value, "a CEL expression for the claim's value") {
		compile(on, key+".value", c.Value, OfClaims, c.valueType())
	}
	if c.Condition != "" {
		compile(on, key+".condition", c.Condition, OfClaims, expression.Bool)
	}
}

// checkKey also reports names that may not be used, as far as they are written and not computed.
func (c *Claim) checkKey(on Reporter, key string) {
	compile(on, key, c.Key, OfClaims, expression.String)
	name, ok := literal(c.Key)
	if !ok {
		return
	}
	if err := CheckClaimName(name); err != nil {
		on.Errorf(key, "%v; choose another name", err)
		return
	}
	for known := range claimTypes {
		if near, ok := spelling.Nearest(name, []string{known}); ok && near != name {
			on.Warnf(key, "makes the claim %q; did you mean %q?", name, near)
		}
	}
}

// valueType returns what the claim's value must be, as far as its name is written and not computed.
func (c *Claim) valueType() expression.Type {
	if name, ok := literal(c.Key); ok {
		if want, known := claimTypes[name]; known {
			return want
		}
	}
	return expression.Any
}

// literal returns the text of an expression that is no more than one in quotes.
func literal(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) < 2 || text[0] != text[len(text)-1] || text[0] != '\'' && text[0] != '"' {
		return "", false
	}
	inner := text[1 : len(text)-1]
	return inner, !strings.ContainsAny(inner, `'"\`)
}

func compile(on Reporter, key, text string, v expression.Variables, want expression.Type) {
	_, err := expression.Compile(text, v, want)
	if err == nil {
		return
	}
	if invalid, ok := errors.AsType[*expression.Invalid](err); ok {
		on.Errorf(key, "%s", invalid.Error())
		return
	}
	on.Errorf(key, "%v", err)
}
