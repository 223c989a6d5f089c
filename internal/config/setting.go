package config

import (
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// A setting is a value with its place in the file.
type setting struct {
	node   *yaml.Node // never an alias
	key    string     // as in connectors[1].config.host; empty for the file as a whole
	at     position
	depth  int
	expand bool // $NAME stands for an environment variable
	// literal says that the text came from a file: nothing in it is replaced.
	literal bool
}

// rootSetting returns the whole file as a setting; a nil node means that it is empty.
func rootSetting(node *yaml.Node) setting {
	if node == nil {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}
	}
	return setting{node: resolve(node), at: position{1, 1}}
}

// child returns the value of a key in a mapping. Problems point to a scalar itself, which is beside its key, and otherwise to the
// key, as a mapping or a list begins on the line below.
func (s setting) child(name string, key, value *yaml.Node) setting {
	c := setting{
		node: resolve(value), key: joinKey(s.key, name), at: positionOf(value), depth: s.depth + 1, expand: s.expand,
	}
	if c.node.Kind != yaml.ScalarNode || isNull(c.node) {
		c.at = positionOf(key)
	}
	return c
}

// item returns the value at an index of a list. Variables are not expanded in a list within a list.
func (s setting) item(i int) setting {
	n := s.node.Content[i]
	item := setting{
		node: resolve(n), key: s.key + "[" + strconv.Itoa(i) + "]", at: positionOf(n), depth: s.depth + 1,
	}
	item.expand = s.expand && item.node.Kind != yaml.SequenceNode
	return item
}

// find returns the setting at a dotted key, or the last one on the way and false.
func (s setting) find(key string) (setting, bool) {
	for _, step := range steps(key) {
		next, ok := s.step(step)
		if !ok {
			return s, false
		}
		s = next
	}
	return s, true
}

func (s setting) step(name string) (setting, bool) {
	if index, ok := strings.CutPrefix(name, "["); ok {
		i, err := strconv.Atoi(index)
		if err != nil || s.node.Kind != yaml.SequenceNode || i < 0 || i >= len(s.node.Content) {
			return s, false
		}
		return s.item(i), true
	}
	key, value := pairNamed(s.node, name, 0)
	if key == nil {
		return s, false
	}
	return s.child(name, key, value), true
}

// pairNamed returns the key and value that decoding would choose for a name.
func pairNamed(mapping *yaml.Node, name string, depth int) (key, value *yaml.Node) {
	if mapping.Kind != yaml.MappingNode || depth > maxDepth {
		return nil, nil
	}
	for k, v := range pairs(mapping) {
		if strings.EqualFold(k.Value, name) && (key == nil || k.Value >= key.Value) {
			key, value = k, v
		}
	}
	if key != nil {
		return key, value
	}
	for _, source := range mergeSources(mapping) {
		if key, value = pairNamed(source, name, depth+1); key != nil {
			return key, value
		}
	}
	return nil, nil
}

// steps splits a.b[1].c into a, b, [1 and c.
func steps(key string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(key, "[", ".["), func(r rune) bool { return r == '.' || r == ']' })
}

func joinKey(parent, name string) string {
	name = printable(name)
	if parent == "" {
		return name
	}
	return parent + "." + name
}

// printable makes an unknown key safe to print on one line of a terminal.
func printable(name string) string {
	const most = 80
	if runes := []rune(name); len(runes) > most {
		name = string(runes[:most]) + "…"
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func positionOf(n *yaml.Node) position { return position{n.Line, n.Column} }

// kindOf describes a setting's value, for messages.
func (s setting) kindOf() string {
	switch s.node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
