package rest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"dex/internal/admin"
	"dex/internal/admin/rest"
)

var update = flag.Bool("update", false, "write api/openapi.json")

// The committed document is the one that is served: go test ./internal/admin/rest -run TestDocument -update writes it.
func TestDocument(t *testing.T) {
	t.Parallel()
	const file = "../../../api/openapi.json"
	if *update {
		if err := os.WriteFile(file, rest.Document(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, rest.Document()) {
		t.Error("api/openapi.json is out of date; run go test ./internal/admin/rest -run TestDocument -update")
	}
	if served := open(t, admin.RoleRead).call("GET", "/api/v2/openapi.json", "").want(200); served.body != string(committed) {
		t.Error("another document is served")
	}
}

// Each member of each body is described.
func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	var d struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Description string }
			}
		}
	}
	if err := json.Unmarshal(rest.Document(), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Components.Schemas) < 15 {
		t.Errorf("only %d schemas", len(d.Components.Schemas))
	}
	for name, s := range d.Components.Schemas {
		for member, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s is not described", name, member)
			}
		}
	}
}
