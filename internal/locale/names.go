package locale

import "strings"

// Unmarked returns a name without the characters that change the writing direction of the text after it, such as the
// page's own words (Unicode Standard Annex 9). Letters of either direction stay; templates isolate names with bdi.
func Unmarked(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, name)
}

// Isolated returns a name for plain text, where bdi is not available: letters in it that are written in the other direction don't
// reorder the text around them.
func Isolated(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= '\u0590' }) {
		return name
	}
	return "\u2068" + Unmarked(name) + "\u2069"
}
