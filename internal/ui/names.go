package ui

import "strings"

// unmarked returns a name without the characters that switch the direction of writing for what comes after it, such as the
// words of the page (Unicode Standard Annex 9). Letters of either direction stay, and templates isolate names by bdi.
func unmarked(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, name)
}

// isolated returns a name for a text that has no room for bdi: letters that are written from right to left don't reorder
// what is around them.
func isolated(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= '\u0590' }) {
		return name
	}
	return "\u2068" + unmarked(name) + "\u2069"
}

// unmark takes such characters out of names.
func unmark(names ...*string) {
	for _, name := range names {
		*name = unmarked(*name)
	}
}
