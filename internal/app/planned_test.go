package app_test

import (
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
)

// A list of groups that nobody would hold anybody to must not pass for a restriction.
func TestGroupsOfManyTenants(t *testing.T) {
	for tenant, good := range map[string]bool{
		"common": false, "Common": false, "consumers": false, "organizations": false, "": false,
		"example.com": true, "72f988bf-86f1-41af-91ab-2d7cd011db47": true,
	} {
		t.Run("S0-24 tenant "+tenant, func(t *testing.T) {
			const mock = "- {type: mockCallback, id: mock, name: Example}\n"
			yaml := strings.Replace(configuration, mock, mock+
				"- {type: microsoft, id: ms, name: Microsoft, config: {tenant: '"+tenant+"', groups: [admin, developer]}}\n", 1)
			plan, problems := app.Check(config.Source{Name: "test.yaml", Env: environment, Data: []byte(yaml)})
			report := app.Report(problems)
			if plan != nil != good || strings.Contains(report, "config.groups: can't be asked for") == good {
				t.Errorf("accepted: %t\n%s", plan != nil, report)
			}
		})
	}
}
