package gitea_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/gitea"
)

type object = connectortest.Object

var groups = connector.Scopes{Groups: true}

func settings(g *connectortest.Gitea, more object) object {
	all := object{"clientID": "dex", "clientSecret": "secret", "baseURL": g.URL + "/", "loadAllGroups": true}
	maps.Copy(all, more)
	return all
}

func start(t *testing.T, more object) (*connectortest.Gitea, connectortest.Connector) {
	t.Helper()
	g := connectortest.NewGitea(t)
	return g, connectortest.Open(t, &gitea.Config{}, settings(g, more), nil)
}

func TestSuite(t *testing.T) {
	connectortest.Suite{
		New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
			g := connectortest.NewGitea(t)
			return g.Hosted, func() connector.Config { return &gitea.Config{} }, settings(g, nil)
		},
		UserPath: "/api/v1/user", Renews: true, Exchanges: true,
	}.Run(t)
}

func TestIdentity(t *testing.T) {
	g, c := start(t, nil)
	g.NeedsPKCE = true
	id, err := g.SignIn(t, c, groups)
	want := connector.Identity{
		UserID: "3", Username: "Ada L", PreferredUsername: "ada", Email: "ada@corp.example", EmailVerified: true,
		Groups: []string{"acme", "acme:Owners", "acme:ops"},
	}
	if diff := cmp.Diff(want, id); diff != "" || err != nil {
		t.Error(diff, err)
	}
	g.Users["ada"] = connectortest.GiteaUser{ID: 3}
	want = connector.Identity{UserID: "3", Username: "ada", PreferredUsername: "ada"}
	if id, err = g.SignIn(t, c, groups); !cmp.Equal(want, id) || err != nil {
		t.Error(cmp.Diff(want, id), err)
	}
	g.Fail["/api/v1/user"] = connectortest.Always(200, `{"id": "3", "login": "ada", "full_name": null, "email": null}`)
	if id, err = g.SignIn(t, c, groups); !cmp.Equal(want, id) || err != nil {
		t.Errorf("an id that is a text: %s %v", cmp.Diff(want, id), err)
	}
	_, named := start(t, object{"baseURL": g.URL, "useLoginAsID": true})
	if id, err = g.SignIn(t, named, groups); id.UserID != "ada" || err != nil {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestOrgs(t *testing.T) {
	for name, c := range map[string]struct {
		settings object
		teams    []string
		want     []string // nil for a refusal
	}{
		"a team":              {object{"orgs": []object{{"name": "a", "teams": []string{"x"}}}}, []string{"a/x", "a/y", "b/x"}, []string{"a", "a:x"}},
		"no listed team":      {object{"orgs": []object{{"name": "a", "teams": []string{"x"}}}}, []string{"a/y", "a/z"}, nil},
		"any team, by switch": {object{"orgs": []object{{"name": "a", "teams": []string{"x"}}}, "insecureIgnoreTeams": true}, []string{"a/y"}, []string{"a"}},
		"an organization":     {object{"orgs": []object{{"name": "a"}}}, []string{"a/y", "b/x"}, []string{"a", "a:y"}},
		"another":             {object{"orgs": []object{{"name": "b"}}}, []string{"a/y"}, nil},
		"other spellings":     {object{"orgs": []object{{"name": "A", "teams": []string{"X"}}}}, []string{"a/x"}, []string{"A", "A:x"}},
		"a look-alike":        {object{"orgs": []object{{"name": "acme-k"}}}, []string{"acme-\u212a/x"}, nil},
		"no teams":            {object{"orgs": []object{{"name": "a"}}}, nil, nil},
		"two":                 {object{"orgs": []object{{"name": "a"}, {"name": "b", "teams": []string{"x"}}}}, []string{"a/y", "b/x", "b/y"}, []string{"a", "a:y", "b", "b:x"}},
	} {
		g, conn := start(t, c.settings)
		g.Users["ada"] = connectortest.GiteaUser{ID: 3, Teams: c.teams}
		for _, scopes := range []connector.Scopes{groups, {}} { // whatever the application asks for
			id, err := g.SignIn(t, conn, scopes)
			if c.want == nil && connector.OutcomeOf(err) != connector.Refused || c.want != nil && err != nil || !slices.Equal(id.Groups, c.want) {
				t.Errorf("%s: %q, want %q: %v", name, id.Groups, c.want, err)
			}
		}
	}
}

func TestMemberWhoLeaves(t *testing.T) {
	g, c := start(t, object{"orgs": []object{{"name": "acme", "teams": []string{"ops"}}}})
	id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	g.Users["ada"] = connectortest.GiteaUser{ID: 3, Teams: []string{"acme/Owners"}}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
}

func TestManyTeams(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("acme/team-%d", i))
	}
	for _, old := range []bool{false, true} {
		g, c := start(t, nil)
		g.RootURL = "https://git.example.com" // which baseURL need not be
		g.OldPaging, g.Users["ada"] = old, connectortest.GiteaUser{ID: 3, Teams: many}
		id, err := g.SignIn(t, c, groups)
		if err != nil || len(id.Groups) != 1001 {
			t.Errorf("%d groups, %v", len(id.Groups), err)
		}
		want := 23 // the login page, the token, the user, and 20 pages
		if old {
			want++ // an empty page
		}
		if calls := g.Calls(); len(calls) != want {
			t.Errorf("%d calls, want %d", len(calls), want)
		}
	}
}

