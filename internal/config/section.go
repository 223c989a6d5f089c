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

// A Section is a part of the file that another room decodes, such as the settings of a connector or a storage. The zero
// Section is absent, and belongs to no file.
type Section struct {
	setting setting
	reading reading
	budget  *int // the budget of the decoding that this section is part of; nil if it is decoded by itself
}

// A List is a Section that is a list: clients, users or connectors, which other rooms decode.
type List struct{ Section }

// An Unmarshaler decodes itself, such as a list that may also be written as a single text. It must not keep s.
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

// At returns the section at a dotted key within the section; an absent one if there is none.
func (s Section) At(key string) Section {
	if s.IsZero() {
		return Section{}
	}
	found, ok := s.setting.find(key)
	if !ok {
		return Section{}
	}
	return Section{setting: found, reading: s.reading, budget: s.budget}
}

// SkipsFiles reports whether the files that settings name are on another machine, see [SkipFiles].
func (s Section) SkipsFiles() bool { return s.reading.files != nil && s.reading.files.skip }

// fills reports whether there is a value other than null and the empty text at a dotted key within the section.
func (s Section) fills(key string) bool {
	if !s.Has(key) {
		return false
	}
	found, _ := s.setting.find(key)
	return fills(found.node)
}

// line returns the line of a dotted key within the section.
func (s Section) line(key string) int { return s.Problem(key, "").Line }

// mentions reports whether a dotted key is written, even as null.
func (s Section) mentions(key string) bool {
	_, ok := s.setting.find(key)
	return ok
}

// Decode fills what dst points to and returns the problems, including keys that dst has no field for. Fields that the section
// doesn't mention keep their values, so that defaults can be set before.
//
// A struct names its keys in the tag `key`; they match without regard to case. Fields may be strings, booleans,
// integers, durations, []byte (base64), any, Sections, an [Unmarshaler], an [encoding.TextUnmarshaler], and structs,
// pointers, slices and maps with string keys of these.
func (s Section) Decode(dst any) Problems {
	if s.IsZero() {
		if u, ok := dst.(Unmarshaler); ok {
			return u.UnmarshalConfig(s) // it may report what is missing
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

// JSON returns the section as JSON, with variables expanded, as SectionFromJSON doesn't expand them. An absent section is
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

// Problem returns an error about the setting at a dotted key within the section, or about the section if the key is empty. An
// absent setting is reported where it should be.
func (s Section) Problem(key, format string, args ...any) Problem {
	at := s.setting.at
	if s.setting.node != nil {
		found, ok := s.setting.find(key)
		if file, inFile := s.setting.find(key + "File"); !ok && inFile { // a secret
			found, key = file, key+"File"
		}
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

// SectionFromJSON returns a section that was read from the storage, such as a connector's settings. Variables in it are never
// expanded, as anybody who may write to the storage could read the environment with them. Problems have the name as that of
// the file.
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

// Strict returns the section with unknown keys as errors.
func (s Section) Strict() Section {
	s.reading.strict = true
	return s
}

// nodeOf returns what the parser would make of a JSON value. It has no positions, because there is no file to look at.
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
