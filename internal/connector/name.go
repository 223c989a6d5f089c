package connector

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// FoldName returns what all spellings of a name have in common that a source may take for the same one. It prepares names as
// LDAP servers do to compare them (RFC 4518 2), case and space aside. Servers may do more: Active Directory ignores accents.
func FoldName(name string) string {
	name = strings.Map(prepare, name)
	// Folding may leave what is not normal, and the normal form what has another case.
	name = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
	return strings.Join(strings.Fields(name), " ")
}

// prepare maps a character to a space or to nothing (RFC 4518 2.2).
func prepare(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r),
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), r == '\uFFFC':
		return -1
	}
	return r
}
