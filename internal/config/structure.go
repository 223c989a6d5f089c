package config

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"dex/internal/spelling"
)

// A field is a struct field with a key.
type field struct {
	key    string
	index  []int
	expand bool
	// file says that the key names a file with the text of the setting that the key would be without File at its end.
	file bool
	// others says that another room decodes the settings below the key.
	others bool
}

// fields returns the fields of a struct, and remembers them.
func (d *decoder) fields(t reflect.Type) []field {
	list, ok := d.types[t]
	if !ok {
		list = fieldsOf(t)
		d.types[t] = list
	}
	return list
}

// fieldsOf returns the fields of a struct, including those of embedded structs.
func fieldsOf(t reflect.Type) []field {
	var list []field
	for _, f := range reflect.VisibleFields(t) {
		key := f.Tag.Get("key")
		if key == "" || key == "-" || !f.IsExported() {
			continue
		}
		list = append(list, field{
			key: key, index: f.Index, expand: f.Tag.Get("expand") == "env",
			others: f.Type == sectionType,
		})
	}
	return append(list, fileKeys(t, list)...)
}

// fileKeys returns a key for each setting that holds a secret, for the path of a file that has it. Settings that hold secrets have
// the tag secret, unless they have a key of their own for that.
func fileKeys(t reflect.Type, list []field) []field {
	var files []field
	for _, f := range list {
		key := f.key + "File"
		if t.FieldByIndex(f.index).Tag.Get("secret") == "file" && fieldNamed(list, key) < 0 {
			files = append(files, field{key: key, index: f.index, file: true})
		}
	}
	return files
}

func (d *decoder) structure(s setting, dst reflect.Value) {
	if s.node.Kind != yaml.MappingNode {
		d.errorf(s, "must be a mapping of settings, not %s", s.kindOf())
		return
	}
	fields := d.fields(dst.Type())
	entries := d.assign(s, fields)
	for i, e := range entries {
		f := fields[i]
		target := dst.FieldByIndex(f.index)
		if e.value == nil || isNull(resolve(e.value)) {
			if !f.file {
				d.absent(s, f, target)
			}
			continue
		}
		child := s.child(f.key, e.key, e.value)
		child.expand = s.expand || f.expand && d.expand
		if f.file {
			d.secretFile(child, entries[fieldNamed(fields, strings.TrimSuffix(f.key, "File"))], target)
			continue
		}
		d.decode(child, target)
	}
}

// secretFile fills a setting that holds a secret from the file that the key beside it names.
func (d *decoder) secretFile(s setting, beside entry, dst reflect.Value) {
	if d.fromFile(s, fills(beside.value), dst) {
		return
	}
	d.markBroken(s.key)
	d.markBroken(strings.TrimSuffix(s.key, "File"))
}

// fills reports whether there is a value other than null and the empty text.
func fills(value *yaml.Node) bool {
	if value == nil || isNull(resolve(value)) {
		return false
	}
	n := resolve(value)
	return n.Kind != yaml.ScalarNode || n.Value != ""
}

// absent gives a section that is missing its place, for problems about required settings.
func (d *decoder) absent(s setting, f field, dst reflect.Value) {
	would := Section{setting: setting{key: joinKey(s.key, f.key), at: s.at}, reading: d.reading}
	switch dst.Type() {
	case sectionType:
		dst.Set(reflect.ValueOf(would))
	case listType:
		dst.Set(reflect.ValueOf(List{would}))
	}
}

// assign returns an entry for each field; its value is nil if the key is absent.
func (d *decoder) assign(s setting, fields []field) []entry {
	assigned := make([]entry, len(fields))
	for _, e := range d.entries(s, writtenName) {
		i := fieldNamed(fields, e.name)
		if i < 0 {
			d.unknown(s, e, fields)
			continue
		}
		if assigned[i].value != nil {
			// Files have always been read this way: of several spellings the last one in byte order counts.
			winner, other := e, assigned[i]
			if other.name > winner.name {
				winner, other = other, winner
			}
			d.warnAt(positionOf(e.key), joinKey(s.key, fields[i].key),
				"is given in several spellings; %s is used and %s ignored", printable(winner.name), printable(other.name))
			e = winner
		}
		assigned[i] = e
	}
	return assigned
}

func fieldNamed(fields []field, name string) int {
	for i, f := range fields {
		if strings.EqualFold(f.key, name) {
			return i
		}
	}
	return -1
}

func (d *decoder) unknown(s setting, e entry, fields []field) {
	at, key, hint := positionOf(e.key), joinKey(s.key, e.name), d.unknownHint(e.name, fields)
	if d.strict {
		d.errorAt(at, key, "unknown key%s", hint)
		return
	}
	d.warnAt(at, key, "unknown key, ignored%s", hint)
}

// unknownHint suggests what an unknown key may mean. It lists all known keys only once.
func (d *decoder) unknownHint(name string, fields []field) string {
	var known, listed []string
	below := ""
	for _, f := range fields {
		known = append(known, f.key)
		if !f.file {
			listed = append(listed, f.key)
		}
		if f.others {
			below = "; settings of the type stand one level deeper, below " + f.key
		}
	}
	if name, ok := spelling.Nearest(name, known); ok {
		return "; did you mean \"" + name + "\"?"
	}
	list := strings.Join(listed, ", ")
	switch {
	case list == "":
		return "; there are no settings here"
	case d.listed[list]:
		return below
	}
	d.listed[list] = true
	return "; known here are " + list + below
}
