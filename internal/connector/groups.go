package connector

import (
	"fmt"
	"slices"
)

// shownGroups is how many of a user's groups the log has.
const shownGroups = 20

// Unique returns names, such as groups, without those that have come before and without empty ones.
func Unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	var once []string
	for _, name := range names {
		if name != "" && !seen[name] {
			seen[name] = true
			once = append(once, name)
		}
	}
	return once
}

// NeedsGroups reports whether a user's groups have to be looked up: the application asks for them, or only some groups may log
// in, which holds whatever the application asks for.
func NeedsGroups(s Scopes, allowed []string) bool { return s.Groups || len(allowed) > 0 }

// AllowGroups returns those of a user's groups that may log in, or all of them where everybody may. A *Denied says that the user
// is in none of those. Names are compared as they are. The setting is the one that names the allowed groups.
func AllowGroups(setting string, groups, allowed []string) ([]string, error) {
	if len(allowed) == 0 {
		return groups, nil
	}
	in := slices.DeleteFunc(slices.Clone(groups), func(group string) bool { return !slices.Contains(allowed, group) })
	if len(in) == 0 {
		return nil, NotInGroups(setting, groups)
	}
	return in, nil
}

// NotInGroups refuses a user who is in none of the groups that may log in. The cause has the user's groups, so that an
// operator can compare them with the setting letter by letter.
func NotInGroups(setting string, groups []string) *Denied {
	return &Denied{
		Reason: "You are not in a group that may log in here.",
		Cause: fmt.Errorf("the user is in %d groups, and in none of %s: %q",
			len(groups), setting, groups[:min(len(groups), shownGroups)]),
	}
}
