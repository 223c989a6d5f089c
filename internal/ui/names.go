package ui

import "strings"

// unmarked returns a name without the characters that change the writing direction of the text after it, such as the
// page's own words (Unicode Standard Annex 9). Letters of either direction stay; templates isolate names with bdi.
func unmarked(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, name)
}

// isolated returns a name for plain text, where bdi is not available: right-to-left letters in it don't reorder the text
// around them.
func isolated(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= '\u0590' }) {
		return name
	}
	return "\u2068" + unmarked(name) + "\u2069"
}

// unmark replaces names by what unmarked returns.
func unmark(names ...*string) {
	for _, name := range names {
		*name = unmarked(*name)
	}
}
