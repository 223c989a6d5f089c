package ui

import (
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The methods of pages that templates are told of are those that there are.
func TestMethods(t *testing.T) {
	for reached := range reachable(t) {
		if reached.PkgPath() != reflect.TypeFor[page]().PkgPath() {
			continue
		}
		var missing []string
		for m := range reflect.PointerTo(reached).Methods() {
			if !slices.Contains(members(reached), m.Name) {
				missing = append(missing, m.Name)
			}
		}
		if len(missing) > 0 {
			t.Errorf("templates can call %s of %v, which aren't among its methods", missing, reached)
		}
	}
	for declared, names := range methods {
		for _, name := range names {
			if _, ok := reflect.PointerTo(declared).MethodByName(name); !ok {
				t.Errorf("%v has no method %s", declared, name)
			}
		}
	}
}

// The binaries that are shipped have no method for templates that deploy/overlay doesn't name.
func TestMethodsAreShipped(t *testing.T) {
	text, err := os.ReadFile("../../deploy/overlay/methods.txt")
	if err != nil {
		t.Fatal(err)
	}
	shipped := strings.Fields(string(text))
	// These are for encoders, and of no use in a template.
	encoding := regexp.MustCompile("^(Append|Gob|Marshal|Unmarshal)[A-Z]|^(GoString|Scan|Value)$")
	missing := map[string]bool{}
	for reached := range reachable(t) {
		for m := range reached.Methods() {
			if !slices.Contains(shipped, m.Name) && !encoding.MatchString(m.Name) {
				missing[m.Name] = true
				t.Logf("%v has a method %s", reached, m.Name)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("deploy/overlay/methods.txt lacks %d methods that templates can call", len(missing))
	}
}

// reachable returns the types of all values that a template can come by: what pages have, what functions return, and the fields,
// the elements and the results of methods of those.
func reachable(t *testing.T) map[reflect.Type]bool {
	t.Helper()
	u, err := New(Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	for _, v := range views {
		for _, s := range v.samples(u.samplePage()) {
			reach(reflect.TypeOf(s.data), seen)
		}
	}
	for _, function := range u.functions() {
		reachResults(reflect.TypeOf(function), seen)
	}
	return seen
}

func reach(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] || t.Kind() == reflect.Interface {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Struct:
		reach(reflect.PointerTo(t), seen) // what is in a variable has the methods of its pointer
		for f := range t.Fields() {
			if f.IsExported() {
				reach(f.Type, seen)
			}
		}
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Chan:
		reach(t.Elem(), seen)
	default: // made of nothing else
	}
	for m := range t.Methods() {
		reachResults(m.Type, seen)
	}
}

func reachResults(function reflect.Type, seen map[reflect.Type]bool) {
	for result := range function.Outs() {
		reach(result, seen)
	}
}
