package github_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/github"
)

func member(orgs []string, teams ...string) connectortest.GitHubUser {
	return connectortest.GitHubUser{ID: 101, Email: "a@b.example", Orgs: orgs, Teams: teams}
}

func TestOrgs(t *testing.T) {
	slug, both := object{"teamNameField": "slug"}, object{"teamNameField": "both"}
	bare := object{"orgNameAsGroup": true}
	outsider := connectortest.GitHubUser{ID: 101, Email: "a@b.example"}
	invited := connectortest.GitHubUser{ID: 101, Email: "a@b.example", Invited: []string{"acme"}}
	for name, c := range map[string]struct {
		settings object
		user     connectortest.GitHubUser
		want     []string // without the scope groups, too
		refused  bool
	}{
		"a member, in no team":         {orgs("acme"), member([]string{"acme"}), nil, false},
		"a member, with its name":      {with(orgs("acme"), bare), member([]string{"acme"}), []string{"acme"}, false},
		"a member, in teams":           {orgs("acme"), member(nil, "acme/Site Ops", "beta/dev", "acme/dev"), []string{"acme:Site Ops", "acme:dev"}, false},
		"a member, slugs":              {with(orgs("acme"), slug), member(nil, "acme/Site Ops"), []string{"acme:site-ops"}, false},
		"a member, names and slugs":    {with(orgs("acme"), both), member(nil, "acme/Site Ops", "acme/dev"), []string{"acme:Site Ops", "acme:site-ops", "acme:dev"}, false},
		"an outsider":                  {orgs("acme"), outsider, nil, true},
		"somebody invited":             {orgs("acme"), invited, nil, true},
		"a member of another":          {orgs("acme"), member([]string{"beta"}, "beta/acme"), nil, true},
		"another spelling":             {orgs("ACME"), member(nil, "acme/dev"), []string{"ACME:dev"}, false},
		"a listed team":                {orgs("acme:dev"), member(nil, "acme/dev", "acme/ops"), []string{"acme:dev"}, false},
		"a listed team, and the name":  {with(orgs("acme:dev"), bare), member(nil, "acme/dev", "acme/ops"), []string{"acme", "acme:dev"}, false},
		"a listed team, spelled":       {orgs("ACME:DEV"), member(nil, "acme/dev"), []string{"ACME:dev"}, false},
		"no listed team":               {orgs("acme:dev"), member([]string{"acme"}, "acme/ops"), nil, true},
		"no listed team, and the name": {with(orgs("acme:dev"), bare), member([]string{"acme"}, "acme/ops"), nil, true},
		"the same team elsewhere":      {orgs("acme:dev"), member([]string{"acme"}, "beta/dev"), nil, true},
		"a look-alike of a team":       {orgs("acme:kube"), member([]string{"acme"}, "acme/\u212Aube"), nil, true},
		"a slug, by name":              {orgs("acme:site-ops"), member(nil, "acme/Site Ops"), nil, true},
		"a slug, by slug":              {with(orgs("acme:site-ops"), slug), member(nil, "acme/Site Ops"), []string{"acme:site-ops"}, false},
		"a name, by slug":              {with(orgs("acme:Site Ops"), slug), member(nil, "acme/Site Ops"), nil, true},
		"a slug, by both":              {with(orgs("acme:site-ops"), both), member(nil, "acme/Site Ops"), []string{"acme:site-ops"}, false},
		"a name, by both":              {with(orgs("acme:Site Ops"), both), member(nil, "acme/Site Ops"), []string{"acme:Site Ops"}, false},
		"one of two":                   {orgs("acme", "beta:dev"), member(nil, "beta/dev", "beta/ops"), []string{"beta:dev"}, false},
		"the other of two":             {orgs("acme", "beta:dev"), member([]string{"acme", "beta"}), nil, false},
		"both":                         {orgs("acme:x", "beta:dev"), member(nil, "beta/dev", "acme/x"), []string{"acme:x", "beta:dev"}, false},
		"the same twice":               {orgs("acme:x", "acme:dev", "acme"), member(nil, "acme/dev"), []string{"acme:dev"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, conn := start(t, c.settings)
			g.Users["ada"] = c.user
			for _, scopes := range []connector.Scopes{groups, {}} { // whatever the application asks for
				id, err := g.SignIn(t, conn, scopes)
				switch {
				case c.refused && (connector.OutcomeOf(err) != connector.Refused || id.UserID != ""):
					t.Errorf("%+v is let in: %v", id, err)
				case !c.refused && (err != nil || scopes.Groups && !slices.Equal(id.Groups, c.want)):
					t.Errorf("%q, want %q: %v", id.Groups, c.want, err)
				}
			}
		})
	}
}

