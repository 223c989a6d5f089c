package explain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/federation"
)

// A Case is what is expected of one login.
type Case struct {
	Name      string   `key:"name"`
	Client    string   `key:"client"`
	Connector string   `key:"connector"`
	User      User     `key:"user"`
	Grant     string   `key:"grant"`  // authorization_code when empty
	Scopes    []string `key:"scopes"` // DefaultScopes when empty
	Want      Want     `key:"want"`
}

// A User is who signs in, as the source tells.
type User struct {
	ID                string         `key:"id"` // the name or the address when empty
	Name              string         `key:"name"`
	PreferredUsername string         `key:"preferredUsername"`
	Email             string         `key:"email"`
	EmailVerified     *bool          `key:"emailVerified"` // true when absent
	Groups            []string       `key:"groups"`
	Claims            config.Section `key:"claims"` // what expressions see as claims

	claims map[string]any
}

// Want is what has to come of it. What is empty may be anything.
type Want struct {
	Allowed *bool          `key:"allowed"`
	Rule    string         `key:"rule"`
	Reason  string         `key:"reason"`
	Scopes  []string       `key:"scopes"`
	Claims  config.Section `key:"claims"` // of the ID token, and others may be there
	Absent  []string       `key:"absent"` // claims that must not be there

	claims map[string]json.RawMessage
}

// maxCases bounds how many cases a file may have.
const maxCases = 10_000

// ReadCases reads the cases of a file, which knows each key and each value, or says what is wrong with it.
func ReadCases(src config.Source) ([]Case, config.Problems) {
	sections, found := src.Documents()
	var all []Case
	for _, section := range sections {
		var file struct {
			Cases []Case `key:"cases"`
		}
		on := section.Check(&file)
		if len(file.Cases) == 0 || len(all)+len(file.Cases) > maxCases {
			on.Errorf("cases", "must have from 1 to %d cases", maxCases)
		}
		for i := range file.Cases {
			file.Cases[i].check(on, config.Item("cases", i))
		}
		all, found = append(all, file.Cases...), append(found, on.Problems()...)
	}
	if len(sections) == 0 {
		found = append(found, config.Section{}.Problem("cases", "is required: the file is empty"))
	}
	return all, found
}

func (c *Case) check(on *config.Checker, key string) {
	on.Required(key+".client", c.Client, "a client of the configuration")
	on.Required(key+".connector", c.Connector, "where the user comes from")
	c.User.ID = cmp.Or(c.User.ID, c.User.PreferredUsername, c.User.Name, c.User.Email)
	on.Required(key+".user.id", c.User.ID, "or a name or an address of the user")
	on.OptionalOf(key+".grant", c.Grant, Grants)
	if c.Want.Allowed == nil {
		on.Errorf(key+".want.allowed", "is required: true or false")
	}
	readClaims(on, key+".user.claims", c.User.Claims, &c.User.claims)
	readClaims(on, key+".want.claims", c.Want.Claims, &c.Want.claims)
}

// readClaims reads claims by their names; none if the section is empty.
func readClaims[T any](on *config.Checker, key string, section config.Section, to *map[string]T) {
	if section.IsZero() {
		return
	}
	text, err := section.JSON()
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		on.Errorf(key, "must be claims by their names: %v", err)
	}
}

// A Configuration is what cases are about.
type Configuration interface {
	// Client and Connector return what has an id; nil if nothing has.
	Client(id string) *client.Client
	Connector(id string) *federation.Definition
}

// Try holds a decision to a case, and returns what is otherwise than it should be; nothing if all is as it should be. The error says that
// the policy could not be asked.
func (e *Explainer) Try(ctx context.Context, in Configuration, c *Case) (wrong []string, x *Explanation, err error) {
	l := Login{Client: in.Client(c.Client), Connector: in.Connector(c.Connector), Grant: cmp.Or(c.Grant, Grants[0]), Scopes: c.Scopes}
	switch {
	case l.Client == nil:
		return nil, nil, fmt.Errorf("the configuration has no client %q", c.Client)
	case l.Connector == nil:
		return nil, nil, fmt.Errorf("the configuration has no connector %q", c.Connector)
	}
	if len(l.Scopes) == 0 {
		l.Scopes = DefaultScopes
	}
	u := &c.User
	l.User = connector.Identity{
		UserID: u.ID, Username: u.Name, PreferredUsername: u.PreferredUsername, Email: u.Email,
		EmailVerified: u.EmailVerified == nil || *u.EmailVerified, Groups: u.Groups, GroupsTold: true,
		Extra: u.claims,
	}
	if x, err = e.Explain(ctx, l); err != nil {
		return nil, nil, err
	}
	wrong, err = c.Want.compare(x)
	return wrong, x, err
}

func (w *Want) compare(x *Explanation) (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var rule, reason string
	if x.Refusal != nil {
		rule, reason = x.Refusal.Rule, string(x.Refusal.Reason)
	}
	if w.Allowed != nil && *w.Allowed != x.Allowed {
		say("allowed is %t, want %t", x.Allowed, *w.Allowed)
	}
	if w.Rule != "" && w.Rule != rule {
		say("the rule that refuses is %q, want %q", rule, w.Rule)
	}
	if w.Reason != "" && w.Reason != reason {
		say("the reason is %q, want %q", reason, w.Reason)
	}
	if w.Scopes != nil && !slices.Equal(w.Scopes, x.Scopes) {
		say("the scopes are %q, want %q", x.Scopes, w.Scopes)
	}
	other, err := w.compareClaims(x)
	return append(wrong, other...), err
}

func (w *Want) compareClaims(x *Explanation) (wrong []string, err error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	got := map[string]json.RawMessage{}
	if len(x.Claims) > 0 {
		if err := json.Unmarshal(x.Claims, &got); err != nil {
			return nil, fmt.Errorf("read the claims: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.claims)) {
		same, err := sameJSON(got[name], w.claims[name])
		if err != nil {
			return nil, err
		}
		if !same {
			say("the claim %s is %s, want %s", name, cmp.Or(string(got[name]), "absent"), w.claims[name])
		}
	}
	for _, name := range w.Absent {
		if value, ok := got[name]; ok {
			say("the claim %s is %s, and should be absent", name, value)
		}
	}
	return wrong, nil
}

// sameJSON reports whether two values are the same, however they are written.
func sameJSON(a, b json.RawMessage) (bool, error) {
	if a == nil {
		return false, nil
	}
	var plain [2]bytes.Buffer
	for i, text := range []json.RawMessage{a, b} {
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return false, errors.Join(errors.New("read a claim"), err)
		}
		if err := json.NewEncoder(&plain[i]).Encode(value); err != nil {
			return false, err
		}
	}
	return bytes.Equal(plain[0].Bytes(), plain[1].Bytes()), nil
}
