package github_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/github"
)

type object = connectortest.Object

var groups = connector.Scopes{Groups: true}

func settings(more object) object {
	all := object{"clientID": "dex", "clientSecret": "secret", "loadAllGroups": true}
	maps.Copy(all, more)
	return all
}

// enterprise returns settings for an Enterprise Server.
func enterprise(g *connectortest.GitHub, more object) object {
	all := settings(object{"hostName": strings.TrimPrefix(g.URL, "https://"), "rootCA": g.CA()})
	maps.Copy(all, more)
	return all
}

// start makes a connector to github.com.
func start(t testing.TB, more object) (*connectortest.GitHub, connectortest.Connector) {
	t.Helper()
	g := connectortest.NewGitHub(t, false)
	return g, connectortest.Open(t, github.PublicAt(g), settings(more), nil)
}

// orgs returns entries of orgs, each an organization and, after a colon, its teams.
func orgs(entries ...string) object {
	var all []object
	for _, entry := range entries {
		name, teams, _ := strings.Cut(entry, ":")
		o := object{"name": name}
		if teams != "" {
			o["teams"] = strings.Split(teams, ",")
		}
		all = append(all, o)
	}
	return object{"orgs": all, "loadAllGroups": false}
}

func with(base object, more object) object { return connectortest.Merged(base, more) }

func TestSuite(t *testing.T) {
	for name, withTLS := range map[string]bool{"github.com": false, "enterprise": true} {
		for kind, isApp := range map[string]bool{"OAuth app": false, "GitHub App": true} {
			t.Run(name+" "+kind, func(t *testing.T) {
				s := connectortest.Suite{
					New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
						g := connectortest.NewGitHub(t, withTLS)
						if isApp {
							g.AsApp()
						}
						if withTLS {
							return g.Hosted, func() connector.Config { return &github.Config{} }, enterprise(g, nil)
						}
						return g.Hosted, func() connector.Config { return github.PublicAt(g) }, settings(nil)
					},
					UserPath: "/user", Renews: isApp, Exchanges: true,
				}
				if withTLS {
					s.UserPath = "/api/v3/user"
				}
				s.Run(t)
			})
		}
	}
}

func TestIdentity(t *testing.T) {
	g, c := start(t, nil)
	g.NeedsPKCE = true
	id, err := g.SignIn(t, c, groups)
	want := connector.Identity{
		UserID: "101", Username: "Ada L", PreferredUsername: "ada", Email: "ada@corp.example", EmailVerified: true,
		Groups: []string{"acme", "acme:Site Ops", "acme:dev"},
	}
	if diff := cmp.Diff(want, id); diff != "" || err != nil {
		t.Error(diff, err)
	}
	g.Users["ada"] = connectortest.GitHubUser{ID: 101, Email: "public@corp.example"}
	want = connector.Identity{UserID: "101", Username: "ada", PreferredUsername: "ada", Email: "public@corp.example", EmailVerified: true}
	if id, err = g.SignIn(t, c, groups); !cmp.Equal(want, id) || err != nil {
		t.Error(cmp.Diff(want, id), err)
	}
	g.Fail["/user"] = connectortest.Always(200, `{"id": "101", "login": "ada", "email": "public@corp.example"}`)
	if id, err = g.SignIn(t, c, groups); !cmp.Equal(want, id) || err != nil {
		t.Errorf("an id that is a text: %s %v", cmp.Diff(want, id), err)
	}
	named := connectortest.Open(t, github.PublicAt(g), settings(object{"useLoginAsID": true}), nil)
	if id, err = g.SignIn(t, named, groups); id.UserID != "ada" || err != nil {
		t.Errorf("%+v, %v", id, err)
	}
	g.Fail["/user"] = connectortest.Always(200, `{"id": 101, "login": ""}`)
	if id, err = g.SignIn(t, named, groups); connector.OutcomeOf(err) != connector.AccountUnusable || id.UserID != "" {
		t.Errorf("no login: %+v, %v", id, err)
	}
}

// A user whose login changes stays the same, unless the login is what they are known by.
func TestRename(t *testing.T) {
	for byLogin, want := range map[bool]connector.Outcome{false: connector.Succeeded, true: connector.Gone} {
		g, c := start(t, object{"useLoginAsID": byLogin})
		id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
		if err != nil {
			t.Fatal(err)
		}
		g.Fail["/user"] = connectortest.Always(200, `{"id": 101, "login": "lovelace", "email": "a@b.example"}`)
		next, err := c.Refresh(t.Context(), connector.Scopes{}, id)
		if connector.OutcomeOf(err) != want || err == nil && next.PreferredUsername != "lovelace" {
			t.Errorf("%+v, %v", next, err)
		}
	}
}

