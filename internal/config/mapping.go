package config

import (
	"iter"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// An entry is a key of a mapping with its value, after merging and with duplicates resolved.
type entry struct {
	name       string
	key, value *yaml.Node
}

// pairs yields the keys and values written in a mapping itself, without those that it merges.
func pairs(mapping *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			key := resolve(mapping.Content[i])
			if isMerge(key) {
				continue
			}
			if !yield(key, mapping.Content[i+1]) {
				return
			}
		}
	}
}

// mergeSources returns the mappings that a mapping merges with <<, in order of precedence.
func mergeSources(mapping *yaml.Node) []*yaml.Node {
	var sources []*yaml.Node
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if !isMerge(resolve(mapping.Content[i])) {
			continue
		}
		value := resolve(mapping.Content[i+1])
		if value.Kind != yaml.SequenceNode {
			sources = append(sources, value)
			continue
		}
		for _, item := range value.Content {
			sources = append(sources, resolve(item))
		}
	}
	return sources
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Tag == "!!merge"
}

// entries returns the entries of a mapping in the order of the file, then those that it merges. A written key takes precedence
// over a merged one, and of the same key written twice the last one counts. The name function reads a key.
func (d *decoder) entries(s setting, name func(*yaml.Node) string) []entry {
	var list []entry
	written := map[string]int{}
	for key, value := range pairs(s.node) {
		if !d.spend(s) {
			return nil
		}
		if !d.isText(s, key) {
			continue
		}
		e := entry{name(key), key, value}
		if i, twice := written[e.name]; twice {
			d.warnAt(positionOf(key), joinKey(s.key, e.name), "is given twice; the value further down is used")
			list[i] = e
			continue
		}
		written[e.name] = len(list)
		list = append(list, e)
	}
	return d.merge(s, name, list, written)
}

func (d *decoder) merge(s setting, name func(*yaml.Node) string, list []entry, known map[string]int) []entry {
	for _, source := range mergeSources(s.node) {
		if source.Kind != yaml.MappingNode {
			d.errorAt(s.at, s.key, "<< must merge a mapping or a list of mappings")
			return list
		}
		merged := s
		merged.node, merged.depth = source, s.depth+1
		if !d.enter(merged) {
			return list
		}
		for _, e := range d.entries(merged, name) {
			if _, ok := known[e.name]; ok {
				continue
			}
			known[e.name] = len(list)
			list = append(list, e)
		}
	}
	return list
}

func (d *decoder) isText(s setting, key *yaml.Node) bool {
	if key.Kind == yaml.ScalarNode && !isNull(key) {
		return true
	}
	d.errorAt(positionOf(key), s.key, "a key must be text, not a mapping, a list or null")
	return false
}

// writtenName reads a key of a mapping with known keys.
func writtenName(key *yaml.Node) string { return scalarText(key) }

// freeName reads a key of a mapping with arbitrary keys, as YAML 1.1 does: n is the boolean "false".
func freeName(key *yaml.Node) string {
	text := scalarText(key)
	if !isPlain(key) {
		return text
	}
	if b, ok := parseBool(text); ok {
		return strconv.FormatBool(b)
	}
	if i, ok := parseInt(text); ok {
		return strconv.FormatInt(i, 10)
	}
	return text
}
