package configtemplate

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
)

func (stringsFunctions) Contains(part, in any) bool { return strings.Contains(text(in), text(part)) }

func (stringsFunctions) HasPrefix(prefix, in any) bool {
	return strings.HasPrefix(text(in), text(prefix))
}

func (stringsFunctions) HasSuffix(suffix, in any) bool {
	return strings.HasSuffix(text(in), text(suffix))
}

// Indent puts blanks, or another indent, before each line: strings.Indent WIDTH INDENT TEXT, and width or indent may be left out.
func (stringsFunctions) Indent(arguments ...any) (string, error) {
	width, indent := 1, " "
	if len(arguments) == 0 || len(arguments) > 3 {
		return "", errors.New("this needs a width, an indent and a text")
	}
	for _, a := range arguments[:len(arguments)-1] {
		switch a := a.(type) {
		case int:
			width = a
		case string:
			indent = a
		default:
			return "", errors.New("a width is a whole number, and an indent a text")
		}
	}
	if width < 0 || width > 1000 {
		return "", errors.New("the width must be between 0 and 1000")
	}
	before := strings.Repeat(indent, width)
	var b strings.Builder
	for line := range strings.Lines(text(arguments[len(arguments)-1])) {
		b.WriteString(before + line)
	}
	return b.String(), nil
}

func (stringsFunctions) Quote(in any) string { return strconv.Quote(text(in)) }

// Squote returns the text in single quotes, as YAML and SQL have them.
func (stringsFunctions) Squote(in any) string {
	return "'" + strings.ReplaceAll(text(in), "'", "''") + "'"
}

func (stringsFunctions) Repeat(count int, in any) (string, error) {
	word := text(in)
	if count < 0 || count > maxOutput/max(1, len(word)) {
		return "", errors.New("this is a wrong number of times")
	}
	return strings.Repeat(word, count), nil
}

func (stringsFunctions) ReplaceAll(old, replacement, in any) string {
	return strings.ReplaceAll(text(in), text(old), text(replacement))
}

func (stringsFunctions) Split(separator, in any) []string {
	return strings.Split(text(in), text(separator))
}

func (stringsFunctions) SplitN(separator any, n int, in any) []string {
	return strings.SplitN(text(in), text(separator), n)
}

// Title makes the first letter of each word large.
func (stringsFunctions) Title(in any) string {
	before := ' '
	return strings.Map(func(r rune) rune {
		first := unicode.IsSpace(before)
		before = r
		if first {
			return unicode.ToTitle(r)
		}
		return r
	}, text(in))
}

func (stringsFunctions) ToLower(in any) string { return strings.ToLower(text(in)) }

func (stringsFunctions) ToUpper(in any) string { return strings.ToUpper(text(in)) }

func (stringsFunctions) Trim(cutset, in any) string { return strings.Trim(text(in), text(cutset)) }

func (stringsFunctions) TrimLeft(cutset, in any) string {
	return strings.TrimLeft(text(in), text(cutset))
}

func (stringsFunctions) TrimRight(cutset, in any) string {
	return strings.TrimRight(text(in), text(cutset))
}

func (stringsFunctions) TrimPrefix(prefix, in any) string {
	return strings.TrimPrefix(text(in), text(prefix))
}

func (stringsFunctions) TrimSuffix(suffix, in any) string {
	return strings.TrimSuffix(text(in), text(suffix))
}

func (stringsFunctions) TrimSpace(in any) string { return strings.TrimSpace(text(in)) }

func (stringsFunctions) Trunc(length int, in any) string {
	letters := []rune(text(in))
	return string(letters[:max(0, min(length, len(letters)))])
}
