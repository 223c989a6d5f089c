package connector

import "fmt"

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

// NotInGroups refuses a user who is in none of the groups that may log in. The cause has the user's groups, so that an
// operator can compare them with allowedGroups letter by letter.
func NotInGroups(groups []string) *Denied {
	return &Denied{
		Reason: "You are not in a group that may log in here.",
		Cause:  fmt.Errorf("the user is in %d groups, and in none of allowedGroups: %q", len(groups), groups[:min(len(groups), shownGroups)]),
	}
}
