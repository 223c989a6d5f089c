package config

import "reflect"

// A Key is a key of a mapping that is decoded into a struct.
type Key struct {
	Name   string
	Type   reflect.Type
	Expand bool // variables are replaced in it
	File   bool // it names a file with the setting that the key would be without File at its end
}

// Keys returns the keys of a mapping that is decoded into a struct.
func Keys(t reflect.Type) []Key {
	var keys []Key
	for _, f := range fieldsOf(t) {
		keys = append(keys, Key{
			Name: f.key, Type: t.FieldByIndex(f.index).Type, Expand: f.expand, File: f.file,
		})
	}
	return keys
}

// A Shape is what is decoded in a way of its own, whatever Go makes of it.
type Shape int

// The shapes.
const (
	ShapeOfKind     Shape = iota // as the kind of the Go type says
	ShapeSection                 // a Section
	ShapeList                    // a List
	ShapeDuration                // a duration
	ShapeText                    // a text, although the type is none
	ShapeTextOrList              // a list of texts, or one alone
)

// ShapeOf returns the shape of what is decoded into a Go type.
func ShapeOf(t reflect.Type) Shape {
	switch own := reflect.PointerTo(t).Implements(unmarshalerType); {
	case t == sectionType:
		return ShapeSection
	case t == listType:
		return ShapeList
	case t == durationType:
		return ShapeDuration
	case own && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return ShapeTextOrList
	case t.Kind() == reflect.String, t.ConvertibleTo(bytesType) && t.Kind() == reflect.Slice,
		reflect.PointerTo(t).Implements(textType):
		return ShapeText
	default:
		return ShapeOfKind
	}
}