func TestOldOrg(t *testing.T) {
	old := object{"org": "ACME", "loadAllGroups": false}
	open := with(old, object{"insecureIgnoreOrgMembership": true})
	for name, c := range map[string]struct {
		settings object
		user     connectortest.GitHubUser
		want     []string
		outcome  connector.Outcome
	}{
		"in teams":               {old, member(nil, "acme/Site Ops", "beta/dev"), []string{"Site Ops"}, connector.Succeeded},
		"in teams, by slug":      {with(old, object{"teamNameField": "slug"}), member(nil, "acme/Site Ops"), []string{"site-ops"}, connector.Succeeded},
		"in no team":             {old, member([]string{"acme"}), nil, connector.Succeeded},
		"an outsider":            {old, member(nil, "beta/dev"), nil, connector.Refused},
		"an outsider, as it was": {open, member(nil, "beta/dev"), nil, connector.Succeeded},
		"in teams, as it was":    {open, member(nil, "acme/dev"), []string{"dev"}, connector.Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			g, conn := start(t, c.settings)
			g.Users["ada"] = c.user
			for _, scopes := range []connector.Scopes{groups, {}} {
				id, err := g.SignIn(t, conn, scopes)
				if connector.OutcomeOf(err) != c.outcome || scopes.Groups && !slices.Equal(id.Groups, c.want) {
					t.Errorf("%q, want %q: %v", id.Groups, c.want, err)
				}
			}
		})
	}
}

func TestMemberWhoLeaves(t *testing.T) {
	for _, filter := range []object{orgs("acme"), orgs("acme:dev"), {"org": "acme", "loadAllGroups": false}} {
		g, c := start(t, filter)
		id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
		if err != nil {
			t.Fatal(err)
		}
		g.Users["ada"] = member([]string{"elsewhere"}, "elsewhere/dev")
		next, err := c.Refresh(t.Context(), connector.Scopes{}, id)
		if connector.OutcomeOf(err) != connector.Refused || next.UserID != "" {
			t.Errorf("%v: %+v, %v", filter, next, err)
		}
	}
}

func TestManyTeams(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("acme/team-%d", i))
	}
	g, c := start(t, orgs("acme:team-999"))
	g.Users["ada"] = member(nil, many...)
	id, err := g.SignIn(t, c, groups)
	if err != nil || !slices.Equal(id.Groups, []string{"acme:team-999"}) {
		t.Errorf("%q, %v", id.Groups, err)
	}
	if n := len(g.Calls()); n != 13 { // the login page, the token, the user, and 10 pages
		t.Errorf("%d calls", n)
	}
	g2, all := start(t, nil)
	g2.Users["ada"] = member(nil, many...)
	if id, err = g2.SignIn(t, all, groups); err != nil || len(id.Groups) != 1001 {
		t.Errorf("%d groups, %v", len(id.Groups), err)
	}
}

// A list goes on as long as there is a next page, whether or not GitHub says which is the last.
func TestPagesWithoutLast(t *testing.T) {
	g, c := start(t, orgs("acme:dev"))
	page := `[{"name": "x", "organization": {"login": "acme"}}]`
	g.Answer("/user/teams", connectortest.Always(200, page, "Link", `</user/teams2>; rel="next"`))
	g.Answer("/user/teams2", connectortest.Always(200, `[{"name": "dev", "organization": {"login": "Acme"}}]`))
	if id, err := g.SignIn(t, c, groups); err != nil || !slices.Equal(id.Groups, []string{"acme:dev"}) {
		t.Errorf("%q, %v", id.Groups, err)
	}
	g.Answer("/user/teams", connectortest.Always(200, page, "Link", `<https://evil.test/>; rel="next"`))
	if id, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Broken {
		t.Errorf("the token is taken to another host: %+v, %v", id, err)
	}
}

