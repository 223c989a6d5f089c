package federation_test

import (
	"strings"
	"testing"

	"dex/internal/config"
	"dex/internal/federation"
	"dex/internal/store/memory"
)

// Whoever may write connectors and says where the provider is would be sent any file that this process can read.
func TestStoredConnectorsSendNoFiles(t *testing.T) {
	catalog := federation.NewCatalog(memory.New(), nil)
	for kind, settings := range map[string]string{
		"openshift": `{"issuer": "https://evil.test", "clientID": "a", "redirectURI": "https://dex.test/callback", "CLIENTsecretFile": "/run/secrets/token"}`,
		"microsoft": `{"apiURL": "https://evil.test", "clientID": "a", "redirectURI": "https://dex.test/callback", "clientAssertion": "/run/secrets/token"}`,
	} {
		d := federation.Definition{ID: kind, Type: kind, Name: "A", Settings: []byte(settings)}
		if _, err := catalog.Create(t.Context(), d); err == nil || !strings.Contains(err.Error(), "config.client") ||
			!strings.Contains(err.Error(), "configuration file") {
			t.Errorf("%s: got %v", kind, err)
		}
		section, err := config.SectionFromJSON("", []byte(settings))
		if err != nil {
			t.Fatal(err)
		}
		on := config.Section{}.Checker()
		d.Check(on, "spec", section)
		if report := on.Problems().Err(); report == nil || !strings.Contains(report.Error(), "spec.config.client") {
			t.Errorf("%s as a resource: got %v", kind, report)
		}
		d.Settings = []byte(strings.NewReplacer("CLIENTsecretFile", "clientSecret", "clientAssertion", "clientSecret").Replace(settings))
		if _, err := catalog.Create(t.Context(), d); err != nil {
			t.Errorf("%s without: %v", kind, err)
		}
	}
}
