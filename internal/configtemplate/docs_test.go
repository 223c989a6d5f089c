package configtemplate

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/container.md lists all functions, and no others.
func TestDocumentedFunctions(t *testing.T) {
	page, err := os.ReadFile("../../docs/container.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "These functions are there")
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []string
	for _, name := range regexp.MustCompile("`([a-zA-Z0-9.]+)`").FindAllStringSubmatch(table, -1) {
		listed = append(listed, name[1])
	}
	var known []string
	for name := range functions(nil) {
		if namespaces[name] == nil {
			known = append(known, name)
		}
	}
	for space := range namespaces {
		known = append(known, qualified(space, members[space])...)
	}
	slices.Sort(listed)
	slices.Sort(known)
	if !slices.Equal(listed, known) {
		t.Errorf("listed: %v\n known: %v", listed, known)
	}
}

// The names of each namespace's functions are the methods of its type.
func TestMembers(t *testing.T) {
	for space, value := range namespaces {
		var names []string
		for m := range reflect.TypeOf(value).Methods() {
			names = append(names, m.Name)
		}
		if !slices.Equal(names, members[space]) {
			t.Errorf("members of %s are %v, but its methods are %v", space, members[space], names)
		}
	}
}
