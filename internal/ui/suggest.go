package ui

import (
	"fmt"
	"html/template"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"dex/internal/spelling"
)

// What the template engine says of unknown names. It has no types for these errors.
var (
	unknownFunction = regexp.MustCompile(`function "([^"]+)" not defined`)
	unknownTemplate = regexp.MustCompile(`(?:no such template|template) "([^"]+)"(?: not defined)?$`)
	unknownField    = regexp.MustCompile(`can't evaluate field (\S+) in type \*?(\S+)$`)
)

// suggestFunction adds the function that a template's author may have meant to an error about one that there isn't.
func suggestFunction(err error, funcs template.FuncMap) error {
	if found := unknownFunction.FindStringSubmatch(err.Error()); found != nil {
		return suggest(err, found[1], slices.Sorted(maps.Keys(funcs)), "")
	}
	return err
}

// suggestName adds the field or the template that a template's author may have meant to an error about one that there isn't. The
// data is what the template was executed with.
func (u *UI) suggestName(err error, data any) error {
	if found := unknownField.FindStringSubmatch(err.Error()); found != nil {
		if t := typeNamed(reflect.TypeOf(data), found[2], map[reflect.Type]bool{}); t != nil {
			return suggest(err, found[1], members(t), ".")
		}
	}
	if found := unknownTemplate.FindStringSubmatch(err.Error()); found != nil {
		var names []string
		for _, t := range u.templates.Templates() {
			if t.Tree != nil {
				names = append(names, t.Name())
			}
		}
		return suggest(err, found[1], names, "")
	}
	return err
}

// suggest adds to an error which known name is near to the unknown one, or all of them if they are few.
func suggest(err error, unknown string, known []string, prefix string) error {
	const few = 50
	if name, ok := spelling.Nearest(unknown, known); ok {
		return fmt.Errorf("%w; did you mean %s%s?", err, prefix, name)
	}
	if len(known) == 0 || len(known) > few {
		return err
	}
	slices.Sort(known)
	return fmt.Errorf("%w; there are %s%s", err, prefix, strings.Join(known, ", "+prefix))
}

// methods are those that templates can call, by the type that has them. They stand here because a binary that lists a type's
// methods through reflect keeps every exported method of every type: six MiB of code that nothing calls.
var methods = map[reflect.Type][]string{
	reflect.TypeFor[Account]():       {"Initial"},
	reflect.TypeFor[ConnectorLink](): {"Letter"},
	reflect.TypeFor[OwnSwitch]():     {"Initial"},
	reflect.TypeFor[OwnWays]():       {"Any"},
	reflect.TypeFor[TOTPPage]():      {"SettingUp"},
	reflect.TypeFor[ownSession]():    {"ClientList", "Name"},
	reflect.TypeFor[page]():          {"Choice", "Dir", "Extra", "Lang", "Plain", "T"},
}

// members returns the fields and methods of a type that templates can use.
func members(t reflect.Type) []string {
	names := slices.Clone(methods[t])
	if t.Kind() != reflect.Struct {
		return names
	}
	for _, f := range reflect.VisibleFields(t) {
		switch {
		case f.Anonymous:
			names = append(names, methods[f.Type]...)
		case f.IsExported():
			names = append(names, f.Name)
		}
	}
	return names
}

// typeNamed finds a type by its name among those that a page's data is made of; nil if it isn't there.
func typeNamed(t reflect.Type, name string, seen map[reflect.Type]bool) reflect.Type {
	if t == nil || seen[t] {
		return nil
	}
	seen[t] = true
	if t.String() == name {
		return t
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return typeNamed(t.Elem(), name, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if found := typeNamed(t.Field(i).Type, name, seen); found != nil {
				return found
			}
		}
	default: // made of nothing else
	}
	return nil
}
