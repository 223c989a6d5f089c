package ui

import (
	"fmt"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
)

// A Sample is a page with made-up contents, for previews.
type Sample struct {
	Template string // the name of its file
	Name     string // a few words in small letters, which tell it from the page's other samples
	Own      bool   // whether the template is the operator's

	Variables []Variable // of the template; those that all templates have are left out
}

// A Variable is what a template can show.
type Variable struct {
	Name    string
	Members []string // of the value, or of each value in a list; nil where it has none
}

// Samples returns the samples of all pages, by the name of their template.
func (u *UI) Samples() []Sample {
	var found []Sample
	for _, v := range views {
		for _, s := range v.samples(u.samplePage()) {
			found = append(found, Sample{
				Template: v.template, Name: s.name,
				Own:       u.dir.customised(path.Join(templatesDir, v.template)),
				Variables: variables(reflect.TypeOf(s.data)),
			})
		}
	}
	slices.SortStableFunc(found, func(a, b Sample) int { return strings.Compare(a.Template, b.Template) })
	return found
}

// RenderSample returns a page with made-up contents, as the answer to a request. It is nil if there is no such sample.
func (u *UI) RenderSample(r *http.Request, template, name string) ([]byte, error) {
	base := u.newPage(r, "")
	base.Title = template
	for _, v := range views {
		if v.template != template {
			continue
		}
		for _, s := range v.samples(base) {
			if s.name == name {
				return u.executeSample(v, s)
			}
		}
	}
	return nil, nil
}

func (u *UI) executeSample(v *view, s sample) ([]byte, error) {
	body, err := u.execute(v, s.data)
	if err != nil {
		return nil, u.suggestName(err, s.data)
	}
	return body, nil
}

// variables returns what a template can show of a page's type.
func variables(t reflect.Type) []Variable {
	var found []Variable
	for _, name := range ownMembers(t) {
		variable := Variable{Name: name}
		if field, ok := t.FieldByName(name); ok {
			variable.Members = membersOfValue(field.Type)
		}
		found = append(found, variable)
	}
	return found
}

// ownMembers returns what a template can show of a type, without what all pages have.
func ownMembers(t reflect.Type) []string {
	shared := members(reflect.TypeFor[page]())
	return slices.Sorted(slices.Values(slices.DeleteFunc(members(t), func(name string) bool { return slices.Contains(shared, name) })))
}

// membersOfValue returns what a template can show of a value of ours, or of each in a list.
func membersOfValue(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[page]().PkgPath() {
		return nil // a text, a number, or a time
	}
	return ownMembers(t)
}

// Themes returns the names of all themes, and of the one that is used.
func (u *UI) Themes() (names []string, used string, err error) {
	names, err = u.dir.themes()
	if err != nil {
		return nil, "", fmt.Errorf("list the themes: %w", err)
	}
	return names, u.dir.theme, nil
}
