package rest

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"dex/internal/config"
)

// encode returns a value as JSON, with the names of the tag key, in the order of the fields. What is zero is left out, unless it is
// required.
func encode(value any) []byte {
	var b bytes.Buffer
	encodeTo(&b, reflect.ValueOf(value))
	return b.Bytes()
}

func encodeTo(b *bytes.Buffer, v reflect.Value) {
	switch value := v.Interface().(type) {
	case time.Time:
		encodePlain(b, value.UTC().Truncate(time.Second).Format(time.RFC3339))
		return
	case config.Section:
		settings, err := value.JSON()
		if err != nil {
			settings = []byte("null")
		}
		b.Write(settings)
		return
	case json.RawMessage:
		b.Write(value)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		encodeTo(b, v.Elem())
	case reflect.Struct:
		encodeStruct(b, v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 { // a hash
			encodePlain(b, string(v.Bytes()))
			return
		}
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			encodeTo(b, v.Index(i))
		}
		b.WriteByte(']')
	case reflect.Map:
		b.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
			if i > 0 {
				b.WriteByte(',')
			}
			encodePlain(b, key)
			b.WriteByte(':')
			encodeTo(b, v.MapIndex(reflect.ValueOf(key)))
		}
		b.WriteByte('}')
	default:
		encodePlain(b, v.Interface())
	}
}

func encodeStruct(b *bytes.Buffer, v reflect.Value) {
	b.WriteByte('{')
	first := true
	for _, m := range members(v.Type()) {
		f := v.FieldByIndex(m.Index)
		if f.IsZero() && !m.required {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		encodePlain(b, m.key)
		b.WriteByte(':')
		encodeTo(b, f)
	}
	b.WriteByte('}')
}

// A member is a field of a body.
type member struct {
	reflect.StructField
	key      string
	required bool // in answers
	readOnly bool // callers may send it, and it changes nothing
	secret   bool // never in answers, with the exception of new ones
}

// members returns the fields of a body that JSON has.
func members(t reflect.Type) []member {
	var all []member
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("key"); key != "" {
			all = append(all, member{
				f, key, f.Tag.Get("required") == "true", f.Tag.Get("readOnly") == "true", f.Tag.Get("secret") != "",
			})
		}
	}
	return all
}

func encodePlain(b *bytes.Buffer, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("null") // texts, numbers and truth values can be encoded
	}
	b.Write(text)
}
