package locale

import (
	"strings"
	"unicode"
)

// Unmarked returns a name without the characters that change the writing direction of the text after it, such as the
// page's own words (Unicode Standard Annex 9), and without those that control a terminal. Letters of either direction stay; templates
// isolate names with bdi. Line breaks become blanks.
func Unmarked(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069':
			return -1
		case r == '\t' || r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, name)
}

// Isolated returns a name for plain text, where bdi is not available: letters in it that are written in the other direction don't
// reorder the text around them.
func Isolated(name string) string {
	name = Unmarked(name)
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= '\u0590' }) {
		return name
	}
	return "\u2068" + name + "\u2069"
}
