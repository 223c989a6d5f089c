package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Section is a part of the file that somebody else decodes: who knows what a connector or a storage needs. The zero
// Section is one that is absent from no file in particular.
type Section struct {
	setting setting
	reading reading
	budget  *int // what is left to the decoding that this section is part of; nil where it is decoded by itself
}

// A List is a Section that is a list, of what another room knows to read: clients, users, connectors.
type List struct{ Section }

// An Unmarshaler is a type that reads itself, such as one that accepts a text as well as a list. It must not keep s.
type Unmarshaler interface {
	UnmarshalConfig(s Section) Problems
}

// IsZero reports whether the section is absent or null.
func (s Section) IsZero() bool { return s.setting.node == nil || isNull(s.setting.node) }

// IsList reports whether the section is a list.
func (s Section) IsList() bool { return !s.IsZero() && s.setting.node.Kind == yaml.SequenceNode }

// IsMapping reports whether the section is a mapping.
func (s Section) IsMapping() bool { return !s.IsZero() && s.setting.node.Kind == yaml.MappingNode }

// Has reports whether there is a value other than null at a dotted key within the section.
func (s Section) Has(key string) bool {
	if s.IsZero() {
		return false
	}
	found, ok := s.setting.find(key)
	return ok && !isNull(found.node)
}

// fills reports whether there is a value other than null and the empty text at a dotted key within the section.
func (s Section) fills(key string) bool {
	if !s.Has(key) {
		return false
	}
	found, _ := s.setting.find(key)
	return found.node.Kind != yaml.ScalarNode || found.node.Value != ""
}

// line returns where a dotted key within the section stands.
func (s Section) line(key string) int { return s.Problem(key, "").Line }

// mentions reports whether a dotted key is written, be it as null.
func (s Section) mentions(key string) bool {
	_, ok := s.setting.find(key)
	return ok
}

// Decode fills what dst points to and returns the problems, among them keys that dst has no field for. What the section
// doesn't mention keeps the value that it has in dst, so that defaults can be set before.
//
// A struct names its keys in the tag `key`; they match without regard to case. Fields may be strings, booleans,
// integers, durations, []byte (base64), any, Sections, an [Unmarshaler], an [encoding.TextUnmarshaler], and structs,
// pointers, slices and maps with string keys of these.
func (s Section) Decode(dst any) Problems {
	if s.IsZero() {
		if u, ok := dst.(Unmarshaler); ok {
			return u.UnmarshalConfig(s) // may miss something
		}
		return nil
	}
	d := s.decoder()
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		d.errorf(s.setting, "cannot be read into the Go type %T, which is no pointer", dst)
		return d.found
	}
	d.decode(s.setting, v.Elem())
	return d.found.InOrder()
}

// JSON returns the section as JSON, with variables expanded: what SectionFromJSON reads has none. An absent section is
// null.
func (s Section) JSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	d := s.decoder()
	tree := d.subtree(s.setting)
	if err := d.found.Err(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("%s: encode: %w", s.setting.key, err)
	}
	return data, nil
}

// Problem returns an error about the setting at a dotted key within the section, or about the section where the key is
// empty. A key that is absent is reported where it should be.
func (s Section) Problem(key, format string, args ...any) Problem {
	at := s.setting.at
	if s.setting.node != nil {
		found, _ := s.setting.find(key)
		at = found.at
	}
	return Problem{
		File: s.reading.file, Line: at.line, Column: at.column,
		Key: s.keyOf(key), Message: fmt.Sprintf(format, args...),
	}
}

// keyOf returns the key in the file of a dotted key within the section.
func (s Section) keyOf(key string) string {
	if strings.HasPrefix(key, "[") {
		return s.setting.key + key
	}
	return strings.Trim(s.setting.key+"."+key, ".")
}

func (s Section) decoder() *decoder {
	if s.budget == nil {
		return newDecoder(s.reading, s.setting.node)
	}
	return &decoder{reading: s.reading, budget: s.budget, types: map[reflect.Type][]field{}, listed: map[string]bool{}}
}

func (d *decoder) section(s setting, dst reflect.Value) {
	if s.node.Kind != yaml.MappingNode {
		d.errorf(s, "must be a mapping of settings, not %s", s.kindOf())
		return
	}
	dst.Set(reflect.ValueOf(d.ownSection(s)))
}

// ownSection returns a section that will be decoded by itself.
func (d *decoder) ownSection(s setting) Section {
	section := d.sectionOf(s)
	section.budget = nil
	return section
}

func (d *decoder) sectionOf(s setting) Section {
	return Section{setting: s, reading: d.reading, budget: d.budget}
}

// SectionFromJSON returns the config of a connector that was read from the storage. Variables in it are never expanded:
// whoever may write connectors to the storage could read the environment by them. The name stands where the name of the
// file stands in problems.
func SectionFromJSON(name string, data []byte) (Section, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return Section{}, fmt.Errorf("%s: not a JSON object: %w", name, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Section{}, fmt.Errorf("%s: not a JSON object: more follows behind its end", name)
	}
	if object == nil {
		return Section{}, nil
	}
	return Section{setting: setting{node: nodeOf(object)}, reading: reading{file: name}}, nil
}

// nodeOf returns what the parser would have made of a JSON value. It has no positions, because there is no file that
// somebody could look at.
func nodeOf(value any) *yaml.Node {
	switch value := value.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for key, v := range value {
			n.Content = append(n.Content, textNode(key), nodeOf(v))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, v := range value {
			n.Content = append(n.Content, nodeOf(v))
		}
		return n
	case string:
		return textNode(value)
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: value.String()}
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(value)}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: text}
}
