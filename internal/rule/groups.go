// Package rule is what operators write about users: who may use a client or a connector, and what tokens say of them. Package policy
// holds requests to it.
package rule

import (
	"strings"
	"unicode"
)

// Groups says what becomes of a user's groups, in this order: those that don't match are left out, and of the others each gets its new
// name or else another case and the prefix.
type Groups struct {
	Match  []string          `key:"match" json:"match,omitempty"`   // names, in which * stands for any characters; empty means all
	Rename map[string]string `key:"rename" json:"rename,omitempty"` // new names by old ones; they are taken as they are
	Case   string            `key:"case" json:"case,omitempty"`     // one of Cases; empty keeps it
	Prefix string            `key:"prefix" json:"prefix,omitempty"`
}

// SourceGroups says what becomes of the groups that a source tells.
type SourceGroups struct {
	Groups

	// AllowSystem keeps groups whose names begin with system:, which mean something to Kubernetes.
	AllowSystem bool `key:"allowSystem" json:"allowSystem,omitempty"`
}

// The values of case.
const (
	Lower = "lower"
	Upper = "upper"
)

// Cases are the values of case.
var Cases = []string{Lower, Upper}

// SystemPrefix begins the groups that Kubernetes gives a meaning of its own, system:masters above all.
const SystemPrefix = "system:"

// Bounds of what one list or one group may have.
const (
	maxListed = 10_000
	maxText   = 1024 // bytes
)

// check reports mistakes at a key.
func (g *Groups) check(on Reporter, key string) {
	checkList(on, key+".match", g.Match)
	on.OptionalOf(key+".case", g.Case, Cases)
	if len(g.Prefix) > maxText {
		on.Errorf(key+".prefix", "must have at most %d bytes", maxText)
	}
	if len(g.Rename) > maxListed {
		on.Errorf(key+".rename", "must have at most %d groups", maxListed)
	}
	for from, to := range g.Rename {
		switch {
		case from == "" || to == "":
			on.Errorf(key+".rename", "must not have an empty name; leave groups out with match")
		case strings.Contains(from, wildcard):
			on.Warnf(key+".rename", "%q has a *, which stands for itself here", from)
		}
	}
}

// A GroupChange makes of a user's groups what applications see. It is safe for concurrent use.
type GroupChange struct {
	groups Groups
	match  *Set // nil where all match
	guard  bool
}

// NewGroupChange returns what a client says of groups.
func NewGroupChange(g *Groups) *GroupChange {
	c := &GroupChange{groups: *g}
	if len(g.Match) > 0 {
		c.match = NewSet(g.Match)
	}
	return c
}

// Guarded leaves out groups whose names begin with system:, unless it is the operator who has written that.
var Guarded = &GroupChange{guard: true}

// NewSourceGroupChange returns what a connector says of groups; it is guarded, unless the connector says otherwise.
func NewSourceGroupChange(g *SourceGroups) *GroupChange {
	c := NewGroupChange(&g.Groups)
	c.guard = !g.AllowSystem && !IsSystem(g.Prefix)
	return c
}

// Apply returns the groups that are left, by their new names and without those that come twice, and those that the guard has left out. It
// doesn't change the list.
func (c *GroupChange) Apply(groups []string) (kept, refused []string) {
	kept = make([]string, 0, len(groups))
	seen := make(map[string]bool, len(groups))
	for _, name := range groups {
		if name == "" || c.match != nil && !c.match.Has(name) {
			continue
		}
		to, renamed := c.groups.Rename[name]
		if !renamed {
			to = c.groups.Prefix + c.inCase(name)
		}
		switch {
		case seen[to]:
		case c.guard && !renamed && IsSystem(to):
			refused = append(refused, name)
		default:
			seen[to] = true
			kept = append(kept, to)
		}
	}
	return kept, refused
}

func (c *GroupChange) inCase(name string) string {
	switch c.groups.Case {
	case Lower:
		return strings.Map(inOtherCase(unicode.ToLower), name)
	case Upper:
		return strings.Map(inOtherCase(unicode.ToUpper), name)
	}
	return name
}

// inOtherCase leaves the letters as they are that another case makes ASCII letters of, such as the Kelvin sign: whoever may name a group
// at the source could name one here else that is another one there.
func inOtherCase(change func(rune) rune) func(rune) rune {
	return func(r rune) rune {
		if to := change(r); r <= unicode.MaxASCII || to > unicode.MaxASCII {
			return to
		}
		return r
	}
}

// IsSystem reports whether a group is one that means something to Kubernetes. It ignores case: what takes groups may, too.
func IsSystem(name string) bool {
	return len(name) >= len(SystemPrefix) && strings.EqualFold(name[:len(SystemPrefix)], SystemPrefix)
}

// checkList reports names that no user's can be, and lists that are too long.
func checkList(on Reporter, key string, names []string) {
	if len(names) > maxListed {
		on.Errorf(key, "must have at most %d items", maxListed)
		return
	}
	for i, name := range names {
		switch {
		case name == "":
			on.Errorf(item(key, i), "must not be empty")
		case len(name) > maxText:
			on.Errorf(item(key, i), "must have at most %d bytes", maxText)
		}
	}
}
