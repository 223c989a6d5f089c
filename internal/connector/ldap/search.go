package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

// errNoUser means that nobody in the directory has the name.
var errNoUser = errors.New("no such user in the directory")

// noAttributes asks for entries without attributes (RFC 4511, section 4.5.1.8); an empty list asks for all.
const noAttributes = "1.1"

// find returns the only entry that has the user's name; errNoUser if there is none.
func (d *directory) find(ctx context.Context, username string) (*goldap.Entry, error) {
	u := &d.config.UserSearch
	const one = 1
	result, err := d.search(ctx, "user search", &goldap.SearchRequest{
		BaseDN:       u.BaseDN,
		Scope:        searchScope(u.Scope),
		DerefAliases: goldap.NeverDerefAliases,
		SizeLimit:    one + 1, // enough to see that it isn't the only one
		Filter:       u.filter(username),
		Attributes:   requested(d.config.userAttributes()),
	})
	several := goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded)
	if err != nil && !several {
		return nil, fmt.Errorf("user search: %w", err)
	}
	switch {
	case several || len(result.Entries) > one:
		return nil, &connector.Unusable{
			Reason: "More than one account has your username.",
			Cause:  errors.New("user search: several entries have the name; make userSearch.filter or userSearch.baseDN narrower"),
		}
	case len(result.Entries) < one:
		return nil, errNoUser
	case result.Entries[0].DN == "":
		return nil, errors.New("user search: the server returned an entry without a DN")
	}
	return result.Entries[0], nil
}

// search does a search, and logs it.
func (d *directory) search(ctx context.Context, what string, r *goldap.SearchRequest) (*goldap.SearchResult, error) {
	began := time.Now()
	result, err := d.pool.Search(ctx, r)
	entries := 0
	if result != nil {
		entries = len(result.Entries)
	}
	d.log.DebugContext(ctx, what, "base", r.BaseDN, "scope", goldap.ScopeMap[r.Scope], "filter", r.Filter, "entries", entries,
		"ms", time.Since(began).Milliseconds(), "err", err)
	return result, err
}

// filter returns the filter that finds a user by name.
func (u *UserSearch) filter(username string) string {
	var b strings.Builder
	for _, name := range u.Username {
		b.WriteString(equals(name, username))
	}
	if len(u.Username) == 1 {
		return both(u.Filter, b.String())
	}
	return both(u.Filter, "(|"+b.String()+")")
}

// equals returns the filter for entries that have a value, which may contain any characters. The comparison is what stands
// before the =: an attribute, with or without a matching rule.
func equals(comparison, value string) string {
	return "(" + comparison + "=" + goldap.EscapeFilter(value) + ")"
}

// attributeOf returns the attribute of a comparison.
func attributeOf(comparison string) string {
	attribute, _, _ := strings.Cut(comparison, ":")
	return attribute
}

// both returns the filter for entries that match two filters. The first may be empty.
func both(extra, filter string) string {
	if extra == "" {
		return filter
	}
	return "(&" + extra + filter + ")"
}

func searchScope(scope string) int {
	if scope == scopeOne {
		return goldap.ScopeSingleLevel
	}
	return goldap.ScopeWholeSubtree
}

// userAttributes returns the attributes of a user that are read.
func (c *Config) userAttributes() []string {
	u := &c.UserSearch
	all := []string{u.IDAttr, u.NameAttr, u.PreferredUsernameAttr, u.MemberOfAttr}
	if u.EmailSuffix == "" {
		all = append(all, u.EmailAttr)
	}
	for _, comparison := range u.Username {
		all = append(all, attributeOf(comparison))
	}
	matchers, _ := c.GroupSearch.matchers()
	for _, m := range matchers {
		all = append(all, m.UserAttr)
	}
	if c.AccountState {
		all = append(all, stateAttributes...)
	}
	return all
}

// requested returns the names to ask a server for: each once, and without those that are not attributes.
func requested(names []string) []string {
	var all []string
	for _, name := range names {
		same := func(other string) bool { return strings.EqualFold(name, other) }
		if name != "" && !isDN(name) && !slices.ContainsFunc(all, same) {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		return []string{noAttributes}
	}
	return all
}