func TestNestedTeams(t *testing.T) {
	nested := object{"nestedTeams": true}
	generations := map[string]string{"acme/d": "acme/c", "acme/c": "acme/b", "acme/b": "acme/a"}
	for name, c := range map[string]struct {
		settings object
		teams    []string
		parents  map[string]string
		want     []string
		lookups  []string
	}{
		"one":           {with(orgs("acme"), nested), []string{"acme/b"}, generations, []string{"acme:b", "acme:a"}, []string{"a"}},
		"three":         {with(orgs("acme"), nested), []string{"acme/d"}, generations, []string{"acme:d", "acme:c", "acme:b", "acme:a"}, []string{"a", "b", "c"}},
		"known":         {with(orgs("acme"), nested), []string{"acme/d", "acme/c", "acme/b", "acme/a"}, generations, []string{"acme:d", "acme:c", "acme:b", "acme:a"}, nil},
		"not wanted":    {orgs("acme"), []string{"acme/d"}, generations, []string{"acme:d"}, nil},
		"a filter":      {with(orgs("acme:a"), nested), []string{"acme/d"}, generations, []string{"acme:a"}, []string{"a", "b", "c"}},
		"a filter only": {orgs("acme:a"), []string{"acme/d"}, generations, nil, nil},
		"a circle": {with(orgs("acme"), nested), []string{"acme/x"}, map[string]string{"acme/x": "acme/y", "acme/y": "acme/x"},
			[]string{"acme:x", "acme:y"}, []string{"y"}},
		"elsewhere":    {with(orgs("acme"), nested), []string{"acme/z", "beta/b"}, map[string]string{"beta/b": "beta/a"}, []string{"acme:z"}, nil},
		"all":          {nested, []string{"acme/b"}, generations, []string{"acme", "acme:b", "acme:a"}, []string{"a"}},
		"the old form": {object{"org": "acme", "nestedTeams": true, "loadAllGroups": false}, []string{"acme/b"}, generations, []string{"b", "a"}, []string{"a"}},
		"two children": {with(orgs("acme"), nested), []string{"acme/x", "acme/y"}, map[string]string{"acme/x": "acme/a b", "acme/y": "acme/a b"},
			[]string{"acme:x", "acme:y", "acme:a b"}, []string{"a-b"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, conn := start(t, c.settings)
			g.Users["ada"], g.Parents = member(nil, c.teams...), c.parents
			id, err := g.SignIn(t, conn, groups)
			if c.want == nil && connector.OutcomeOf(err) != connector.Refused || c.want != nil && err != nil || !slices.Equal(id.Groups, c.want) {
				t.Errorf("%q, want %q: %v", id.Groups, c.want, err)
			}
			var lookups []string
			for _, call := range calls(g) {
				if team, ok := strings.CutPrefix(call, "GET /orgs/"); ok {
					lookups = append(lookups, strings.TrimPrefix(team, "acme/teams/"))
				}
			}
			if !slices.Equal(lookups, c.lookups) {
				t.Errorf("asked for %q, want %q", lookups, c.lookups)
			}
		})
	}
}

func TestNestedTeamsInTrouble(t *testing.T) {
	g, c := start(t, with(orgs("acme"), object{"nestedTeams": true}))
	g.Users["ada"], g.Parents = member(nil, "acme/b"), map[string]string{"acme/b": "acme/a"}
	for status, want := range map[int]connector.Outcome{404: connector.Succeeded, 403: connector.Broken, 502: connector.Unavailable} {
		g.Answer("/orgs/acme/teams/a", connectortest.Always(status, `{"message": "no"}`))
		if id, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != want || err == nil && !slices.Equal(id.Groups, []string{"acme:b", "acme:a"}) {
			t.Errorf("%d: %+v, %v", status, id, err)
		}
	}
	var children []string
	for i := range 300 {
		children = append(children, fmt.Sprintf("acme/child-%d", i))
		g.Parents[children[i]] = fmt.Sprintf("acme/parent-%d", i)
	}
	g.Users["ada"] = member(nil, children...)
	if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Errorf("300 parents: %v", err)
	}
}

