package config

import (
	"reflect"

	"go.yaml.in/yaml/v4"
)

// anything fills a value of type any.
func (d *decoder) anything(s setting, dst reflect.Value) {
	if dst.NumMethod() != 0 {
		d.errorf(s, "cannot be read into the Go type %s", dst.Type())
		return
	}
	if value := d.tree(s); value != nil {
		dst.Set(reflect.ValueOf(value))
	}
}

// tree returns a value of any shape: nil, bool, int64, uint64, float64, string, []any or map[string]any. The caller has
// entered the setting.
func (d *decoder) tree(s setting) any {
	switch s.node.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, e := range d.entries(s, freeName) {
			m[e.name] = d.subtree(s.child(e.name, e.key, e.value))
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for i := range s.node.Content {
			if *d.budget < 0 {
				break
			}
			list = append(list, d.subtree(s.item(i)))
		}
		return list
	default:
		return d.leaf(s)
	}
}

func (d *decoder) subtree(s setting) any {
	if !d.enter(s) {
		return nil
	}
	return d.tree(s)
}

// leaf reads a scalar by the rules of YAML 1.1. The value of a variable is always text.
func (d *decoder) leaf(s setting) any {
	text := scalarText(s.node)
	if isNull(s.node) {
		return nil
	}
	if !isPlain(s.node) {
		return d.words(s)
	}
	if b, ok := parseBool(text); ok {
		return b
	}
	if i, ok := parseInt(text); ok {
		return i
	}
	if u, ok := parseUint(text); ok {
		return u
	}
	if f, ok := parseFloat(text); ok {
		return f
	}
	if isInfinite(text) {
		d.errorf(s, "must be a finite number; write it in quotes if it is meant as text")
		return nil
	}
	return d.words(s)
}

// words returns a text; nil if it can't be read, which was reported.
func (d *decoder) words(s setting) any {
	text, ok := d.expanded(s)
	if !ok {
		return nil
	}
	return text
}
