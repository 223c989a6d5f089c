package schema

import "strings"

// Patterns of texts, in the syntax that JSON Schema has from JavaScript.
const (
	// booleanWords are the booleans that YAML 1.1 has beside true and false; to an editor, which reads YAML 1.2, they are texts.
	booleanWords = `^([Yy]|[Yy]es|YES|[Oo]n|ON|[Nn]|[Nn]o|NO|[Oo]ff|OFF)$`
	durations    = `^([-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+))?$`
	references   = `\$\{(file|env|credential|text):[^}]*\}`
)

// reference is the pattern of a text that stands for a value of any type.
func reference(expand bool) string {
	if expand {
		return `\$`
	}
	return references
}

// inQuotes is the pattern of a value that may be in quotes where variables are expanded; none elsewhere.
func inQuotes(expand bool, values string) string {
	if !expand {
		return ""
	}
	return "^(" + values + ")$"
}

func either(patterns ...string) string {
	var all []string
	for _, p := range patterns {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "|")
}

// anyCase is the pattern of words in capital or small letters.
func anyCase(words []string) string {
	var b strings.Builder
	for i, word := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, letter := range word {
			b.WriteString("[" + strings.ToUpper(string(letter)) + strings.ToLower(string(letter)) + "]")
		}
	}
	return "^(" + b.String() + ")$"
}

// duration also takes the number 0.
func duration(expand bool) *node {
	var zero int
	return &node{
		Type: []string{"string", "integer", "null"}, Pattern: either(durations, reference(expand)), Minimum: &zero, Maximum: &zero,
	}
}
