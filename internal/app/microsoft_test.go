package app_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector/connectortest"
)

// microsoftCase is the case of a tenant, with other settings over the usual ones; nil for none of a name.
func microsoftCase(t *testing.T, more connectortest.Object) connectortest.Case {
	t.Helper()
	all := connectortest.Cases()
	i := slices.IndexFunc(all, func(c connectortest.Case) bool { return c.Type == "microsoft" })
	if i < 0 {
		t.Fatal("there is no case of Microsoft's")
	}
	c := all[i]
	usual := c.New
	c.New = func(t testing.TB) connectortest.Stage {
		stage := usual(t)
		stage.Settings = connectortest.Merged(stage.Settings, more)
		return stage
	}
	return c
}

// Only members of the configured groups get in, although the application doesn't ask for groups.
func TestGroupsOfMicrosoft(t *testing.T) {
	t.Run("S0-23 member of one", func(t *testing.T) {
		h := startHosted(t, microsoftCase(t, nil))
		code := h.signIn(t, "openid email profile").wantStatus(http.StatusSeeOther).params().Get("code")
		said := claims(t, h.token(codeForm(code)).wantStatus(http.StatusOK).text("id_token"))
		if said["email"] != "Ada@corp.example" || said["groups"] != nil {
			t.Errorf("the ID token says %v", said)
		}
	})
	for name, groups := range map[string][]string{"S0-23 member of none": {"developer"}, "S0-23 member of none, by id": {connectortest.GroupID(3)}} {
		t.Run(name, func(t *testing.T) {
			h := startHosted(t, microsoftCase(t, connectortest.Object{"groups": groups}))
			for _, scope := range []string{"openid email profile", everything} {
				a := h.signIn(t, scope).wantStatus(http.StatusForbidden)
				if a.header.Get("Location") != "" || strings.Contains(a.body, "code=") ||
					!strings.Contains(a.body, "You are not in a group that may log in here.") {
					t.Errorf("%v\n%s", a.header, a.body)
				}
			}
		})
	}
	for format, want := range map[string][]string{
		"name": {"admin", "all staff"}, "id": {connectortest.GroupID(1), connectortest.GroupID(2)},
	} {
		t.Run("S0-25 groups by "+format, func(t *testing.T) {
			h := startHosted(t, microsoftCase(t, connectortest.Object{"groups": []string{connectortest.GroupID(1)}, "groupNameFormat": format}))
			code := h.signIn(t, "openid groups").wantStatus(http.StatusSeeOther).params().Get("code")
			said := claims(t, h.token(codeForm(code)).wantStatus(http.StatusOK).text("id_token"))
			if got := texts(said["groups"]); !slices.Equal(got, want) {
				t.Errorf("groups are %q, want %q", got, want)
			}
		})
	}
}

// A list of groups that nobody would be held to must not pass for a restriction.
func TestGroupsOfManyTenants(t *testing.T) {
	for tenant, good := range map[string]bool{
		"common": false, "Common": false, "consumers": false, "organizations": false, "": false,
		"example.com": true, "72f988bf-86f1-41af-91ab-2d7cd011db47": true,
	} {
		t.Run("S0-24 tenant "+tenant, func(t *testing.T) {
			const mock = "- {type: mockCallback, id: mock, name: Example}\n"
			yaml := strings.Replace(configuration, mock, mock+"- {type: microsoft, id: ms, name: Microsoft, config: "+
				"{clientID: dex, clientSecret: s, tenant: '"+tenant+"', groups: [admin, developer]}}\n", 1)
			_, problems := app.Check(config.Source{Name: "test.yaml", Env: environment, Data: []byte(yaml)})
			report := app.Report(problems)
			if strings.Contains(report, "config.groups: can't be asked for") == good || strings.Contains(report, `"ms" is left out`) == good {
				t.Error(report)
			}
		})
	}
}