// Organizations that GitHub tells us nothing about keep nobody out whom another lets in, and the user is told what to do.
func TestObstacles(t *testing.T) {
	const sso, restricted = "single sign-on", "has not authorized this application"
	blocked := connectortest.Always(403, `{"message": "Resource not accessible by integration"}`)
	for name, c := range map[string]struct {
		settings object
		change   func(g *connectortest.GitHub)
		reason   string // for the user; empty where they are let in
		cause    string
		outcome  connector.Outcome
	}{
		"single sign-on": {
			orgs("acme"), func(g *connectortest.GitHub) { g.SSO = []string{"acme"} }, "/orgs/acme/sso", "SAML", connector.Refused,
		},
		"single sign-on, for a team": {
			orgs("acme:dev"), func(g *connectortest.GitHub) { g.SSO = []string{"acme"} }, sso, "SAML", connector.Refused,
		},
		"single sign-on, old form": {
			object{"org": "acme", "loadAllGroups": false}, func(g *connectortest.GitHub) { g.SSO = []string{"acme"} }, sso, "SAML", connector.Refused,
		},
		"single sign-on elsewhere": {
			orgs("acme:dev", "beta"), func(g *connectortest.GitHub) { g.SSO = []string{"beta"} }, "", "", connector.Succeeded,
		},
		"restrictions": {
			orgs("acme"), func(g *connectortest.GitHub) { g.Restricted = []string{"acme"} }, restricted, "OAuth App access restrictions", connector.Refused,
		},
		"restrictions, for a team": {
			orgs("acme:dev"), func(g *connectortest.GitHub) { g.Restricted = []string{"acme"} }, "/settings/connections/applications/dex", "", connector.Refused,
		},
		"left out": {
			orgs("acme:dev"), func(g *connectortest.GitHub) {
				g.SSO = []string{"acme"}
				g.Fail["/user/memberships/orgs/acme"] = connectortest.Always(404, "{}")
			}, "may log in here, or have to sign in", "organizations=21955855", connector.Refused,
		},
		"an app that isn't installed": {
			orgs("acme"), func(g *connectortest.GitHub) { g.Fail["/user/memberships/orgs/acme"] = blocked },
			"", "member of acme: the provider answers 403 \"Resource not accessible", connector.Broken,
		},
		"an app that isn't installed everywhere": {
			orgs("acme", "beta"), func(g *connectortest.GitHub) { g.Fail["/user/memberships/orgs/beta"] = blocked }, "", "", connector.Succeeded,
		},
		"one of each": {
			orgs("acme", "beta"), func(g *connectortest.GitHub) {
				g.Fail["/user/memberships/orgs/acme"], g.SSO = blocked, []string{"beta"}
			}, sso, "SAML", connector.Refused,
		},
		"an outage": {
			orgs("acme", "beta"), func(g *connectortest.GitHub) {
				g.Fail["/user/memberships/orgs/beta"] = connectortest.Always(500, "")
			}, "", "member of beta", connector.Unavailable,
		},
		"an odd status": {
			orgs("acme", "beta"), func(g *connectortest.GitHub) {
				g.Fail["/user/memberships/orgs/beta"] = connectortest.Always(410, "")
			}, "", "member of beta", connector.Broken,
		},
		"an outage at the explanation": {
			orgs("beta:dev"), func(g *connectortest.GitHub) {
				g.Fail["/user/memberships/orgs/beta"] = connectortest.Always(500, "")
			}, "may log in here.", `ada is not a member of "beta"`, connector.Refused,
		},
		"another team": {
			orgs("acme:ops", "beta"), func(*connectortest.GitHub) {}, "may log in here.",
			`ada is in no listed team of "acme", but in ["Site Ops" "dev"], is not a member of "beta"`, connector.Refused,
		},
		"an organization that was renamed": {
			orgs("acme"), func(g *connectortest.GitHub) {
				g.Fail["/user/memberships/orgs/acme"] = connectortest.Always(200, `{"state": "active", "organization": {"login": "other"}}`)
			}, "may log in here.", "", connector.Refused,
		},
		"no answer to speak of": {
			orgs("acme"), func(g *connectortest.GitHub) {
				g.Fail["/user/memberships/orgs/acme"] = connectortest.Always(200, "{}")
			}, "may log in here.", "", connector.Refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, conn := start(t, c.settings)
			c.change(g)
			for _, scopes := range []connector.Scopes{groups, {}} {
				id, err := g.SignIn(t, conn, scopes)
				if connector.OutcomeOf(err) != c.outcome || err != nil && id.UserID != "" {
					t.Fatalf("%+v, %v", id, err)
				}
				if denied, ok := errors.AsType[*connector.Denied](err); ok {
					if !strings.Contains(denied.Reason, c.reason) || c.reason == "" || strings.Contains(err.Error(), "authorization_request") {
						t.Errorf("the user is told: %s", denied.Reason)
					}
				}
				if err != nil && !strings.Contains(err.Error(), c.cause) {
					t.Errorf("the log has %v", err)
				}
			}
		})
	}
}

