package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
)

const (
	// maxGroups and maxLevels bound how many groups a user may be in, and how deep groups may be nested.
	maxGroups = 10_000
	maxLevels = 50
	// shownGroups is how many of them the log shows.
	shownGroups = 20
	// groupSearches is how many searches for one user run at once.
	groupSearches = 4
	// inChainRule is Active Directory's matching rule for members at any depth.
	inChainRule = "1.2.840.113556.1.4.1941"
)

// authorize returns the groups of a user if the application asked for them. The error is a *connector.Denied if the user is
// in none of the allowed groups, whether or not it asked.
func (d *directory) authorize(ctx context.Context, s connector.Scopes, user *goldap.Entry) ([]string, error) {
	if !connector.NeedsGroups(s, d.config.AllowedGroups) {
		d.log.DebugContext(ctx, "groups are not looked up: the application did not ask for the scope groups", "user", user.DN)
		return nil, nil
	}
	groups, err := d.groups(ctx, user)
	if err != nil {
		return nil, err
	}
	if _, err := connector.AllowGroups("allowedGroups", groups, d.config.AllowedGroups); err != nil || !s.Groups {
		return nil, err
	}
	return groups, nil // all of them, not just the allowed ones
}

// groups returns the names of a user's groups, each once: first those that the user's entry names, then those of each
// matcher, level by level.
func (d *directory) groups(ctx context.Context, user *goldap.Entry) ([]string, error) {
	w := &walk{directory: d, named: map[string]bool{}, seen: map[place]bool{}}
	if attribute := d.config.UserSearch.MemberOfAttr; attribute != "" {
		if isCutShort(user, attribute) {
			return nil, tooManyGroups("the server returns only part of the user's %s; use groupSearch instead", attribute)
		}
		found := values(user, attribute)
		for _, reference := range found {
			w.add(groupName(reference))
		}
		if len(found) == 0 {
			w.note("the user has no %s (userSearch.memberOfAttr)", attribute)
		}
	}
	if err := w.searchAll(ctx, user); err != nil {
		return nil, fmt.Errorf("group search: %w", err)
	}
	if len(w.names) == 0 {
		d.log.InfoContext(ctx, "the user has no groups", "user", user.DN, "why", strings.Join(w.notes, "; "))
	}
	return w.names, nil
}

// searchAll adds the groups of all matchers.
func (w *walk) searchAll(ctx context.Context, user *goldap.Entry) error {
	g := &w.config.GroupSearch
	matchers, _ := g.matchers()
	if g.BaseDN == "" || len(matchers) == 0 {
		w.note("groupSearch has no baseDN or no userMatchers")
		return nil
	}
	for _, m := range matchers {
		if m.UserAttr == "" {
			continue
		}
		of := values(user, m.UserAttr)
		if len(of) == 0 {
			w.note("the user has no %s (userAttr), or it can't be read", m.UserAttr)
			continue
		}
		if err := w.match(ctx, m, of); err != nil {
			return err
		}
	}
	return nil
}

// tooManyGroups is the error for a user with more groups than can be read.
func tooManyGroups(format string, args ...any) error {
	return &connector.Unusable{
		Reason: "Your account is in too many groups to use here.", Cause: fmt.Errorf("groups: "+format, args...),
	}
}

// A walk collects the groups of one user.
type walk struct {
	*directory
	names []string
	named map[string]bool // names
	seen  map[place]bool
	notes []string // possible reasons why there are none
}

// note keeps a possible reason why there are no groups. Only the first few matter.
func (w *walk) note(format string, args ...any) {
	const most = 5
	if len(w.notes) < most {
		w.notes = append(w.notes, fmt.Sprintf(format, args...))
	}
}

// A place is a group met while walking up an attribute. Groups are identified by DN, as two may have the same name.
type place struct{ recursionAttr, dn string }

// add appends a name unless it is there.
func (w *walk) add(name string) {
	if name != "" && !w.named[name] {
		w.named[name] = true
		w.names = append(w.names, name)
	}
}

