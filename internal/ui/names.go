package ui

import (
	"unicode"

	"dex/internal/locale"
)

// longestName bounds the names of people, groups, applications and identity sources on pages, in characters. Sources may say anything.
const longestName = 200

// tidy takes out of names what would disturb the page around them, and shortens those that would fill it.
func tidy(names ...*string) {
	for _, name := range names {
		*name = tidied(*name)
	}
}

func tidiedAll(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = tidied(name)
	}
	return all
}

func tidied(name string) string {
	name = locale.Unmarked(name)
	count := 0
	for at := range name {
		if count++; count > longestName {
			return name[:at] + "…"
		}
	}
	return name
}

// initial returns the letter or digit that stands for a name where its picture is missing; empty if it has none.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}
