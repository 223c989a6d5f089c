package e2e

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"

	"dex/test/servers"
)

const (
	adUsers    = "CN=Users,DC=example,DC=com"
	adPassword = "Passw0rd!of-a-user" // of everybody
)

// startDomain starts a domain with users and nested groups: test is in developers, developers in staff, staff and everybody
// in each other.
func startDomain(t *testing.T) *servers.Samba {
	t.Helper()
	s, err := servers.StartSamba(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	commands := [][]string{
		{"domain", "passwordsettings", "set", "--account-lockout-threshold=3", "--min-pwd-age=0"},
		{"group", "add", "developers"}, {"group", "add", "staff"}, {"group", "add", "everybody"}, {"group", "add", "others"},
	}
	for _, user := range []string{"dex", "test", "disabled", "locked", "mustchange", "expired"} {
		commands = append(commands, []string{"user", "create", user, adPassword})
	}
	commands = append(commands,
		[]string{"group", "addmembers", "developers", "test"},
		[]string{"group", "addmembers", "staff", "developers,everybody"},
		[]string{"group", "addmembers", "everybody", "staff"},
		[]string{"user", "disable", "disabled"},
		[]string{"user", "setpassword", "mustchange", "--newpassword=" + adPassword, "--must-change-at-next-login"},
		[]string{"user", "setexpiry", "expired", "--days=-1"},
	)
	for _, command := range commands {
		adTool(t, s, command...)
	}
	return s
}

func adTool(t *testing.T, s *servers.Samba, command ...string) {
	t.Helper()
	if err := s.Tool(t.Context(), command...); err != nil {
		t.Fatal(err)
	}
}

// adConnector returns the connector from the Active Directory sample, with a domain's host and account.
func adConnector(t *testing.T, id string, more section) section {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "examples/config-ad-kubelogin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		Connectors []section `yaml:"connectors"`
	}
	if err := yaml.Unmarshal(text, &sample); err != nil {
		t.Fatal(err)
	}
	connector := sample.Connectors[0]
	connector["id"] = id
	config := connector["config"].(section)
	config["host"] = servers.SambaAddress + ":636"
	config["bindDN"] = "cn=dex,cn=Users,dc=example,dc=com"
	config["bindPW"] = adPassword
	maps.Copy(config, more)
	return connector
}

// TestActiveDirectory signs people in through Samba's domain controller. It is not parallel, because the controller needs
// LDAP's ports.
func TestActiveDirectory(t *testing.T) {
	s := startDomain(t)
	groupSearch := func(more section) section {
		search := section{
			"baseDN": adUsers, "filter": "(objectClass=group)", "nameAttr": "cn",
			"userMatchers": []section{{"userAttr": "DN", "groupAttr": "member"}},
		}
		maps.Copy(search, more)
		return section{"groupSearch": search}
	}
	verified := section{"insecureSkipVerify": false, "rootCA": s.CAFile}
	d := startDexWithSources(t,
		adConnector(t, "sample", nil),
		adConnector(t, "ldaps", verified),
		adConnector(t, "starttls", section{
			"insecureSkipVerify": false, "rootCA": s.CAFile, "startTLS": true, "host": servers.SambaAddress + ":389",
		}),
		adConnector(t, "recursive", groupSearch(section{
			"userMatchers": []section{{"userAttr": "DN", "groupAttr": "member", "recursionGroupAttr": "member"}},
		})),
		adConnector(t, "in-chain", groupSearch(section{"nested": "inChain"})),
		adConnector(t, "guid", section{"userSearch": section{
			"baseDN": adUsers, "username": []string{"sAMAccountName", "userPrincipalName"}, "idAttr": "objectGUID",
			"emailAttr": "userPrincipalName", "nameAttr": "samaccountname", "memberOfAttr": "memberOf",
		}, "groupSearch": section{}}),
		adConnector(t, "staff", section{
			"groupSearch": groupSearch(section{"nested": "inChain"})["groupSearch"], "allowedGroups": []string{"staff"},
		}),
	)
	test := personClaims{Name: "test", Email: "test@example.com", Groups: []string{"developers"}}
	nested := test
	nested.Groups = []string{"developers", "everybody", "staff"}

	for name, c := range map[string]struct {
		connector string
		want      personClaims
	}{
		"S0-03 S1-83 S1-85 the sample": {"sample", test},
		"S1-80 LDAPS":                  {"ldaps", test},
		"S1-80 StartTLS":               {"starttls", test},
		"S1-85 nested by recursion":    {"recursive", nested},
		"S1-85 nested by the server":   {"in-chain", nested},
		"S1-85 memberOf":               {"guid", test},
	} {
		t.Run(name, func(t *testing.T) {
			wantClaims(t, d.mustEnter(t, c.connector, "test@example.com", adPassword), c.want)
		})
	}
	for _, c := range []struct {
		name, login, password string
		status                int
		words                 string
	}{
		{"wrong password", "test@example.com", "wrong", http.StatusUnauthorized, "Login failed"},
		{"no such user", "nobody@example.com", "wrong", http.StatusUnauthorized, "Login failed"},
		{"disabled", "disabled@example.com", adPassword, http.StatusForbidden, "Your account is disabled"},
		{"must change", "mustchange@example.com", adPassword, http.StatusForbidden, "You must change your password"},
		{"account expired", "expired@example.com", adPassword, http.StatusForbidden, "Your account has expired"},
	} {
		t.Run("S1-85 "+c.name, func(t *testing.T) {
			wantPage(t, d.passwordLogin(t, "sample", c.login, c.password), c.status, c.words)
		})
	}
	t.Run("S1-85 locked", func(t *testing.T) {
		for range 3 {
			wantPage(t, d.passwordLogin(t, "sample", "locked@example.com", "wrong"), http.StatusUnauthorized, "Login failed")
		}
		wantPage(t, d.passwordLogin(t, "sample", "locked@example.com", adPassword), http.StatusForbidden, "Your account is locked")
	})
	t.Run("S1-85 not in an allowed group", func(t *testing.T) {
		wantPage(t, d.passwordLogin(t, "staff", "dex@example.com", adPassword), http.StatusForbidden, "not in a group")
		d.mustEnter(t, "staff", "test@example.com", adPassword)
	})
	t.Run("S2-11: kubectl, with the sample", func(t *testing.T) { testKubeloginSample(t, s) })
	t.Run("S1-85 disabled after the login", func(t *testing.T) {
		tokens := d.mustEnter(t, "sample", "test@example.com", adPassword)
		adTool(t, s, "group", "addmembers", "others", "test")
		tokens = d.mustRefresh(t, tokens.RefreshToken)
		if groups := tokens.claims(t).Groups; !slices.Contains(groups, "others") {
			t.Errorf("groups %q lack the new one", groups)
		}
		tokens = d.mustEnter(t, "sample", "test@example.com", adPassword)
		adTool(t, s, "user", "disable", "test")
		if answer := d.mustRefresh(t, tokens.RefreshToken); answer.Error != "invalid_grant" {
			t.Errorf("status %d, error %q, want invalid_grant", answer.status, answer.Error)
		}
	})
}
