package schema_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/schema"
)

var update = flag.Bool("update", false, "write the tables to docs/configuration.md")

const page = "../../docs/configuration.md"

// headingOrTable matches a heading, or a table of settings.
var headingOrTable = regexp.MustCompile(`(?m)^#+ .*\n|^\| Key \|.*\n(\|.*\n)*`)

// The tables of docs/configuration.md are those of Settings, in the same order and below the same headings.
func TestDocumentedSettings(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	left, heading := schema.Settings, ""
	written := headingOrTable.ReplaceAllStringFunc(string(text), func(found string) string {
		if strings.HasPrefix(found, "#") {
			heading = strings.TrimSpace(strings.TrimLeft(found, "#"))
			return found
		}
		if len(left) == 0 || left[0].Heading != heading {
			t.Fatalf("below %q, there is a table that Settings doesn't have there; it is to follow %d others", heading, len(schema.Settings)-len(left))
		}
		table := left[0]
		left = left[1:]
		return table.Markdown()
	})
	if len(left) > 0 {
		t.Fatalf("there is no table below %q", left[0].Heading)
	}
	if *update {
		if err := os.WriteFile(page, []byte(written), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), written); diff != "" {
		t.Errorf("docs/configuration.md is behind Settings; run this test with -update (-document +settings):\n%s", diff)
	}
}
