// Package schema describes the configuration file: as a JSON Schema, which editors check and complete it with, and as the tables of
// docs/configuration.md.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"dex/internal/config"
)

// ID is the $id of the schema. There is nothing at it: dex schema prints the schema that the program has.
const ID = "urn:dex:schema:configuration"

// Parts are what config leaves to other rooms, as structs with key tags.
type Parts struct {
	Client, User, Connector reflect.Type
	// Connectors and Storages are the settings below config, by type.
	Connectors, Storages map[string]reflect.Type
	// Choices are the values that settings of these structs choose from, as in config.Choices.
	Choices map[string][]string
}

// JSON returns the schema of a configuration file, as JSON of draft 2020-12.
func JSON(parts Parts) ([]byte, error) {
	g := &generator{
		rows: rowsByKey(), choices: config.Choices(), defs: map[string]*node{},
		items: map[string]reflect.Type{"connectors": parts.Connector, "staticClients": parts.Client, "staticPasswords": parts.User},
		types: map[string]map[string]reflect.Type{
			"connectors[]": parts.Connectors, "storage": parts.Storages, "signer": config.SignerTypes(),
		},
	}
	maps.Copy(g.choices, parts.Choices)
	root := g.value(reflect.TypeFor[config.Config](), "", false)
	root.Schema, root.ID, root.Defs = "https://json-schema.org/draft/2020-12/schema", ID, g.defs
	root.Title = "Configuration of Dex"
	root.Description = "The configuration file of dex serve. Dex ignores the case of keys; the schema has them as they are documented."
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return out.Bytes(), nil
}

// A node is a schema of a value.
type node struct {
	Schema      string `json:"$schema,omitempty"`
	ID          string `json:"$id,omitempty"`
	Ref         string `json:"$ref,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Deprecated  bool   `json:"deprecated,omitempty"`
	Default     any    `json:"default,omitempty"`

	Type    any    `json:"type,omitempty"` // a name or several
	Const   string `json:"const,omitempty"`
	Enum    []any  `json:"enum,omitempty"`
	Pattern string `json:"pattern,omitempty"` // of texts; other types pass it
	Minimum *int   `json:"minimum,omitempty"`
	Maximum *int   `json:"maximum,omitempty"`

	Items                *node            `json:"items,omitempty"`
	Properties           map[string]*node `json:"properties,omitempty"`
	AdditionalProperties any              `json:"additionalProperties,omitempty"` // false or a node
	Required             []string         `json:"required,omitempty"`
	AnyOf                []*node          `json:"anyOf,omitempty"`
	AllOf                []*node          `json:"allOf,omitempty"`
	If                   *node            `json:"if,omitempty"`
	Then                 *node            `json:"then,omitempty"`

	Defs map[string]*node `json:"$defs,omitempty"`
}

type generator struct {
	rows    map[string]Row
	choices map[string][]string
	items   map[string]reflect.Type            // of lists that other rooms decode, by their keys
	types   map[string]map[string]reflect.Type // of settings below config, by the keys of what has a type
	defs    map[string]*node
}

// value returns the schema of what is decoded into a Go type, at a key such as api.access[].roles. With expand, variables stand for
// values there, and values may be in quotes.
func (g *generator) value(t reflect.Type, key string, expand bool) *node {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if choices, ok := g.choices[key]; ok {
		return g.choice(choices, key, expand)
	}
	switch config.ShapeOf(t) {
	case config.ShapeOfKind: // below
	case config.ShapeSection:
		return &node{Type: []string{"object", "null"}}
	case config.ShapeList:
		return list(g.value(g.items[key], key+"[]", expand))
	case config.ShapeDuration:
		return duration(expand)
	case config.ShapeText:
		return &node{Type: []string{"string", "number", "boolean", "null"}}
	case config.ShapeTextOrList:
		return &node{Type: []string{"string", "number", "boolean", "array", "null"}, Items: g.value(reflect.TypeFor[string](), key+"[]", expand)}
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.mapping(t, key, expand)
	case reflect.Slice:
		return list(g.value(t.Elem(), key+"[]", expand))
	case reflect.Map:
		return &node{Type: []string{"object", "null"}, AdditionalProperties: g.value(t.Elem(), key+"{}", expand)}
	case reflect.Bool:
		return &node{Type: []string{"boolean", "string", "null"}, Pattern: either(booleanWords, inQuotes(expand, "true|false"), reference(expand))}
	case reflect.Interface:
		return &node{}
	default: // all others that config decodes are whole numbers
		return &node{Type: []string{"integer", "string", "null"}, Pattern: either(inQuotes(expand, "[-+]?[0-9]+"), reference(expand))}
	}
}

func (g *generator) mapping(t reflect.Type, key string, expand bool) *node {
	n := &node{Type: []string{"object", "null"}, Properties: map[string]*node{}, AdditionalProperties: false}
	for _, k := range config.Keys(t) {
		path := k.Name
		if key != "" {
			path = key + "." + k.Name
		}
		var child *node
		if k.File {
			child = &node{Type: []string{"string", "null"}}
		} else {
			child = g.value(k.Type, path, expand || k.Expand)
		}
		g.describe(child, path, k)
		n.Properties[k.Name] = child
	}
	for _, names := range g.required(key) {
		if len(names) == 1 {
			n.Required = append(n.Required, names[0])
			n.Properties[names[0]].present()
			continue
		}
		one := &node{}
		for _, name := range names {
			one.AnyOf = append(one.AnyOf, &node{Required: []string{name}})
		}
		n.AllOf = append(n.AllOf, one)
	}
	n.AllOf = append(n.AllOf, g.byType(key)...)
	return n
}

// byType returns what holds of the settings below config, for each type.
func (g *generator) byType(key string) []*node {
	var all []*node
	for _, kind := range slices.Sorted(maps.Keys(g.types[key])) {
		name := map[string]string{"connectors[]": "connector", "storage": "storage", "signer": "signer"}[key] + "-" + kind
		settings := g.value(g.types[key][kind], key+"("+kind+").config", true)
		settings.Title = fmt.Sprintf("Settings of %s of the type %s", map[string]string{
			"connectors[]": "a connector", "storage": "a storage", "signer": "a signer",
		}[key], kind)
		g.defs[name] = settings
		all = append(all, &node{
			If:   &node{Properties: map[string]*node{"type": {Const: kind}}, Required: []string{"type"}},
			Then: &node{Properties: map[string]*node{"config": {Ref: "#/$defs/" + name}}},
		})
	}
	return all
}

// list is the schema of a list. null stands for what is absent, so it is no item.
func list(items *node) *node {
	return &node{Type: []string{"array", "null"}, Items: items.present()}
}

// present is the schema without null.
func (n *node) present() *node {
	if types, ok := n.Type.([]string); ok {
		n.Type = slices.DeleteFunc(types, func(name string) bool { return name == "null" })
	}
	if len(n.AnyOf) > 0 {
		n.AnyOf[len(n.AnyOf)-1].present()
	}
	return n
}

// choice is the schema of one of some values. Those that are numbers without quotes may be written so.
func (g *generator) choice(choices []string, key string, expand bool) *node {
	enum := &node{}
	for _, c := range choices {
		enum.Enum = append(enum.Enum, c)
		if number, err := strconv.ParseFloat(c, 64); err == nil {
			enum.Enum = append(enum.Enum, number)
		}
	}
	var spellings string
	if slices.Contains(config.AnyCase, key) {
		spellings = anyCase(choices)
	}
	return &node{AnyOf: []*node{enum, {Type: []string{"string", "null"}, Pattern: either(spellings, "^$", reference(expand))}}}
}
