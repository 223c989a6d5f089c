package app_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/storetest"
)

// A server treats kinds as they say of themselves, though nothing in it knows them by name.
func TestKindsAreTreatedAsTheySay(t *testing.T) {
	t.Setenv("DEX_STORAGE_KEY", strings.Repeat("a storage key ", 3))
	var kept store.Store
	a := open(t, configuration, func(inner store.Store) store.Store { kept = inner; return inner })
	outer, ok := kept.(interface{ Unwrap() store.Store })
	if !ok {
		t.Fatalf("the storage is a %T, without a seal", kept)
	}
	storetest.RunKinds(t, kept, outer.Unwrap(), kept, a.Sweep)
}

// kindsIn returns the rows of the tables of a page that begin with names of kinds, by name.
func kindsIn(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z]+`(?:, `[a-z]+`)*) \\|(.*)$").FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			rows[strings.Trim(name, "`")] = row[2]
		}
	}
	return rows
}

// The documentation has all kinds, and says of them what they say of themselves.
func TestDocumentedKinds(t *testing.T) {
	var all, durable, sealed []string
	documented := kindsIn(t, "architecture.md")
	for _, f := range store.Kinds() {
		if strings.HasPrefix(f.Name, "test") {
			continue // of package storetest
		}
		all = append(all, f.Name)
		if f.Durable {
			durable = append(durable, f.Name)
		}
		if !f.Open {
			sealed = append(sealed, f.Name)
		}
		row := documented[f.Name]
		if stays := strings.HasSuffix(row, "| for ever |") || strings.HasSuffix(row, "| until it is deleted |"); stays == f.Expires {
			t.Errorf("kind %s: expires is %v, and docs/architecture.md says%s", f.Name, f.Expires, row)
		}
	}
	for _, c := range []struct {
		page string
		want []string
	}{{"architecture.md", all}, {"export.md", durable}, {"secrets-at-rest.md", sealed}} {
		if got := slices.Sorted(maps.Keys(kindsIn(t, c.page))); !slices.Equal(got, c.want) {
			t.Errorf("docs/%s has the kinds %q, want %q", c.page, got, c.want)
		}
	}
}
