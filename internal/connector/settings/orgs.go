package settings

import (
	"fmt"
	"slices"
	"strings"

	"dex/internal/connector"
)

// An Org is an organization whose members may log in.
type Org struct {
	Name  string   `key:"name"`
	Teams []string `key:"teams"` // only members of these; everybody in the organization without any
}

// Orgs are the organizations whose members may log in. Providers of code hosting don't tell names apart by upper and lower case,
// so neither does Orgs.
type Orgs []Org

// Check reports organizations without a name, and those that come twice.
func (o Orgs) Check(c *Check, key string) {
	for i, org := range o {
		at := fmt.Sprintf("%s[%d].name", key, i)
		c.Required(at, org.Name == "", "is missing: the organization as the provider's addresses have it")
		if before := slices.IndexFunc(o[:i], org.is); before >= 0 && org.Name != "" {
			c.Warn(at, "is also that of %s[%d]: who is in the teams of either may log in", key, before)
		}
	}
}

func (o Org) is(other Org) bool { return SameName(o.Name, other.Name) }

// FoldName returns what all spellings of a name have in common that a provider of code hosting doesn't tell apart. That is upper and
// lower case of ASCII only: members may create teams, and a name with a look-alike such as the Kelvin sign is another one.
func FoldName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// SameName reports whether two names mean the same to a provider of code hosting.
func SameName(one, other string) bool { return FoldName(one) == FoldName(other) }

// Has reports whether an organization is one of these.
func (o Orgs) Has(name string) bool { return slices.ContainsFunc(o, Org{Name: name}.is) }

// Takes reports whether a team, by one of its names, lets its members in.
func (o Org) Takes(team string) bool {
	return len(o.Teams) == 0 || slices.ContainsFunc(o.Teams, func(listed string) bool { return SameName(listed, team) })
}

// NotInOrgs refuses a user who is in none of the organizations, or teams of theirs, that may log in.
func NotInOrgs(groups []string) *connector.Denied {
	denied := connector.NotInGroups("orgs", groups)
	denied.Reason = "You are not in an organization or a team that may log in here."
	return denied
}
