package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"dex/internal/admin/remote"
)

// The formats of --output.
const (
	outputJSON = "json"
	outputYAML = "yaml"
)

// printDocument prints what the server has answered, or what is made of it. It keeps the order of the members.
func printDocument(out io.Writer, format string, document []byte) error {
	if format == outputJSON {
		text, err := indented(document)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, text)
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	return printYAML(out, &node)
}

// printFile prints a document as YAML that dex apply takes, possibly on another machine: texts in it stand for themselves.
func printFile(out io.Writer, document []byte) error {
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	literal(&node, false)
	return printYAML(out, &node)
}

// reference begins what a file for apply has replaced.
var reference = regexp.MustCompile(`\$(\{(?:file|env|credential|text):)`)

// literal writes texts so that nothing in them is replaced when they are read from a file: neither references nor, in the settings of
// connectors, variables. Otherwise whoever names a client could have a file of the reader's put into its name.
func literal(n *yaml.Node, settings bool) {
	if n.Kind == yaml.ScalarNode {
		if settings {
			n.Value = strings.ReplaceAll(n.Value, "$", "${text:$}")
		} else {
			n.Value = reference.ReplaceAllString(n.Value, "$${text:$$}$1")
		}
		return
	}
	for i, child := range n.Content {
		switch {
		case n.Kind != yaml.MappingNode:
			literal(child, settings)
		case i%2 == 1:
			literal(child, settings || n.Content[i-1].Value == "config")
		}
	}
}

func printYAML(out io.Writer, node *yaml.Node) error {
	asYAML(node)
	dumper, err := yaml.NewDumper(out, yaml.WithIndent(2))
	if err != nil {
		return err
	}
	if err := dumper.Dump(node); err != nil {
		return err
	}
	return dumper.Close()
}

func indented(document []byte) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(json.RawMessage(document)); err != nil {
		return "", fmt.Errorf("the server's answer can't be read: %w", err)
	}
	return escaped(strings.TrimSpace(text.String())), nil
}

// escaped escapes what JSON allows as it is, and a terminal would act upon: controls beyond ASCII, and those of the direction of text.
func escaped(document string) string {
	var b strings.Builder
	for _, r := range document {
		if r < utf8.RuneSelf && r != 0x7f || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// simple matches texts that are the same without quotes, in every version of YAML.
var simple = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9 ._:/@+?=&-]*$`)

// notText are words that are something else than text in some version of YAML.
var notText = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// asYAML writes what was JSON over several lines, and without quotes where they are not needed.
func asYAML(n *yaml.Node) {
	quoted := n.Kind == yaml.ScalarNode && n.Style&yaml.DoubleQuotedStyle != 0
	if empty := len(n.Content) == 0 && n.Kind != yaml.ScalarNode; !empty {
		n.Style = 0
	}
	if quoted && (!simple.MatchString(n.Value) || slices.Contains(notText, strings.ToLower(n.Value))) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		asYAML(child)
	}
}

// A column of a table.
type column struct {
	title string
	value func(item map[string]any) string
	whole bool // however long it is: for what a decision is explained with
}

// member returns a column with a member of the items.
func member(title, name string) column {
	return column{title: title, value: func(item map[string]any) string { return text(item[name]) }}
}

// printTable prints items for people.
func printTable(out io.Writer, items []map[string]any, columns []column) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cell func(column) string) {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = cell(c)
		}
		fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	row(func(c column) string { return c.title })
	for _, item := range items {
		row(func(c column) string {
			if c.whole {
				return remote.Printable(c.value(item))
			}
			return shortened(remote.Printable(c.value(item)))
		})
	}
	return table.Flush()
}

// text returns a member for people: the first of several items, and how many more there are.
func text(value any) string {
	switch value := value.(type) {
	case nil:
		return "-"
	case string:
		if value == "" {
			return "-"
		}
		return value
	case bool:
		if value {
			return "yes"
		}
		return "no"
	case []any:
		switch len(value) {
		case 0:
			return "-"
		case 1:
			return text(value[0])
		}
		return fmt.Sprintf("%s +%d", text(value[0]), len(value)-1)
	}
	return fmt.Sprint(value)
}

// shortened returns a text that doesn't make a table unreadable.
func shortened(s string) string {
	const longest = 60
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return s
}