func TestCalls(t *testing.T) {
	g, c := start(t, object{"orgs": []object{{"name": "acme"}}})
	for range 2 {
		if _, err := g.SignIn(t, c, groups); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, call := range g.Calls()[1:] { // without the login page
			asked = append(asked, call.Method+" "+call.URI)
		}
		want := []string{
			"POST /login/oauth/access_token", "GET /api/v1/user", "GET /api/v1/user/teams?limit=50&page=1",
		}
		if g.OldPaging {
			want = append(want, "GET /api/v1/user/teams?limit=50&page=2")
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%q, want %q", asked, want)
		}
		g.OldPaging = true
	}
	_, plain := start(t, object{"baseURL": g.URL})
	if _, err := g.SignIn(t, plain, connector.Scopes{}); err != nil || len(g.Calls()) != 3 {
		t.Error("teams are read although nobody wants them")
	}
}

func TestScopes(t *testing.T) {
	for want, more := range map[string]object{
		"scope=read%3Auser&":                      {"loadAllGroups": false},
		"scope=read%3Auser+read%3Aorganization&":  {},
		"scope=read%3Auser+read%3Aorganization&s": {"loadAllGroups": false, "orgs": []object{{"name": "a"}}},
		"scope=all&":            {"scopes": []string{"all"}},
		"response_type=code&st": {"scopes": []string{}}, // none, as upstream
	} {
		_, c := start(t, more)
		to, err := c.Begin(t.Context(), connector.LoginRequest{})
		if err != nil || !strings.Contains(to.URL, want) {
			t.Errorf("%s has no %s: %v", to.URL, want, err)
		}
	}
}

func TestSettings(t *testing.T) {
	problems := connectortest.Decode(t, &gitea.Config{}, object{"baseURL": "https://git.test/?x=1", "orgs": []object{{"teams": []string{"x"}}}})
	for _, want := range []string{"clientID: is missing", "baseURL: must end with its path", "orgs[0].name: is missing"} {
		if !strings.Contains(problems.Err().Error(), want) {
			t.Errorf("no %q in %v", want, problems)
		}
	}
}

// FuzzAnswers gives the connector any answers.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id": 3, "login": "ada", "full_name": "Ada", "email": "a@b.c"}`), []byte(`[{"name": "x", "organization": {"username": "acme"}}]`), "1")
	f.Add([]byte(`{"id": "3"}`), []byte(`[{"name": null, "organization": null}, null]`), "2")
	g := connectortest.NewGitea(f)
	c := connectortest.Open(f, &gitea.Config{}, settings(g, object{"orgs": []object{{"name": "acme", "teams": []string{"x"}}}}), nil)
	f.Fuzz(func(t *testing.T, user, teams []byte, total string) {
		g.Answer("/api/v1/user", connectortest.Always(200, string(user)))
		g.Answer("/api/v1/user/teams", connectortest.Always(200, string(teams), "X-Total-Count", total))
		id, err := g.SignIn(t, c, groups)
		if err == nil && (id.UserID == "" || !slices.Contains(id.Groups, "acme:x")) {
			t.Errorf("%s %s: %+v", user, teams, id)
		}
		g.Calls() // forgets them
	})
}
