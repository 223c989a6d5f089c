package microsoft_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/microsoft"
)

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		settings object
		want     []string // errors and warnings, in the order of the file
	}{
		"good": {object{"clientID": "a", "clientSecret": "b", "tenant": domain, "groups": []string{id(1)}}, nil},
		"wrong": {
			object{
				"clientID": "a", "clientSecret": "b", "tenant": "a/b", "cloud": "moon", "apiURL": "x", "graphURL": "y", "groupNameFormat": "both",
				"emailField": "upn", "preferredUsernameField": "upn", "useGroupsAsWhitelist": true, "allowedDomains": []string{"a b"},
			},
			[]string{
				"allowedDomains[0]: must be", "apiURL: must be", "cloud: must be one of global, usgov, usdod, china", "emailField: must be one of userPrincipalName, mail",
				"graphURL: must be", "groupNameFormat: must be one of name, id", "preferredUsernameField: must be one of name, email, mailNickname, onPremisesSamAccountName",
				"tenant: must be", "useGroupsAsWhitelist: needs groups",
			},
		},
		"any tenant": {
			object{
				"ClientId": "a", "CLIENTSECRET": "b", "Tenant": "Common", "Groups": []string{id(1)}, "allowedDomains": []string{"a.b"}, "rolesAsGroups": true,
				"insecureSharedTenantEmailVerified": true,
			},
			[]string{"allowedDomains: can't be asked for", "groups: can't be asked for", "insecureSharedTenantEmailVerified: lets", "rolesAsGroups: can't be asked for"},
		},
		"personal accounts by their id": {
			object{"clientID": "a", "clientSecret": "b", "tenant": connectortest.MicrosoftPersonal, "groups": []string{id(1)}},
			[]string{"groups: can't be asked for"},
		},
		"names": {object{"clientID": "a", "clientSecret": "b", "tenant": domain, "groups": []string{id(1), "admin"}}, []string{`groups: has the name "admin"`}},
		"names, by switch": {
			object{"clientID": "a", "clientSecret": "b", "tenant": domain, "groups": []string{"admin"}, "insecureAmbiguousGroupNames": true},
			[]string{"insecureAmbiguousGroupNames: lets"},
		},
		"names for ids": {object{"clientID": "a", "clientSecret": "b", "tenant": domain, "groups": []string{"admin"}, "groupNameFormat": "id"}, []string{`groups: has "admin", which is no id`}},
		"roles":         {object{"clientID": "a", "clientSecret": "b", "tenant": domain, "groups": []string{"role:x"}, "rolesAsGroups": true}, nil},
		"bare roles":    {object{"clientID": "a", "clientSecret": "b", "tenant": domain, "rolesAsGroups": true, "rolePrefix": ""}, []string{"rolePrefix: must not be empty"}},
		"bare roles beside ids": {
			object{"clientID": "a", "clientSecret": "b", "tenant": domain, "rolesAsGroups": true, "rolePrefix": "", "groupNameFormat": "id"}, nil,
		},
		"an assertion": {object{"clientAssertion": "file", "clientSecret": "b"}, []string{"clientID: is missing", "clientSecret: has no effect"}},
	} {
		problems := connectortest.Decode(t, &microsoft.Config{}, c.settings)
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		slices.Sort(got)
		matches := len(got) == len(c.want)
		for _, want := range c.want {
			matches = matches && slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, want) })
		}
		if !matches {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The clouds have their own addresses, which explicit ones replace.
func TestClouds(t *testing.T) {
	for cloud, want := range map[string][2]string{
		"":       {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
		"global": {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
		"usgov":  {"https://login.microsoftonline.us", "https://graph.microsoft.us"},
		"usdod":  {"https://login.microsoftonline.us", "https://dod-graph.microsoft.us"},
		"china":  {"https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"},
	} {
		for _, own := range []string{"", "https://own.test"} {
			c := &microsoft.Config{}
			if err := connectortest.Decode(t, c, object{"clientID": "a", "cloud": cloud, "graphURL": own}).Err(); err != nil {
				t.Fatal(err)
			}
			if own != "" {
				want[1] = own
			}
			if got := [2]string{c.APIURL, c.GraphURL}; got != want {
				t.Errorf("%s: %q, want %q", cloud, got, want)
			}
		}
	}
}

func TestScopes(t *testing.T) {
	offline := connector.Scopes{OfflineAccess: true, Groups: true}
	for name, c := range map[string]struct {
		settings object
		scopes   connector.Scopes
		want     string
	}{
		"none":         {nil, connector.Scopes{}, "openid profile user.read"},
		"groups":       {nil, groups, "openid profile user.read directory.read.all"},
		"offline":      {nil, offline, "openid profile user.read directory.read.all offline_access"},
		"a filter":     {object{"groups": []string{id(1)}}, connector.Scopes{}, "openid profile user.read directory.read.all"},
		"more":         {object{"scopes": []string{"calendars.read"}}, connector.Scopes{}, "openid profile calendars.read user.read"},
		"less":         {object{"groupScopes": []string{"GroupMember.Read.All"}}, groups, "openid profile user.read GroupMember.Read.All"},
		"there":        {object{"scopes": []string{"https://graph.microsoft.com/User.Read"}}, connector.Scopes{}, "openid profile https://graph.microsoft.com/User.Read"},
		"all":          {object{"scopes": []string{"https://graph.microsoft.com/.default"}}, groups, "openid profile https://graph.microsoft.com/.default"},
		"of any":       {object{"tenant": "common"}, groups, "openid profile user.read"},
		"twice":        {object{"scopes": []string{"openid", "email", "User.Read"}}, connector.Scopes{}, "openid profile email User.Read"},
		"DoD":          {object{"cloud": "usdod"}, groups, "openid profile https://dod-graph.microsoft.us/user.read https://dod-graph.microsoft.us/directory.read.all"},
		"DoD, offline": {object{"cloud": "usdod", "scopes": []string{"email"}}, connector.Scopes{OfflineAccess: true}, "openid profile email https://dod-graph.microsoft.us/user.read offline_access"},
		"the world":    {object{"cloud": "global"}, connector.Scopes{}, "openid profile user.read"},
	} {
		tenant := domain
		if c.settings["tenant"] != nil {
			tenant = "common"
		}
		_, conn := start(t, tenant, c.settings)
		for range 2 {
			to, err := conn.Begin(t.Context(), connector.LoginRequest{Scopes: c.scopes})
			if err != nil {
				t.Fatal(err)
			}
			if got := query(t, to.URL).Get("scope"); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
}

func TestPrompts(t *testing.T) {
	_, conn := start(t, domain, object{"promptType": "consent", "domainHint": "corp.example"})
	for name, c := range map[string]struct {
		login connector.LoginRequest
		want  [3]string // prompt, domain_hint, login_hint
	}{
		"as configured": {connector.LoginRequest{}, [3]string{"consent", domain, ""}},
		"as asked":      {connector.LoginRequest{Prompt: []string{"consent", "login"}, LoginHint: "ada"}, [3]string{"login", domain, "ada"}},
	} {
		to, err := conn.Begin(t.Context(), c.login)
		if err != nil {
			t.Fatal(err)
		}
		asked := query(t, to.URL)
		if got := [3]string{asked.Get("prompt"), asked.Get("domain_hint"), asked.Get("login_hint")}; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	_, plain := start(t, domain, nil)
	to, err := plain.Begin(t.Context(), connector.LoginRequest{})
	if asked := query(t, to.URL); err != nil || asked.Has("prompt") || asked.Has("domain_hint") || asked.Has("login_hint") {
		t.Errorf("%v, %v", asked, err)
	}
}

// An assertion is read at each use, and nothing else authenticates.
func TestAssertion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	m, conn := start(t, domain, object{"clientAssertion": file})
	for _, assertion := range []string{"a.b.c", "d.e.f"} {
		if err := os.WriteFile(file, []byte(assertion+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m.Assertion = assertion
		got, err := m.SignIn(t, conn, connector.Scopes{OfflineAccess: true})
		if err != nil {
			t.Fatal(err)
		}
		m.Expire()
		if _, err := conn.Refresh(t.Context(), connector.Scopes{}, got); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SignIn(t, conn, connector.Scopes{}); connector.OutcomeOf(err) != connector.Broken {
		t.Error(err)
	}
	if found := (&microsoft.Config{ClientAssertion: file}).CheckFiles(); found["clientAssertion"] == nil {
		t.Error("a file that is not there will do")
	}
}
