package locale

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"unique"

	"golang.org/x/text/language"
)

//go:embed messages
var builtin embed.FS

// A Catalog is the languages that pages may be in. It never changes.
type Catalog struct {
	languages []*Language // the default first
	matcher   language.Matcher
}

// Config is which languages there are.
type Config struct {
	Default string   // where nobody says anything else; empty for English
	Offered []string // empty for all
	// Messages has files such as de.json, with messages that are added to the built-in ones, or replace them; nil for none.
	Messages fs.FS
}

const english = "en"

// file is the form of a file of messages.
type file struct {
	Name      string             `json:"name"`
	Direction string             `json:"direction"`
	Months    []string           `json:"months"`
	Time      string             `json:"time"`
	Messages  map[string]Message `json:"messages"`
}

// New returns the languages of a configuration. The error names the file or the language that can't be used.
func New(cfg Config) (*Catalog, error) {
	known, err := languages(cfg.Messages)
	if err != nil {
		return nil, err
	}
	offered := cfg.Offered
	if len(offered) == 0 {
		for tag := range known {
			offered = append(offered, tag)
		}
		slices.SortFunc(offered, func(a, b string) int { return strings.Compare(known[a].Name, known[b].Name) })
	}
	first := cfg.Default
	if first == "" {
		if first = english; !slices.Contains(offered, english) {
			first = offered[0]
		}
	}
	c := &Catalog{}
	var tags []language.Tag
	for _, tag := range append([]string{first}, slices.DeleteFunc(slices.Clone(offered), func(tag string) bool { return tag == first })...) {
		l, ok := known[tag]
		if !ok {
			return nil, &UnknownError{tag, Tags(known)}
		}
		c.languages = append(c.languages, l)
		tags = append(tags, l.tag)
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// An UnknownError is about a language that there is not.
type UnknownError struct {
	Tag   string
	Known []string
}

// Error implements error.
func (u *UnknownError) Error() string {
	return fmt.Sprintf("there is no language %q; there are %s", u.Tag, strings.Join(u.Known, ", "))
}

// Tags returns the tags of languages, in order.
func Tags(of map[string]*Language) []string {
	tags := make([]string, 0, len(of))
	for tag := range of {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// builtinLanguages are read once, and the messages of each when somebody first reads it: those of all languages would be a third of what
// a server at rest keeps in memory.
var builtinLanguages = sync.OnceValues(func() (map[string]*Language, error) {
	known := map[string]*Language{}
	err := eachFile(builtin, "messages", func(name, tag string) error {
		f, err := readHead(name)
		if err != nil {
			return err
		}
		l, err := find(tag, known)
		if err != nil {
			return err
		}
		l.messages = sync.OnceValue(func() messages {
			own := newMessages()
			if err := own.read(builtin, name); err != nil {
				panic(err) // tests read all languages
			}
			return own
		})
		return l.describe(f)
	})
	return known, err
})

// readHead returns what a built-in file says about its language. The messages come last, and are left out.
func readHead(name string) (f file, err error) {
	text, err := open(builtin, name)
	if err != nil {
		return f, err
	}
	d := json.NewDecoder(text)
	if _, err := d.Token(); err != nil { // the brace
		return f, err
	}
	head := map[string]json.RawMessage{}
	for d.More() {
		key, err := d.Token()
		if err != nil || key == "messages" {
			break
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return f, err
		}
		head[fmt.Sprint(key)] = value
	}
	whole, err := json.Marshal(head)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(whole, &f)
}

// languages returns the built-in languages, with the operator's files laid over them.
func languages(own fs.FS) (map[string]*Language, error) {
	all, err := builtinLanguages()
	if err != nil || own == nil {
		return all, err
	}
	known := make(map[string]*Language, len(all))
	for tag, l := range all {
		changed := *l
		known[tag] = &changed
	}
	return known, eachFile(own, ".", func(name, tag string) error {
		var f file
		if err := decode(own, name, &f); err != nil {
			return err
		}
		l, err := find(tag, known)
		if err != nil {
			return err
		}
		if err := l.describe(f); err != nil {
			return err
		}
		changed := newMessages()
		if l.messages != nil {
			builtin := l.messages()
			maps.Copy(changed.texts, builtin.texts)
			maps.Copy(changed.forms, builtin.forms)
		}
		l.messages = func() messages { return changed }
		return changed.add(f.Messages)
	})
}

// eachFile calls a function for the files of messages in a folder.
func eachFile(files fs.FS, folder string, do func(name, tag string) error) error {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		tag, isMessages := strings.CutSuffix(entry.Name(), ".json")
		if !isMessages {
			continue
		}
		if err := do(path.Join(folder, entry.Name()), tag); err != nil {
			return fmt.Errorf("%s: %w", entry.Name(), err)
		}
	}
	return nil
}

// find returns the language of a file, which is known from then on.
func find(tag string, known map[string]*Language) (*Language, error) {
	l, ok := known[tag]
	if !ok {
		parsed, err := language.Parse(tag)
		if err != nil {
			return nil, fmt.Errorf("%q is no language: files are named after one, such as de.json or pt-BR.json", tag)
		}
		l = &Language{Tag: tag, tag: parsed}
		known[tag] = l
	}
	return l, nil
}

func decode(files fs.FS, name string, into *file) error {
	text, err := open(files, name)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// open returns the text of a file. What is built in may be compressed, see deploy/overlay.
func open(files fs.FS, name string) (io.Reader, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	if files == fs.FS(builtin) && bytes.HasPrefix(data, []byte("\x1f\x8b")) {
		return gzip.NewReader(bytes.NewReader(data))
	}
	return bytes.NewReader(data), nil
}

// messages are a language's translations: a message has one text or, seldom, several forms.
type messages struct {
	texts map[string]string
	forms map[string]Message
}

func newMessages() messages {
	return messages{texts: map[string]string{}, forms: map[string]Message{}}
}

// read adds the messages of a file.
func (m messages) read(files fs.FS, name string) error {
	var f file
	if err := decode(files, name, &f); err != nil {
		return err
	}
	return m.add(f.Messages)
}

// add adds messages, or replaces what they were.
func (m messages) add(more map[string]Message) error {
	for message, translated := range more {
		if strings.TrimSpace(translated[other]) == "" {
			continue // tools for translators leave what is not translated yet empty
		}
		if err := check(message, translated); err != nil {
			return fmt.Errorf("message %q: %w", message, err)
		}
		message = unique.Make(message).Value() // one copy for all languages
		m.texts[message] = translated[other]
		delete(m.forms, message)
		if len(translated) > 1 {
			m.forms[message] = translated
		}
	}
	return nil
}

// describe takes what a file says about the language itself.
func (l *Language) describe(f file) error {
	if f.Name != "" {
		l.Name = f.Name
	}
	if f.Direction != "" {
		l.RTL = f.Direction == "rtl"
	}
	if len(f.Months) > 0 {
		l.months = f.Months
	}
	if f.Time != "" {
		l.time = f.Time
	}
	switch {
	case l.Name == "":
		return errors.New("has no name, by which people choose the language")
	case f.Direction != "" && f.Direction != "rtl" && f.Direction != "ltr":
		return fmt.Errorf("direction is %q, and must be ltr or rtl", f.Direction)
	case len(l.months) != 12:
		return fmt.Errorf("months has %d names", len(l.months))
	case l.time == "":
		return errors.New("has no time, such as {day} {month} {year}, {time} UTC")
	}
	return nil
}

// check refuses translations that say something else than the message: they have the same placeholders.
func check(message string, translated Message) error {
	want := placeholders(message)
	for form, text := range translated {
		got := placeholders(text)
		for _, name := range want {
			if !slices.Contains(got, name) && form == other {
				return fmt.Errorf("the translation lacks %s", name)
			}
		}
		for _, name := range got {
			if !slices.Contains(want, name) {
				return fmt.Errorf("the translation has %s, which the message hasn't", name)
			}
		}
	}
	return nil
}

func placeholders(text string) []string {
	names := placeholder.FindAllString(text, -1)
	slices.Sort(names)
	return slices.Compact(names)
}

// Languages returns all languages, the default first.
func (c *Catalog) Languages() []*Language { return c.languages }

// Named returns the language of a tag; nil if it isn't offered.
func (c *Catalog) Named(tag string) *Language {
	for _, l := range c.languages {
		if l.Tag == tag {
			return l
		}
	}
	return nil
}

// maxWishes bounds what is read of what somebody wishes for, in bytes.
const maxWishes = 500

// Choose returns the language that suits somebody best. Each wish is a list of languages, as an Accept-Language header (RFC 9110, section
// 12.5.4), or as ui_locales (OpenID Connect Core, section 3.1.2.1); an earlier wish that can be met counts more than a later one.
func (c *Catalog) Choose(wishes ...string) *Language {
	for _, wish := range wishes {
		if wish == "" || len(wish) > maxWishes {
			continue
		}
		tags := wished(wish)
		if len(tags) == 0 {
			continue
		}
		if _, i, confidence := c.matcher.Match(tags...); confidence > language.No {
			return c.languages[i]
		}
	}
	return c.languages[0]
}

// wished returns the languages of a list, the preferred first, without what can't be read.
func wished(list string) []language.Tag {
	if strings.ContainsAny(list, ",;") {
		tags, _, _ := language.ParseAcceptLanguage(list) // none if it is malformed
		return tags
	}
	var tags []language.Tag
	for name := range strings.FieldsSeq(list) {
		if tag, err := language.Parse(name); err == nil {
			tags = append(tags, tag)
		}
	}
	return tags
}
