package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/federation"
)

// The overview of connectors has a row for each type, and leads to the page of each that there is.
func TestOverviewOfConnectors(t *testing.T) {
	const folder = "../../docs/connectors"
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	overview := string(text)
	link := regexp.MustCompile(`\]\(([a-z-]+\.md)\)`)
	for _, kind := range append([]string{"local"}, federation.Types()...) {
		row := regexp.MustCompile("(?m)^\\| `" + kind + "`.*$|^.*\\(`" + kind + "`\\).*$").FindString(overview)
		if row == "" {
			t.Errorf("no row for type %s", kind)
			continue
		}
		if _, available := federation.NewConfig(kind); !available || strings.HasPrefix(kind, "mock") {
			continue
		}
		page := link.FindStringSubmatch(row)
		if page == nil {
			t.Errorf("the row of %s has no link to its page", kind)
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, page[1])); err != nil {
			t.Errorf("type %s: %v", kind, err)
		}
	}
	pages, err := filepath.Glob(folder + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(overview, "]("+name+")") {
			t.Errorf("no link to %s", name)
		}
	}
	blocks, _ := yamlBlocks(overview)
	if len(blocks) != 1 {
		t.Fatalf("%d configurations, want 1", len(blocks))
	}
	file := "issuer: http://127.0.0.1:5556/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:5556}\n" +
		"staticClients: [{id: app, public: true, name: App}]\n" + blocks[0]
	if plan, problems := app.Check(config.Source{Name: "README.md", Data: []byte(file)}); plan == nil || len(problems) > 0 {
		t.Errorf("the configuration:\n%s", app.Report(problems))
	}
}
