package app_test

import (
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
)

// Whoever writes api.access learns what of it allows more than it says.
func TestRisksOfAccess(t *testing.T) {
	const (
		client      = "api.access[0].token.client: is not in staticClients"
		certificate = "api.access: says nothing of certificates"
		mutual      = "grpc: {addr: '127.0.0.1:0', tlsCert: a, tlsKey: b, tlsClientCA: c}\n"
	)
	token := func(id string) string {
		return "api: {access: [{name: a, roles: [read], token: {client: " + id + ", groups: [g]}}]}\n"
	}
	for name, c := range map[string]struct {
		more string
		want []string
	}{
		"a configured client":       {token("app"), nil},
		"a stored client":           {token("stored"), []string{client}},
		"certificates as upstream":  {mutual, nil},
		"only admin tokens besides": {mutual + "api: {adminTokens: true}\n", nil},
		"tokens beside":             {mutual + token("app"), []string{certificate}},
		"certificates too":          {mutual + "api: {access: [{name: a, roles: [read], certificate: {commonName: a}}]}\n", nil},
	} {
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(configuration + c.more), Env: environment})
		report := app.Report(problems)
		if plan == nil {
			t.Fatal(name, report)
		}
		for _, risk := range []string{client, certificate} {
			want := len(c.want) > 0 && c.want[0] == risk
			if got := strings.Contains(report, "warning: test.yaml:") && strings.Contains(report, risk); got != want {
				t.Errorf("%s: the report is %q", name, report)
			}
		}
	}
}
