package rule

import (
	"slices"
	"strings"
)

// wildcard stands in a pattern for any number of characters, none included.
const wildcard = "*"

// few is how many names are looked through faster than they are looked up.
const few = 8

// A Set is names and patterns, ready to be compared with many others.
type Set struct {
	names    []string
	byName   map[string]bool // nil where there are few names
	patterns []string
}

// NewSet returns the set of some names, in which * stands for any characters. Names are compared as they are.
func NewSet(names []string) *Set {
	s := &Set{}
	for _, name := range names {
		if strings.Contains(name, wildcard) {
			s.patterns = append(s.patterns, name)
		} else {
			s.names = append(s.names, name)
		}
	}
	if len(s.names) > few {
		s.byName = make(map[string]bool, len(s.names))
		for _, name := range s.names {
			s.byName[name] = true
		}
	}
	return s
}

// Has reports whether a name is in the set.
func (s *Set) Has(name string) bool {
	if s.byName != nil && s.byName[name] || s.byName == nil && slices.Contains(s.names, name) {
		return true
	}
	return slices.ContainsFunc(s.patterns, func(pattern string) bool { return matches(pattern, name) })
}

// First returns the first of some names that is in the set; false if none is.
func (s *Set) First(names []string) (string, bool) {
	for _, name := range names {
		if s.Has(name) {
			return name, true
		}
	}
	return "", false
}

// matches reports whether a name is what a pattern says, in a time that grows no faster than both lengths multiplied.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, wildcard)
	last := len(parts) - 1
	if last == 0 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
