package app_test

import (
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/federation"
)

// The settings of every type of connector are equal when they are read again, wherever they are in the file: else each
// reload would close the connector.
func TestSettingsReadAgainAreEqual(t *testing.T) {
	seen := map[string]bool{}
	for name, text := range docs(t) {
		blocks, _ := yamlBlocks(text)
		for _, block := range blocks {
			if !strings.HasPrefix(name, "docs/connectors/") || !strings.Contains(block, "connectors:") {
				continue
			}
			testReadAgain(t, name, block, seen)
		}
	}
	for _, kind := range federation.Types() {
		if _, available := federation.NewConfig(kind); available && !seen[kind] && !strings.HasPrefix(kind, "mock") && kind != "samlExperimental" {
			t.Errorf("no settings of type %s were read", kind)
		}
	}
}

// testReadAgain reads a documented configuration twice.
func testReadAgain(t *testing.T, name, block string, seen map[string]bool) {
	t.Helper()
	rest := ""
	for key, line := range map[string]string{
		"issuer:": "issuer: " + issuer + "\n", "storage:": "storage: {type: memory}\n", "web:": "web: {http: 127.0.0.1:0}\n",
	} {
		if !strings.Contains("\n"+block, "\n"+key) {
			rest += line
		}
	}
	read := func(yaml string) *app.Plan {
		env := func(name string) (string, bool) {
			if !strings.Contains(block, "$"+name) {
				return "", false
			}
			return "from the environment", true
		}
		plan, _ := app.Check(config.Source{Name: name, Data: []byte(yaml), Env: env})
		return plan
	}
	one, other := read(rest+block), read("# further down\n\n"+block+rest)
	if one == nil || other == nil {
		return // TestDocumentedConfigurations finds what is wrong
	}
	all, added := app.GoesOver(t, one, other)
	if added > 0 {
		t.Errorf("%s: of %d connectors %d would be opened again:\n%s", name, all, added, block)
	}
	for _, kind := range one.ConnectorTypes() {
		seen[kind] = true
	}
}
