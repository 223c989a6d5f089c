package gitlab

import (
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/connector/settings"
)

// A level is a role in GitLab's numbers.
type level struct {
	number int
	name   string
	// asked says that groups can be listed by it, and recent that older versions can't, as they don't have it.
	asked, recent bool
}

// levels are all roles, the least first.
var levels = []level{
	{5, "minimal_access", false, false},
	{10, "guest", true, false},
	{15, "planner", true, true},
	{20, "reporter", true, false},
	{25, "security_manager", true, true},
	{30, "developer", true, false},
	{40, "maintainer", true, false},
	{50, "owner", true, false},
	{60, "admin", false, false},
}

// asked returns the names of the roles by which groups can be listed.
func asked() []string {
	var names []string
	for _, l := range levels {
		if l.asked {
			names = append(names, l.name)
		}
	}
	return names
}

// roleOf returns the name of a level; empty for none.
func roleOf(number int) string {
	for _, l := range levels {
		if l.number == number {
			return l.name
		}
	}
	return ""
}

// A membership is a group that a user is in.
type membership struct {
	path string // full
	role string // empty for none, or where roles don't matter
}

// fold returns what is common to the spellings of a path: GitLab tells no paths apart by upper and lower case.
func fold(path string) string { return settings.FoldName(path) }

// memberships returns the groups that userinfo names, with the roles that it knows.
func (i *userInfo) memberships(withRoles bool) []membership {
	role := func(string) string { return "" }
	if withRoles {
		owner, maintainer, developer := byPath(i.Owner), byPath(i.Maintainer), byPath(i.Developer)
		role = func(path string) string {
			switch {
			case owner.contain(path):
				return "owner"
			case maintainer.contain(path):
				return "maintainer"
			case developer.contain(path):
				return "developer"
			}
			return ""
		}
	}
	var all []membership
	for _, path := range i.Groups {
		all = append(all, membership{path, role(path)})
	}
	return all
}

// paths are folded paths of groups.
type paths map[string]bool

func byPath(list []string) paths {
	all := paths{}
	for _, path := range list {
		all[fold(path)] = true
	}
	return all
}

// contain reports whether the path, or one above it, is among the paths: roles are inherited.
func (p paths) contain(path string) bool {
	path = fold(path)
	for !p[path] {
		end := strings.LastIndexByte(path, '/')
		if end < 0 {
			return false
		}
		path = path[:end]
	}
	return true
}

// claim returns the groups of a user that an application gets: their paths and, after these, their roles. A *connector.Denied says
// that none of them may log in.
func (c *Config) claim(in []membership) ([]string, error) {
	in = slices.DeleteFunc(in, func(m membership) bool { return !isPath(m.path) })
	listed := byPath(c.Groups)
	var all, passed []string
	allowed := false
	add := func(m membership, entry string) {
		all = append(all, entry)
		if len(c.Groups) > 0 && !listed[fold(m.path)] && !listed[fold(entry)] {
			return
		}
		allowed = true
		if c.groupsFilter == nil || c.groupsFilter.MatchString(m.path) {
			passed = append(passed, entry)
		}
	}
	for _, m := range in {
		add(m, m.path)
	}
	for _, m := range in {
		if m.role != "" {
			add(m, m.path+":"+m.role)
		}
	}
	if len(c.Groups) > 0 && !allowed {
		return nil, connector.NotInGroups("groups", all)
	}
	return connector.Unique(passed), nil
}

// isPath reports whether a text can be the path of a group. One with a colon could be taken for a role.
func isPath(text string) bool { return text != "" && !strings.Contains(text, ":") }