func TestAllGroups(t *testing.T) {
	g, c := start(t, object{"teamNameField": "both"})
	g.Users["ada"] = member([]string{"beta"}, "Acme/Site Ops")
	g.Fail["/user/orgs"] = connectortest.Always(200, `[{"login": "beta"}, {"login": "ACME"}, {"login": ""}]`)
	id, err := g.SignIn(t, c, groups)
	if want := []string{"beta", "ACME", "ACME:Site Ops", "ACME:site-ops"}; err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, %v", id.Groups, err)
	}
	if id, err = g.SignIn(t, c, connector.Scopes{}); err != nil || id.Groups != nil {
		t.Errorf("%q, %v", id.Groups, err)
	}
	g.Fail["/user/orgs"] = connectortest.Always(403, `{"message": "no"}`)
	if _, err = g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Broken || !strings.Contains(err.Error(), "organizations: ") {
		t.Error(err)
	}
}

// FuzzAnswers gives the connector any answers. Nobody gets in without an organization or team that may.
func FuzzAnswers(f *testing.F) {
	const user, none = `{"id": 101, "login": "ada", "name": null, "email": "a@b.example"}`, `{"message": "Not Found"}`
	f.Add([]byte(user), []byte(`[{"name": "dev", "slug": "dev", "organization": {"login": "acme"}}]`), []byte(none), []byte(`[]`), "")
	f.Add([]byte(user), []byte(`[]`), []byte(`{"state": "active", "organization": {"login": "beta"}}`), []byte(`[]`), "")
	f.Add([]byte(user), []byte(`[]`), []byte(`{"state": "pending", "organization": {"login": "beta"}}`), []byte(`[]`), "")
	f.Add([]byte(`{"id": "101"}`), []byte(`[{"name": "x", "slug": "x", "organization": {"login": "acme"}, "parent": {"name": "dev", "slug": "dev"}}]`),
		[]byte(`null`), []byte(`[{"email": "a@b.example", "verified": true, "primary": true}]`), `<?page=2>; rel="next"`)
	f.Add([]byte(`{"id": 1, "login": "a"}`), []byte(`[null, {"name": null, "organization": null, "parent": null}]`), []byte(`{"state": null}`),
		[]byte(`[{"email": null}, {"email": "@"}, null]`), "")
	g := connectortest.NewGitHub(f, false)
	c := connectortest.Open(f, github.PublicAt(g),
		settings(with(orgs("acme:dev", "beta"), object{"orgNameAsGroup": true, "nestedTeams": true, "preferredEmailDomain": "*.example"})), nil)
	f.Fuzz(func(t *testing.T, user, teams, membership, emails []byte, link string) {
		g.Answer("/user", connectortest.Always(200, string(user)))
		g.Answer("/user/teams", connectortest.Always(200, string(teams), "Link", link))
		g.Answer("/user/memberships/orgs/beta", connectortest.Always(200, string(membership)))
		g.Answer("/user/emails", connectortest.Always(200, string(emails)))
		id, err := g.SignIn(t, c, groups)
		g.Calls() // forgets them
		if err != nil {
			return
		}
		if id.UserID == "" || id.Email == "" || !slices.Contains(id.Groups, "acme:dev") && !slices.Contains(id.Groups, "beta") {
			t.Errorf("%s %s %s: %+v", user, teams, membership, id)
		}
		var said struct {
			State string
			Org   struct{ Login string } `json:"organization"`
		}
		isMember := json.Unmarshal(membership, &said) == nil && said.State == "active" && strings.EqualFold(said.Org.Login, "beta")
		if slices.Contains(id.Groups, "beta") != isMember {
			t.Errorf("%s: %+v", membership, id)
		}
	})
}