func TestEmail(t *testing.T) {
	list := func(words ...string) []object {
		var all []object
		for _, word := range words {
			address, flags, _ := strings.Cut(word, "/")
			all = append(all, object{"email": address, "primary": strings.Contains(flags, "p"), "verified": strings.Contains(flags, "v")})
		}
		return all
	}
	many := make([]string, 150)
	for i := range many {
		many[i] = fmt.Sprintf("a%d@b.example/v", i)
	}
	for name, c := range map[string]struct {
		domain, public string
		list           []object
		want, onServer string // empty for none
	}{
		"public":               {"", "a@b.example", nil, "a@b.example", "a@b.example"},
		"primary":              {"", "", list("x@b.example/v", "a@b.example/pv"), "a@b.example", "a@b.example"},
		"an unverified one":    {"", "", list("x@b.example/v", "a@b.example/p"), "", "a@b.example"},
		"none":                 {"", "", nil, "", ""},
		"preferred":            {"corp.io", "a@b.example", list("p@b.example/pv", "u@corp.io/", "a@corp.io/v", "b@corp.io/v"), "a@corp.io", "u@corp.io"},
		"preferred, case":      {"Corp.io", "", list("p@b.example/pv", "a@CORP.IO/v"), "a@CORP.IO", "a@CORP.IO"},
		"a label":              {"*.corp.io", "", list("p@b.example/pv", "a@corp.io/v", "a@a.b.corp.io/v", "a@eu.corp.io/v"), "a@eu.corp.io", "a@eu.corp.io"},
		"no match":             {"corp.io", "", list("p@b.example/pv", "a@corp.io.evil.example/v"), "p@b.example", "p@b.example"},
		"no match, public":     {"corp.io", "a@b.example", list("x@b.example/v"), "a@b.example", "a@b.example"},
		"odd ones":             {"corp.io", "", list("corp.io/pv", "@corp.io/pv", "a@/pv", "/pv", "a@corp.io/v"), "a@corp.io", "a@corp.io"},
		"a quoted name":        {"corp.io", "", list("p@b.example/pv", `"a@b"@corp.io/v`), `"a@b"@corp.io`, `"a@b"@corp.io`},
		"two at signs":         {"corp.io", "", list("p@b.example/pv", "a@corp.io@evil.example/v"), "p@b.example", "p@b.example"},
		"a look-alike":         {"korp.io", "", list("p@b.example/pv", "a@\u212Aorp.io/v"), "p@b.example", "p@b.example"},
		"on the second page":   {"", "", list(append(many, "a@c.example/pv")...), "a@c.example", "a@c.example"},
		"verified, no primary": {"", "", list("x@b.example/v"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, public := start(t, object{"preferredEmailDomain": c.domain})
			server := connectortest.NewGitHub(t, true)
			own := connectortest.Open(t, &github.Config{}, enterprise(server, object{"preferredEmailDomain": c.domain}), nil)
			for _, at := range []struct {
				*connectortest.GitHub
				conn connectortest.Connector
				want string
			}{{g, public, c.want}, {server, own, c.onServer}} {
				at.Users["ada"] = connectortest.GitHubUser{ID: 101, Email: c.public, Emails: c.list}
				id, err := at.SignIn(t, at.conn, connector.Scopes{})
				if at.want == "" {
					if connector.OutcomeOf(err) != connector.AccountUnusable || id.Email != "" {
						t.Errorf("%+v, %v", id, err)
					}
				} else if id.Email != at.want || !id.EmailVerified || err != nil {
					t.Errorf("%+v, want %s: %v", id, at.want, err)
				}
			}
		})
	}
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		pattern, domain string
		want            bool
	}{
		{"corp.io", "corp.io", true}, {"corp.io", "CORP.io", true}, {"*.corp.io", "eu.corp.io", true}, {"*.corp.io", "corp.io", false},
		{"*.corp.io", "a.b.corp.io", false}, {"*.corp.io", "eu.other.io", false}, {"*.*.corp.io", "a.b.corp.io", true},
		{"corp.io", "xcorp.io", false}, {"", "", true}, {"", "io", false},
	} {
		if github.Matches(c.pattern, c.domain) != c.want {
			t.Errorf("%s and %s", c.pattern, c.domain)
		}
	}
}

// calls returns what GitHub was asked since the last time, without the login page, in order of the alphabet as some go at once.
func calls(g *connectortest.GitHub) []string {
	var asked []string
	for _, call := range g.Calls() {
		if !strings.HasPrefix(call.URI, "/login/oauth/authorize") {
			asked = append(asked, call.Method+" "+call.URI)
		}
	}
	slices.Sort(asked)
	return asked
}

