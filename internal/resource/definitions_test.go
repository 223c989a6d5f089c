package resource

import (
	"encoding"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"dex/internal/config"
)

// A schema is part of the definition of a resource.
type schema struct {
	Type        string
	Description string
	Required    []string
	Properties  map[string]schema
	Items       *schema
	Enum        []string
	MaxLength   int  `yaml:"maxLength"`
	MaxItems    int  `yaml:"maxItems"`
	Free        bool `yaml:"x-kubernetes-preserve-unknown-fields"`
}

// The definitions in deploy/crds have what the code reads, and nothing else.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	secrets := []string{"secret", "previousSecret", "hash"} // of Secrets, never in the object
	for k, spec := range map[*kind]reflect.Type{
		clients: reflect.TypeFor[clientSpec](), users: reflect.TypeFor[userSpec](), connectors: reflect.TypeFor[connectorSpec](),
	} {
		text, err := os.ReadFile("../../deploy/crds/" + k.plural + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Metadata struct{ Name string }
			Spec     struct {
				Group    string
				Names    struct{ Plural, Singular string }
				Scope    string
				Versions []struct {
					Name   string
					Schema struct {
						Schema schema `yaml:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if d.Metadata.Name != k.plural+"."+group || d.Spec.Group != group || d.Spec.Names.Plural != k.plural ||
			d.Spec.Names.Singular != k.singular || d.Spec.Scope != "Namespaced" || d.Spec.Versions[0].Name != version {
			t.Errorf("%s: %+v", k.plural, d)
		}
		whole := d.Spec.Versions[0].Schema.Schema
		compare(t, k.plural+".spec", whole.Properties["spec"], spec, secrets)
		compareJSON(t, k.plural+".status", whole.Properties["status"], reflect.TypeFor[status]())
	}
	grants := func(k string) []string {
		text, err := os.ReadFile("../../deploy/crds/" + k + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		found := between(string(text), "enum: [authorization_code", "]")
		var names []string
		if err := yaml.Unmarshal([]byte("[authorization_code"+found+"]"), &names); err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		return names
	}
	if got, want := grants("dexclients"), slices.Sorted(slices.Values(config.GrantTypes)); !slices.Equal(got, want) {
		t.Errorf("clients may have the grants %q, want %q", got, want)
	}
	if got, want := grants("dexconnectors"), slices.Sorted(slices.Values(config.DefaultGrantTypes)); !slices.Equal(got, want) {
		t.Errorf("connectors may have the grants %q, want %q", got, want)
	}
}

// compare compares a schema with the keys of a Go type.
func compare(t *testing.T, at string, s schema, goType reflect.Type, without []string) {
	t.Helper()
	read := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(goType) {
		if key := f.Tag.Get("key"); key != "" && key != "-" && !slices.Contains(without, key) {
			read[key] = f.Type
		}
	}
	compareMembers(t, at, s, read)
}

func compareJSON(t *testing.T, at string, s schema, goType reflect.Type) {
	t.Helper()
	read := map[string]reflect.Type{}
	for f := range goType.Fields() {
		read[f.Tag.Get("json")] = f.Type
	}
	compareMembers(t, at, s, read)
}

func compareMembers(t *testing.T, at string, s schema, read map[string]reflect.Type) {
	t.Helper()
	if got, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(read)); !slices.Equal(got, want) {
		t.Errorf("%s: the definition has %q, and the code reads %q", at, got, want)
	}
	for name, goType := range read {
		p := s.Properties[name]
		if want := schemaType(goType); p.Type != want {
			t.Errorf("%s.%s has the type %q, want %q", at, name, p.Type, want)
		}
		if at[len(at)-len(".spec"):] == ".spec" && p.Description == "" {
			t.Errorf("%s.%s is not described", at, name)
		}
		switch {
		case goType.Kind() == reflect.Pointer && goType.Elem().Kind() == reflect.Struct:
			compare(t, at+"."+name, p, goType.Elem(), nil)
		case p.Type == "array" && (p.MaxItems == 0 || p.Items == nil):
			t.Errorf("%s.%s has no bound", at, name)
		}
	}
}

func schemaType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[config.Section](), t.Kind() == reflect.Map, t.Kind() == reflect.Struct && !t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "object"
	case t == reflect.TypeFor[time.Time](), t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Slice:
		return "array"
	}
	return "integer"
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	found, _, _ := strings.Cut(rest, to)
	return found
}
