package config

import (
	"encoding"
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// Bounds against hostile files: aliases can make a small file expand to a huge one.
const (
	maxDepth = 100
	// Decoding may take stepsPerNode steps for each node in the file, plus freeSteps.
	stepsPerNode = 10
	freeSteps    = 10_000
)

// A reading is how a file is read.
type reading struct {
	file   string
	strict bool        // unknown keys are errors
	env    Environment // where variables are looked up
	files  *Files      // where files are read; nil outside the configuration file, which leaves references as they are
	expand bool        // variables are expanded in sections that may have them
	// broken has the keys whose values could not be decoded, as far as the file's checkers know.
	broken map[string]bool
}

// A decoder fills Go values from settings and collects the problems.
type decoder struct {
	reading
	found  Problems
	budget *int // steps left; negative once the end was reported
	types  map[reflect.Type][]field
	listed map[string]bool // lists of known keys that some problem has given
}

func newDecoder(r reading, root *yaml.Node) *decoder {
	budget := freeSteps + stepsPerNode*countNodes(root)
	return &decoder{reading: r, budget: &budget, types: map[reflect.Type][]field{}, listed: map[string]bool{}}
}

func countNodes(n *yaml.Node) int {
	count := 1
	for _, c := range n.Content {
		count += countNodes(c)
	}
	return count
}

// spend takes a step, and reports whether there was one left.
func (d *decoder) spend(s setting) bool {
	if *d.budget == 0 {
		d.errorAt(s.at, "", "aliases make the file stand for one that is too large")
	}
	if *d.budget >= 0 {
		*d.budget--
	}
	return *d.budget >= 0
}

// enter is spend for a value, and checks the depth.
func (d *decoder) enter(s setting) bool {
	if s.depth > maxDepth {
		d.errorAt(s.at, "", "values are nested more than %d deep", maxDepth)
		return false
	}
	return d.spend(s)
}

var (
	sectionType     = reflect.TypeFor[Section]()
	listType        = reflect.TypeFor[List]()
	durationType    = reflect.TypeFor[time.Duration]()
	bytesType       = reflect.TypeFor[[]byte]()
	unmarshalerType = reflect.TypeFor[Unmarshaler]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decode fills dst. A null leaves it as it is.
func (d *decoder) decode(s setting, dst reflect.Value) {
	if isNull(s.node) || !d.enter(s) {
		return
	}
	switch t := dst.Type(); {
	case t.Kind() == reflect.Pointer:
		d.pointer(s, dst)
	case t == sectionType:
		d.section(s, dst)
	case t == listType:
		dst.Set(reflect.ValueOf(List{d.ownSection(s)}))
	case reflect.PointerTo(t).Implements(unmarshalerType):
		d.found = append(d.found, dst.Addr().Interface().(Unmarshaler).UnmarshalConfig(d.sectionOf(s))...)
	case t == durationType:
		d.duration(s, dst)
	case t == bytesType:
		d.bytes(s, dst)
	case reflect.PointerTo(t).Implements(textType):
		d.textUnmarshaler(s, dst)
	default:
		d.decodeKind(s, dst)
	}
}

func (d *decoder) decodeKind(s setting, dst reflect.Value) {
	switch dst.Kind() {
	case reflect.Struct:
		d.structure(s, dst)
	case reflect.Slice:
		d.list(s, dst)
	case reflect.Map:
		d.dictionary(s, dst)
	case reflect.String:
		if text, ok := d.text(s, "text"); ok {
			dst.SetString(text)
		}
	case reflect.Bool:
		d.boolean(s, dst)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.integer(s, dst)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.unsigned(s, dst)
	case reflect.Interface:
		d.anything(s, dst)
	default:
		d.errorf(s, "cannot be read into the Go type %s", dst.Type())
	}
}

func (d *decoder) pointer(s setting, dst reflect.Value) {
	if dst.Type().Elem() == durationType {
		if value, ok := d.parseDuration(s); ok {
			dst.Set(reflect.ValueOf(&value))
		}
		return
	}
	if dst.IsNil() {
		dst.Set(reflect.New(dst.Type().Elem()))
	}
	d.decode(s, dst.Elem())
}

func (d *decoder) list(s setting, dst reflect.Value) {
	if s.node.Kind != yaml.SequenceNode {
		d.errorf(s, "must be a list, not %s", s.kindOf())
		return
	}
	items := reflect.MakeSlice(dst.Type(), 0, 0) // not nil: an empty list can mean something else than none
	for i := range s.node.Content {
		item := s.item(i)
		if !d.spend(item) {
			return
		}
		if isNull(item.node) {
			d.errorf(item, "an item of a list must not be empty; remove it or give it a value")
		}
		value := reflect.New(dst.Type().Elem()).Elem()
		d.decode(item, value)
		items = reflect.Append(items, value) // even if it is broken, so that indexes stay those of the file
	}
	dst.Set(items)
}

func (d *decoder) dictionary(s setting, dst reflect.Value) {
	if dst.Type().Key().Kind() != reflect.String {
		d.errorf(s, "cannot be read into the Go type %s", dst.Type())
		return
	}
	if s.node.Kind != yaml.MappingNode {
		d.errorf(s, "must be a mapping, not %s", s.kindOf())
		return
	}
	m := reflect.MakeMap(dst.Type())
	for _, e := range d.entries(s, freeName) {
		value := reflect.New(dst.Type().Elem()).Elem()
		d.decode(s.child(e.name, e.key, e.value), value)
		m.SetMapIndex(reflect.ValueOf(e.name).Convert(dst.Type().Key()), value)
	}
	dst.Set(m)
}

// text returns the text of a scalar, with references and variables replaced. Numbers and booleans stay as written.
func (d *decoder) text(s setting, wanted string) (string, bool) {
	if s.node.Kind != yaml.ScalarNode {
		d.errorf(s, "must be %s, not %s", wanted, s.kindOf())
		return "", false
	}
	return d.expanded(s)
}

// bare is text for values that aren't text, and must not be in quotes. In expanded sections, and with a reference, they may be: in
// YAML a variable is always text.
func (d *decoder) bare(s setting, wanted string) (string, bool) {
	if s.node.Kind == yaml.ScalarNode && !isPlain(s.node) && !s.expand && !d.hasReference(s.node.Value) {
		d.errorf(s, "must be %s, without quotes", wanted)
		return "", false
	}
	return d.text(s, wanted)
}

func (d *decoder) boolean(s setting, dst reflect.Value) {
	const wanted = "true or false"
	text, ok := d.bare(s, wanted)
	if !ok {
		return
	}
	value, ok := parseBool(text)
	if !ok {
		d.errorf(s, "must be %s", wanted)
		return
	}
	dst.SetBool(value)
}

func (d *decoder) integer(s setting, dst reflect.Value) {
	highest := int64(1)<<(dst.Type().Bits()-1) - 1
	wanted := fmt.Sprintf("a whole number from %d to %d", -highest-1, highest)
	if dst.Type().Bits() == 64 {
		wanted = "a whole number"
	}
	text, ok := d.bare(s, wanted)
	if !ok {
		return
	}
	value, ok := parseWhole(text)
	if !ok || dst.OverflowInt(value) {
		d.errorf(s, "must be %s", wanted)
		return
	}
	dst.SetInt(value)
}

func (d *decoder) unsigned(s setting, dst reflect.Value) {
	wanted := "a whole number from 0 to " + strconv.FormatUint(^uint64(0)>>(64-dst.Type().Bits()), 10)
	text, ok := d.bare(s, wanted)
	if !ok {
		return
	}
	value, ok := parseUint(text)
	if whole, isWhole := parseWhole(text); !ok && isWhole && whole >= 0 {
		value, ok = uint64(whole), true
	}
	if !ok || dst.OverflowUint(value) {
		d.errorf(s, "must be %s", wanted)
		return
	}
	dst.SetUint(value)
}

func (d *decoder) duration(s setting, dst reflect.Value) {
	if value, ok := d.parseDuration(s); ok {
		dst.SetInt(int64(value))
	}
}

// parseDuration returns false for an empty text too, which means that the setting is absent.
func (d *decoder) parseDuration(s setting) (time.Duration, bool) {
	const wanted = "a duration such as 1h30m, 90s or 0 (units are h, m, s, ms, us and ns)"
	text, ok := d.text(s, wanted)
	if !ok || text == "" {
		return 0, false
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		d.errorf(s, "must be %s", wanted)
		return 0, false
	}
	return value, true
}

func (d *decoder) bytes(s setting, dst reflect.Value) {
	const wanted = "bytes in standard base64"
	text, ok := d.text(s, wanted)
	if !ok {
		return
	}
	value, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.errorf(s, "must be %s", wanted)
		return
	}
	dst.SetBytes(value)
}

func (d *decoder) textUnmarshaler(s setting, dst reflect.Value) {
	text, ok := d.text(s, "text")
	if !ok {
		return
	}
	err := dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	switch {
	case err == nil:
	case isSecret(s.key):
		d.errorf(s, "cannot be read") // the error may quote the text
	default:
		d.errorf(s, "cannot be read: %v", err)
	}
}

func (d *decoder) errorf(s setting, format string, args ...any) {
	d.errorAt(s.at, s.key, format, args...)
}

func (d *decoder) errorAt(at position, key, format string, args ...any) {
	d.found = append(d.found, Problem{
		File: d.file, Line: at.line, Column: at.column, Key: key, Message: fmt.Sprintf(format, args...),
	})
}

func (d *decoder) warnAt(at position, key, format string, args ...any) {
	d.found = append(d.found, Problem{
		File: d.file, Line: at.line, Column: at.column, Key: key, Message: fmt.Sprintf(format, args...), Warning: true,
	})
}