// match adds the groups that have one of the values and, if the matcher is recursive, the groups that these are in.
func (w *walk) match(ctx context.Context, m UserMatcher, values []string) error {
	attribute, recursive := m.GroupAttr, m.RecursionGroupAttr != ""
	if w.config.GroupSearch.Nested == nestedInChain {
		attribute, recursive = inChain(attributeOf(attribute)), false
	}
	found, err := w.level(ctx, attribute, values, m.RecursionGroupAttr)
	for depth := 1; err == nil && recursive && len(found) > 0; depth++ {
		if depth > maxLevels {
			return tooManyGroups("they are nested more than %d deep", maxLevels)
		}
		found, err = w.level(ctx, m.RecursionGroupAttr, found, m.RecursionGroupAttr)
	}
	return err
}

// inChain returns the comparison that makes Active Directory follow an attribute to any depth.
func inChain(attribute string) string { return attribute + ":" + inChainRule + ":" }

// level adds the groups that have one of the values, in the order of the values, and returns the DNs of those that this walk
// has not met before.
func (w *walk) level(ctx context.Context, attribute string, values []string, recursionAttr string) ([]string, error) {
	if len(values) > maxGroups {
		return nil, tooManyGroups("there are more than %d values to search for", maxGroups)
	}
	results, err := w.searchEach(ctx, attribute, values)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(results...)
	if len(all) == 0 {
		w.note("no group below %s is found by %s=%q", w.config.GroupSearch.BaseDN, attribute, values[:min(len(values), shownGroups)])
	}
	var fresh []string
	for _, group := range all {
		at := place{recursionAttr, dnKey(group.DN)}
		if w.seen[at] {
			continue
		}
		if len(w.seen) == maxGroups {
			return nil, tooManyGroups("the user is in more than %d groups", maxGroups)
		}
		w.seen[at] = true
		fresh = append(fresh, group.DN)
		w.addGroup(ctx, group)
	}
	return fresh, nil
}

func (w *walk) addGroup(ctx context.Context, group *goldap.Entry) {
	attribute := w.config.GroupSearch.NameAttr
	names := values(group, attribute)
	if len(names) > 1 {
		w.log.DebugContext(ctx, "group has several names; the first is used", "dn", group.DN, "nameAttr", attribute,
			"names", names[:min(len(names), shownGroups)])
	}
	name := ""
	if len(names) > 0 {
		name = readable(attribute, names[0], nil)
	}
	if name == "" {
		w.log.WarnContext(ctx, "group is left out, because it has no name", "dn", group.DN, "nameAttr", attribute)
		w.note("the group %s has no %s (groupSearch.nameAttr)", group.DN, attribute)
	}
	w.add(name)
}

// searchEach searches for the groups of each value, several at a time.
func (w *walk) searchEach(ctx context.Context, attribute string, values []string) ([][]*goldap.Entry, error) {
	results := make([][]*goldap.Entry, len(values))
	searches, ctx := errgroup.WithContext(ctx)
	searches.SetLimit(groupSearches)
	for i, value := range values {
		if value == "" {
			continue
		}
		searches.Go(func() error {
			var err error
			results[i], err = w.searchGroups(ctx, equals(attribute, value))
			return err
		})
	}
	return results, searches.Wait()
}

func (d *directory) searchGroups(ctx context.Context, filter string) ([]*goldap.Entry, error) {
	g := &d.config.GroupSearch
	result, err := d.search(ctx, "group search", &goldap.SearchRequest{
		BaseDN:       g.BaseDN,
		Scope:        searchScope(g.Scope),
		DerefAliases: goldap.NeverDerefAliases,
		Filter:       both(g.Filter, filter),
		Attributes:   requested([]string{g.NameAttr}),
	})
	if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
		d.log.WarnContext(ctx, "groups are not found, because groupSearch.baseDN does not exist, or bindDN may not see it", "base", g.BaseDN)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}
