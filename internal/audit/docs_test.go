package audit_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/audit"
)

var update = flag.Bool("update", false, "write docs/audit-schema.json, and the tables of docs/audit.md")

func TestDocumentedSchema(t *testing.T) {
	same(t, "../../docs/audit-schema.json", string(audit.Schema()))
}

// The tables of docs/audit.md are those of the program.
func TestDocumentedWords(t *testing.T) {
	const page = "../../docs/audit.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	written := string(text)
	for heading, words := range map[string][]audit.Word{"| Type | |\n|---|---|\n": audit.Types, "| Reason | |\n|---|---|\n": audit.Reasons} {
		before, rest, ok := strings.Cut(written, heading)
		_, after, end := strings.Cut(rest, "\n\n")
		if !ok || !end {
			t.Fatalf("there is no table %q", heading)
		}
		var table strings.Builder
		for _, w := range words {
			table.WriteString("| `" + w.Name + "` | " + w.Meaning + " |\n")
		}
		written = before + heading + table.String() + "\n" + after
	}
	same(t, page, written)
}

func same(t *testing.T, page, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is behind the program; run this test with -update (-file +program):\n%s", page, diff)
	}
}
