// Package locale has the languages of the pages: their messages, and which of them somebody reads.
//
// A message is known by its English text, which stands in the templates and in the code. Names in it are placeholders in
// braces, which a translation may put in another order. A text without a translation is shown in English.
package locale

import (
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// A Language is one that pages are shown in.
type Language struct {
	Tag  string // as in BCP 47: pt-BR
	Name string // in the language itself
	RTL  bool   // written from right to left

	tag    language.Tag
	months []string
	time   string
	// The messages are read when they are first needed.
	messages func() messages
}

// A Message is a text, or one for each plural form that the language has, by the names of the Unicode CLDR: zero, one, two, few,
// many and other.
type Message map[string]string

// UnmarshalJSON reads a text, or an object of plural forms.
func (m *Message) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*m = Message{other: text}
		return nil
	}
	var forms map[string]string
	if err := json.Unmarshal(data, &forms); err != nil {
		return fmt.Errorf("must be a text, or an object with a text for each plural form: %w", err)
	}
	for form := range forms {
		if _, known := forms2names[form]; !known {
			return fmt.Errorf("%q is no plural form; there are zero, one, two, few, many and other", form)
		}
	}
	if forms[other] == "" {
		return fmt.Errorf("has no text for the plural form %s", other)
	}
	*m = forms
	return nil
}

const other = "other"

var forms2names = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, other: plural.Other,
}

// form returns the name of a number's plural form.
func (l *Language) form(n int) string {
	of := plural.Cardinal.MatchPlural(l.tag, max(n, -n), 0, 0, 0, 0)
	for name, form := range forms2names {
		if form == of {
			return name
		}
	}
	return other
}

// find returns the translation of a message, in the plural form of the number among the arguments if there is one.
func (l *Language) find(message string, args []any) string {
	translated, ok := l.messages().texts[message]
	if !ok {
		return message
	}
	forms := l.messages().forms[message]
	for _, arg := range args {
		if n, isNumber := arg.(int); isNumber && forms != nil {
			if text, ok := forms[l.form(n)]; ok {
				return text
			}
		}
	}
	return translated
}

// placeholder is a name in braces.
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// fill puts arguments in the place of placeholders: the first in that of the placeholder that comes first in the message.
func (l *Language) fill(message string, args []any, literal func(string) string, argument func(any) string) string {
	if !strings.Contains(message, "{") { // as most
		return literal(l.find(message, args))
	}
	values := map[string]string{}
	for _, name := range placeholder.FindAllString(message, -1) {
		if _, known := values[name]; !known && len(values) < len(args) {
			values[name] = argument(args[len(values)])
		}
	}
	var out strings.Builder
	text, at := l.find(message, args), 0
	for _, place := range placeholder.FindAllStringIndex(text, -1) {
		out.WriteString(literal(text[at:place[0]]))
		out.WriteString(values[text[place[0]:place[1]]])
		at = place[1]
	}
	out.WriteString(literal(text[at:]))
	return out.String()
}

// HTML returns a message for a page. Arguments that are texts are names: they are escaped, and isolated from the direction in
// which the text around them is written.
func (l *Language) HTML(message string, args ...any) template.HTML {
	return template.HTML(l.fill(message, args, html.EscapeString, func(arg any) string { //nolint:gosec // G203: escaped here
		if n, isNumber := arg.(int); isNumber {
			return strconv.Itoa(n)
		}
		return "<bdi>" + html.EscapeString(Unmarked(fmt.Sprint(arg))) + "</bdi>"
	}))
}

// Text returns a message for where no markup may be, such as an attribute or a title.
func (l *Language) Text(message string, args ...any) string {
	return l.fill(message, args, func(text string) string { return text }, func(arg any) string {
		if n, isNumber := arg.(int); isNumber {
			return strconv.Itoa(n)
		}
		return Isolated(fmt.Sprint(arg))
	})
}

// Say translates what the code says to somebody: a message, or several sentences, each of which is one. A number in a sentence stands for
// the placeholder {n}.
func (l *Language) Say(text string) string {
	if _, ok := l.messages().texts[text]; ok || text == "" {
		return l.find(text, nil)
	}
	var said []string
	for sentence := range strings.SplitAfterSeq(text, ". ") {
		said = append(said, l.sentence(strings.TrimSpace(sentence)))
	}
	return strings.Join(said, " ")
}

// number is a number in a sentence.
var number = regexp.MustCompile(`\d+`)

// sentence translates a sentence. One with a number is a message with {n} in its place.
func (l *Language) sentence(text string) string {
	if numbers := number.FindAllString(text, -1); len(numbers) == 1 {
		general := strings.Replace(text, numbers[0], "{n}", 1)
		if n, err := strconv.Atoi(numbers[0]); err == nil && l.messages().texts[general] != "" {
			return l.Text(general, n)
		}
	}
	return l.find(text, nil)
}

// Direction returns ltr or rtl.
func (l *Language) Direction() string {
	if l.RTL {
		return "rtl"
	}
	return "ltr"
}

// Time returns a time in UTC, as people write it.
func (l *Language) Time(t time.Time) string {
	t = t.UTC()
	return strings.NewReplacer(
		"{day}", strconv.Itoa(t.Day()), "{month}", l.months[t.Month()-1], "{year}", strconv.Itoa(t.Year()), "{time}", t.Format("15:04"),
		"{number}", strconv.Itoa(int(t.Month())),
	).Replace(l.time)
}
