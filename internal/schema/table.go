package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"dex/internal/config"
)

// A Table is one of docs/configuration.md.
type Table struct {
	Heading    string // that it stands below
	NoDefaults bool   // it has no column of defaults
	Rows       []Row
}

// A Row describes one setting or a few. All of it is Markdown, as it stands in the table.
type Row struct {
	Keys    string // such as `web.http`, `web.https`, or `a` or `b` where one of them is needed
	Default string // code if it is the value itself; "required" if there is none
	Text    string
}

// Markdown returns the table as it stands in the documentation.
func (t Table) Markdown() string {
	var b strings.Builder
	if t.NoDefaults {
		b.WriteString("| Key | |\n|---|---|\n")
	} else {
		b.WriteString("| Key | Default | |\n|---|---|---|\n")
	}
	for _, r := range t.Rows {
		cells := []string{r.Keys, r.Default, r.Text}
		if t.NoDefaults {
			cells = []string{r.Keys, r.Text}
		}
		for _, cell := range cells {
			b.WriteString(strings.TrimRight("| "+cell, " ") + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

var code = regexp.MustCompile("`([^`]+)`")

// keys returns the keys that a row is about.
func (r Row) keys() []string {
	var all []string
	for _, m := range code.FindAllStringSubmatch(r.Keys, -1) {
		all = append(all, m[1])
	}
	return all
}

func rowsByKey() map[string]Row {
	rows := map[string]Row{}
	for _, table := range Settings {
		for _, row := range table.Rows {
			for _, key := range row.keys() {
				rows[key] = row
			}
		}
	}
	return rows
}

var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// plain is Markdown without links, whose addresses are those of pages beside the table.
func plain(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(link.ReplaceAllString(text, "$1"), "**", ""))
}

// describe adds what people need to know of a setting.
func (g *generator) describe(n *node, path string, key config.Key) {
	if key.File {
		n.Description = fmt.Sprintf("The path of a file that has %s.", strings.TrimSuffix(key.Name, "File"))
		return
	}
	row, ok := g.row(path)
	n.Description = plain(row.Text)
	n.Deprecated = strings.HasPrefix(n.Description, "deprecated")
	if ok && row.Default != "" && row.Default != "required" {
		if value, ok := literal(row.Default, n); ok {
			n.Default = value
		} else {
			n.Description = strings.TrimSpace(n.Description + "\n\nDefault: " + plain(row.Default))
		}
	}
	if section, ok := g.heading(path); ok {
		n.Title = section
	}
}

// row returns the row of a setting. One without a row of its own is described with the section that it is in.
func (g *generator) row(path string) (row Row, own bool) {
	if kind := ofType.FindString(path); kind != "" {
		row, own = g.rows[strings.Replace(path, kind, "", 1)]
		return row, own
	}
	for at := path; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if row, ok := g.rows[at]; ok {
			return row, at == path
		}
	}
	return Row{}, false
}

// ofType matches the type in the key of a setting below config, such as storage(sqlite3).config.file.
var ofType = regexp.MustCompile(`\([^)]*\)`)

// heading returns the heading of the table of the settings in a section.
func (g *generator) heading(path string) (string, bool) {
	for _, table := range Settings {
		for _, row := range table.Rows {
			for _, key := range row.keys() {
				if strings.HasPrefix(key, path+".") || strings.HasPrefix(key, path+"[]") {
					return table.Heading, !strings.Contains(path, ".")
				}
			}
		}
	}
	return "", false
}

// literal returns the value that a default is, if it is one, and not the words that describe one.
func literal(text string, n *node) (any, bool) {
	m := code.FindStringSubmatch(text)
	if m == nil || m[0] != text {
		return nil, false
	}
	value := m[1]
	types, _ := n.Type.([]string)
	switch {
	case n.Items != nil:
		return strings.Split(strings.Trim(value, "[]"), ", "), strings.HasPrefix(value, "[")
	case len(types) > 0 && (types[0] == "boolean" || types[0] == "integer"):
		var v any
		err := json.Unmarshal([]byte(value), &v)
		return v, err == nil
	default:
		return value, true
	}
}

// required returns the keys below a key that must be given, each with those that may stand instead of it.
func (g *generator) required(above string) [][]string {
	var all [][]string
	for _, table := range Settings {
		for _, row := range table.Rows {
			if row.Default != "required" {
				continue
			}
			var names []string
			for _, key := range row.keys() {
				at := strings.LastIndex(key, ".")
				if key[:max(at, 0)] == above {
					names = append(names, key[at+1:])
				}
			}
			if len(names) > 0 {
				all = append(all, alternatives(row, names)...)
			}
		}
	}
	return all
}

// alternatives returns names as ones of which each is needed or, where the row says or, one. A file may have what is a secret.
func alternatives(row Row, names []string) [][]string {
	if strings.Contains(row.Keys, "` or `") {
		return [][]string{append(names, names[0]+"File")}
	}
	var all [][]string
	for _, name := range names {
		all = append(all, []string{name})
	}
	return all
}