func TestCalls(t *testing.T) {
	const (
		emails = "GET /user/emails?per_page=100"
		teams  = "GET /user/teams?per_page=100"
		all    = "GET /user/orgs?per_page=100"
		member = "GET /user/memberships/orgs/"
	)
	for name, c := range map[string]struct {
		settings object
		scopes   connector.Scopes
		want     []string // beside the token and the user
	}{
		"nothing":                   {object{"loadAllGroups": false}, groups, []string{emails}},
		"all, which nobody wants":   {nil, connector.Scopes{}, []string{emails}},
		"all":                       {nil, groups, []string{emails, all, teams}},
		"members":                   {orgs("acme", "b/c"), connector.Scopes{}, []string{emails, member + "acme", member + "b%2Fc"}},
		"members and groups":        {orgs("acme", "beta"), groups, []string{emails, member + "acme", member + "beta", teams}},
		"teams":                     {orgs("acme:dev", "beta:ops"), connector.Scopes{}, []string{emails, teams}},
		"members and teams":         {orgs("acme:dev", "beta"), groups, []string{emails, member + "beta", teams}},
		"the old form":              {object{"org": "acme", "loadAllGroups": false}, groups, []string{emails, member + "acme", teams}},
		"the old form, no groups":   {object{"org": "acme", "loadAllGroups": false}, connector.Scopes{}, []string{emails, member + "acme"}},
		"the old form, by switch":   {object{"org": "acme", "insecureIgnoreOrgMembership": true}, groups, []string{emails, teams}},
		"parents that there aren't": {with(orgs("acme"), object{"nestedTeams": true}), groups, []string{emails, member + "acme", teams}},
	} {
		t.Run(name, func(t *testing.T) {
			g, conn := start(t, c.settings)
			g.Fail["/user/memberships/orgs/b/c"] = connectortest.Always(404, "{}")
			if _, err := g.SignIn(t, conn, c.scopes); err != nil {
				t.Fatal(err)
			}
			for _, call := range g.Calls()[2:] {
				if call.Header.Get("X-GitHub-Api-Version") != "2022-11-28" || call.Header.Get("Accept") != "application/vnd.github+json" {
					t.Errorf("%s has the header %v", call.URI, call.Header)
				}
			}
			if _, err := g.SignIn(t, conn, c.scopes); err != nil {
				t.Fatal(err)
			}
			want := append([]string{"POST /login/oauth/access_token", "GET /user"}, c.want...)
			slices.Sort(want)
			if got := calls(g); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestAuthorizationRequest(t *testing.T) {
	for _, c := range []struct {
		settings object
		request  connector.LoginRequest
		want     string
	}{
		{object{"loadAllGroups": false}, connector.LoginRequest{Scopes: groups}, "scope=user%3Aemail&"},
		{nil, connector.LoginRequest{}, "scope=user%3Aemail&"},
		{nil, connector.LoginRequest{Scopes: connector.Scopes{OfflineAccess: true}}, "scope=user%3Aemail+read%3Aorg&"}, // kept for all applications
		{nil, connector.LoginRequest{}, "scope=user%3Aemail&"},
		{nil, connector.LoginRequest{Scopes: groups}, "scope=user%3Aemail+read%3Aorg&"},
		{orgs("a"), connector.LoginRequest{}, "scope=user%3Aemail+read%3Aorg&"},
		{object{"org": "a"}, connector.LoginRequest{}, "scope=user%3Aemail+read%3Aorg&"},
		{nil, connector.LoginRequest{LoginHint: "ada", Prompt: []string{"login", "select_account"}}, "&login=ada&prompt=select_account&"},
	} {
		_, conn := start(t, c.settings)
		to, err := conn.Begin(t.Context(), c.request)
		if err != nil || !strings.Contains(to.URL, c.want) {
			t.Errorf("%s has no %s: %v", to.URL, c.want, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for host, want := range map[string][2]string{
		"":                      {"https://github.com", "https://api.github.com"},
		"ghe.corp.example:8443": {"https://ghe.corp.example:8443", "https://ghe.corp.example:8443/api/v3"},
		"acme.ghe.com":          {"https://acme.ghe.com", "https://api.acme.ghe.com"},
		"ACME.GHE.com":          {"https://ACME.GHE.com", "https://api.ACME.GHE.com"},
		"acmeghe.com":           {"https://acmeghe.com", "https://acmeghe.com/api/v3"},
	} {
		c := &github.Config{HostName: host}
		if web, api := c.Addresses(); [2]string{web, api} != want {
			t.Errorf("%s: %s and %s", host, web, api)
		}
	}
}
