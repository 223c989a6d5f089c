package ldap

import (
	"context"
	"fmt"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
)

const (
	// maxGroups and maxLevels bound the groups of one user, and how deep groups may be in groups.
	maxGroups = 10_000
	maxLevels = 50
	// groupSearches is how many searches for one user run at once.
	groupSearches = 4
	// inChainRule is Active Directory's matching rule for members at any depth.
	inChainRule = "1.2.840.113556.1.4.1941"
)

// authorize returns the groups of a user if they are asked for. It is a *connector.Denied if the user is in none of those
// that are allowed, whether or not groups are asked for.
func (d *directory) authorize(ctx context.Context, s connector.Scopes, user *goldap.Entry) ([]string, error) {
	allowed := d.config.AllowedGroups
	if !s.Groups && len(allowed) == 0 {
		return nil, nil
	}
	groups, err := d.groups(ctx, user)
	if err != nil {
		return nil, err
	}
	isAllowed := func(group string) bool { return slices.Contains(allowed, group) }
	if len(allowed) > 0 && !slices.ContainsFunc(groups, isAllowed) {
		return nil, &connector.Denied{Reason: "You are not in a group that may log in here."}
	}
	if !s.Groups {
		return nil, nil
	}
	return groups, nil
}

// groups returns the names of a user's groups, each once: those that the user's entry names, then those of each matcher,
// and of each of these level by level.
func (d *directory) groups(ctx context.Context, user *goldap.Entry) ([]string, error) {
	w := &walk{directory: d, named: map[string]bool{}, seen: map[place]bool{}}
	if attribute := d.config.UserSearch.MemberOfAttr; attribute != "" {
		if isCutShort(user, attribute) {
			return nil, fmt.Errorf("groups: the server returns only a part of the user's %s; use groupSearch instead", attribute)
		}
		for _, reference := range values(user, attribute) {
			w.add(groupName(reference))
		}
	}
	g := &d.config.GroupSearch
	if g.BaseDN == "" {
		return w.names, nil
	}
	matchers, _ := g.matchers()
	for _, m := range matchers {
		if m.UserAttr == "" {
			continue
		}
		if err := w.match(ctx, m, values(user, m.UserAttr)); err != nil {
			return nil, fmt.Errorf("group search: %w", err)
		}
	}
	return w.names, nil
}

// A walk collects the groups of one user.
type walk struct {
	*directory
	names []string
	named map[string]bool // names
	seen  map[place]bool
}

// A place is a group on the way upwards by an attribute. Groups are known by DN: two may have the same name.
type place struct{ recursionAttr, dn string }

// add appends a name unless it is there.
func (w *walk) add(name string) {
	if name != "" && !w.named[name] {
		w.named[name] = true
		w.names = append(w.names, name)
	}
}

// match adds the groups that have one of the values, and the groups that these are in if the matcher has it so.
func (w *walk) match(ctx context.Context, m UserMatcher, values []string) error {
	attribute, recursive := m.GroupAttr, m.RecursionGroupAttr != ""
	if w.config.GroupSearch.Nested == nestedInChain {
		attribute, recursive = inChain(attributeOf(attribute)), false
	}
	found, err := w.level(ctx, attribute, values, m.RecursionGroupAttr)
	for depth := 1; err == nil && recursive && len(found) > 0; depth++ {
		if depth > maxLevels {
			return fmt.Errorf("groups are nested more than %d deep", maxLevels)
		}
		found, err = w.level(ctx, m.RecursionGroupAttr, found, m.RecursionGroupAttr)
	}
	return err
}

// inChain returns the comparison of an attribute by which Active Directory follows it to any depth.
func inChain(attribute string) string { return attribute + ":" + inChainRule + ":" }

// level adds the groups that have one of the values, in the order of the values, and returns the DNs of those that have not
// been seen on this way before.
func (w *walk) level(ctx context.Context, attribute string, values []string, recursionAttr string) ([]string, error) {
	if len(values) > maxGroups {
		return nil, fmt.Errorf("there are more than %d values to search for", maxGroups)
	}
	results, err := w.searchEach(ctx, attribute, values)
	if err != nil {
		return nil, err
	}
	var fresh []string
	for _, group := range slices.Concat(results...) {
		at := place{recursionAttr, dnKey(group.DN)}
		if w.seen[at] {
			continue
		}
		if len(w.seen) == maxGroups {
			return nil, fmt.Errorf("the user is in more than %d groups", maxGroups)
		}
		w.seen[at] = true
		fresh = append(fresh, group.DN)
		w.addGroup(ctx, group)
	}
	return fresh, nil
}

func (w *walk) addGroup(ctx context.Context, group *goldap.Entry) {
	attribute := w.config.GroupSearch.NameAttr
	name := readable(attribute, value(group, attribute))
	if name == "" {
		w.log.WarnContext(ctx, "group is left out, because it has no name", "dn", group.DN, "nameAttr", attribute)
	}
	w.add(name)
}

// searchEach searches the groups of each value, several at a time.
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
	result, err := d.pool.Search(ctx, &goldap.SearchRequest{
		BaseDN:       g.BaseDN,
		Scope:        searchScope(g.Scope),
		DerefAliases: goldap.NeverDerefAliases,
		Filter:       both(g.Filter, filter),
		Attributes:   requested([]string{g.NameAttr}),
	})
	if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}
