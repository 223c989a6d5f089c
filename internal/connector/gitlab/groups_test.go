package gitlab_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/gitlab"
)

// Both vectors are what upstream gives in these settings.
func TestUpstreamsGroups(t *testing.T) {
	g, c := start(t, object{"getGroupsPermission": true})
	g.Groups = []string{"red", "red/ui", "redteam", "blue/api", "blue"}
	change(g, func(u *connectortest.GitLabUser) {
		u.Roles = map[string]int{"red": 50, "red/ui": 40, "redteam": 10, "blue/api": 40, "blue": 30}
	})
	want := append(slices.Clone(g.Groups), "red:owner", "red/ui:owner", "blue/api:maintainer", "blue:developer")
	if id, err := g.SignIn(t, c, groups); err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, want %q: %v", id.Groups, want, err)
	}

	g, c = start(t, object{"getGroupsPermission": true, "inheritedGroups": true})
	g.Groups = []string{"red", "blue/api", "green"}
	change(g, func(u *connectortest.GitLabUser) {
		u.Roles = map[string]int{"red": 50, "green": 15}
		u.Invited = map[string]int{"blue/api": 40}
	})
	g.Answer("/api/v4/groups/2/members/all/42", connectortest.Always(http.StatusForbidden, `{"message": "403 Forbidden"}`))
	want = []string{"red", "blue/api", "green", "red:owner", "green:planner"}
	if id, err := g.SignIn(t, c, groups); err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, want %q: %v", id.Groups, want, err)
	}
}

func TestAllowedGroups(t *testing.T) {
	roles := map[string]int{"ops": 50, "dev": 30, "Lab/Ui": 20}
	for name, c := range map[string]struct {
		settings object
		want     []string // nil for a refusal
	}{
		"a group":             {object{"groups": []string{"dev"}}, []string{"dev"}},
		"two":                 {object{"groups": []string{"dev", "ops"}}, []string{"ops", "dev"}},
		"another":             {object{"groups": []string{"other"}}, nil},
		"none above":          {object{"groups": []string{"lab"}}, nil},
		"below":               {object{"groups": []string{"ops/web"}}, []string{"ops/web"}},
		"other spellings":     {object{"groups": []string{"LAB/uI"}}, []string{"Lab/Ui"}},
		"a part of a name":    {object{"groups": []string{"op"}}, nil},
		"a look-alike":        {object{"groups": []string{"lab/u\u0130"}}, nil},
		"an empty one":        {object{"groups": []string{""}}, nil},
		"keeps roles":         {object{"groups": []string{"ops"}, "getGroupsPermission": true}, []string{"ops", "ops:owner"}},
		"a role":              {object{"groups": []string{"ops:owner"}, "getGroupsPermission": true}, []string{"ops:owner"}},
		"a role, folded":      {object{"groups": []string{"Ops:Owner"}, "getGroupsPermission": true}, []string{"ops:owner"}},
		"another role":        {object{"groups": []string{"dev:owner"}, "getGroupsPermission": true}, nil},
		"a role, not read":    {object{"groups": []string{"ops:owner"}}, nil},
		"claim filter":        {object{"groups": []string{"dev", "ops"}, "groupsFilter": "^dev$"}, []string{"dev"}},
		"claim filter, alone": {object{"groupsFilter": "^ops", "getGroupsPermission": true}, []string{"ops", "ops/web", "ops:owner", "ops/web:owner"}},
		"claim filter, roles": {object{"groupsFilter": "^ops$", "getGroupsPermission": true}, []string{"ops", "ops:owner"}},
		"least role":          {object{"groups": []string{"dev", "lab/ui"}, "minAccessLevel": "developer"}, []string{"dev"}},
		"too little a role":   {object{"groups": []string{"dev", "lab/ui"}, "minAccessLevel": "owner"}, nil},
		"least role and roles": {object{"minAccessLevel": "developer", "getGroupsPermission": true},
			[]string{"ops", "ops/web", "dev", "ops:owner", "ops/web:owner", "dev:developer"}},
		"listed": {object{"groups": []string{"lab/ui"}, "inheritedGroups": true, "getGroupsPermission": true}, []string{"Lab/Ui", "Lab/Ui:reporter"}},
	} {
		g, conn := start(t, c.settings)
		g.Groups = append(g.Groups, "Lab/Ui")
		change(g, func(u *connectortest.GitLabUser) { u.Roles = roles })
		asked := []connector.Scopes{groups}
		if c.settings["groups"] != nil {
			asked = append(asked, connector.Scopes{}) // whatever the application asks for
		}
		for _, scopes := range asked {
			id, err := g.SignIn(t, conn, scopes)
			if c.want == nil && connector.OutcomeOf(err) != connector.Refused || c.want != nil && err != nil || !slices.Equal(id.Groups, c.want) {
				t.Errorf("%s: %q, want %q: %v", name, id.Groups, c.want, err)
			}
		}
	}
}

func TestClaimFilterLetsNobodyInNorOut(t *testing.T) {
	g, c := start(t, object{"groups": []string{"ops"}, "groupsFilter": "^other$"})
	if id, err := g.SignIn(t, c, groups); err != nil || len(id.Groups) != 0 {
		t.Errorf("%+v, %v", id, err)
	}
	change(g, func(u *connectortest.GitLabUser) { u.Roles = map[string]int{"other": 50} })
	if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
}

func TestMemberWhoLeaves(t *testing.T) {
	for _, more := range []object{{}, {"inheritedGroups": true}, {"minAccessLevel": "maintainer"}} {
		more["groups"] = []string{"ops"}
		g, c := start(t, more)
		id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
		if err != nil {
			t.Fatal(err)
		}
		change(g, func(u *connectortest.GitLabUser) { u.Roles = map[string]int{"dev": 30} })
		if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Refused {
			t.Error(err)
		}
	}
}

// called returns what was asked, without the login page.
func called(g *connectortest.GitLab) []string {
	var asked []string
	for _, call := range g.Calls()[1:] {
		asked = append(asked, call.Method+" "+call.URI)
	}
	slices.Sort(asked[2:]) // lists are asked for at once
	return asked
}

func list(level string) string {
	if level != "" {
		level = "&min_access_level=" + level
	}
	return "GET /api/v4/groups?all_available=false" + level + "&page=1&per_page=100"
}

func TestCalls(t *testing.T) {
	const token, user, info = "POST /oauth/token", "GET /api/v4/user", "GET /oauth/userinfo"
	roles := object{"inheritedGroups": true, "getGroupsPermission": true}
	for name, c := range map[string]struct {
		more   object
		scopes connector.Scopes
		want   []string
	}{
		"no groups":    {object{"getGroupsPermission": true}, connector.Scopes{}, []string{token, user}},
		"userinfo":     {object{"getGroupsPermission": true}, groups, []string{token, user, info}},
		"filter":       {object{"groups": []string{"ops"}}, connector.Scopes{}, []string{token, user, info}},
		"list":         {object{"inheritedGroups": true}, groups, []string{token, user, list("")}},
		"least role":   {object{"minAccessLevel": "developer"}, groups, []string{token, user, list("30")}},
		"role, unused": {roles, connector.Scopes{}, []string{token, user}},
		"roles": {roles, groups, []string{
			token, user, list("10"), list("15"), list("20"), list("25"), list("30"), list("40"), list("50"), list(""),
		}},
		"least role and roles": {object{"minAccessLevel": "developer", "getGroupsPermission": true}, groups, []string{
			token, user, list("30"), list("40"), list("50"),
		}},
	} {
		g, conn := start(t, c.more)
		if _, err := g.SignIn(t, conn, c.scopes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if asked := called(g); !slices.Equal(asked, c.want) {
			t.Errorf("%s: %q, want %q", name, asked, c.want)
		}
	}
	g, conn := start(t, roles)
	change(g, func(u *connectortest.GitLabUser) { u.Invited = map[string]int{"other": 40} })
	if _, err := g.SignIn(t, conn, groups); err != nil {
		t.Fatal(err)
	}
	if asked := called(g); len(asked) != 11 || asked[2] != "GET /api/v4/groups/4/members/all/42" {
		t.Errorf("the only role that no list tells: %q", asked)
	}
}

func TestRoles(t *testing.T) {
	for name, c := range map[string]struct {
		roles, invited map[string]int
		old            bool
		want           string
	}{
		"each": {map[string]int{"g10": 10, "g15": 15, "g20": 20, "g25": 25, "g30": 30, "g40": 40, "g50": 50, "g5": 5}, nil, false,
			"g5:minimal_access g10:guest g15:planner g20:reporter g25:security_manager g30:developer g40:maintainer g50:owner"},
		"an old version":      {map[string]int{"g10": 10, "g20": 20}, nil, true, "g10:guest g20:reporter"},
		"invited":             {nil, map[string]int{"g10": 10, "g50": 50}, false, "g10:guest g50:owner"},
		"of a project":        {map[string]int{"g10": 10}, map[string]int{"g20": 0}, false, "g10:guest"},
		"a level of its own":  {nil, map[string]int{"g10": 12}, false, ""},
		"inherited":           {map[string]int{"top": 40}, nil, false, "top:maintainer top/x:maintainer"},
		"more than inherited": {map[string]int{"top": 20, "top/x": 50}, nil, false, "top:reporter top/x:owner"},
		"less than inherited": {map[string]int{"top": 50, "top/x": 20}, nil, false, "top:owner top/x:owner"},
	} {
		g, conn := start(t, object{"inheritedGroups": true, "getGroupsPermission": true})
		g.Groups, g.Old = []string{"g5", "g10", "g15", "g20", "g25", "g30", "g40", "g50", "top", "top/x"}, c.old
		change(g, func(u *connectortest.GitLabUser) { u.Roles, u.Invited = c.roles, c.invited })
		id, err := g.SignIn(t, conn, groups)
		got := slices.DeleteFunc(id.Groups, func(entry string) bool { return !strings.Contains(entry, ":") })
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q: %v", name, got, c.want, err)
		}
	}
}

// A level that a version of GitLab refuses is one that nobody has there only if it is newer than others, and not asked for by name.
func TestLevelsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		least, refused string
		want           connector.Outcome
	}{
		"a recent one":          {"", "25", connector.Succeeded},
		"one of old":            {"", "40", connector.Broken},
		"the one in settings":   {"planner", "15", connector.Broken},
		"one above that":        {"planner", "25", connector.Succeeded},
		"one of old above that": {"planner", "50", connector.Broken},
	} {
		g, conn := start(t, object{"inheritedGroups": true, "getGroupsPermission": true, "minAccessLevel": c.least})
		g.Answer("/api/v4/groups", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("min_access_level") == c.refused {
				connectortest.Always(http.StatusBadRequest, `{"error": "min_access_level does not have a valid value"}`)(w, r)
				return
			}
			connectortest.Always(http.StatusOK, `[]`)(w, r)
		})
		if _, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %s, want %s: %v", name, connector.OutcomeOf(err), c.want, err)
		}
	}
}

func TestOddLists(t *testing.T) {
	g, conn := start(t, object{"groups": []string{"ops:owner"}, "getGroupsPermission": true})
	g.Answer("/oauth/userinfo", connectortest.Always(200, `{"groups": ["ops:owner", "ops"]}`))
	if id, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("a path that looks like a role is taken for one: %+v, %v", id, err)
	}
	g, conn = start(t, object{"inheritedGroups": true})
	g.Answer("/api/v4/groups", connectortest.Always(200, `[]`, "X-Next-Page", "2"))
	if _, err := g.SignIn(t, conn, groups); err != nil || len(called(g)) != 3 {
		t.Errorf("a list that never ends: %v", err)
	}
	g.Answer("/api/v4/groups", connectortest.Always(200, `[{"id": 1, "full_path": "ops"}]`, "X-Next-Page", "2"))
	if _, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Errorf("a list that never ends: %v", err)
	}
}

func TestRolesThatCannotBeRead(t *testing.T) {
	const member = "/api/v4/groups/4/members/all/42"
	for name, c := range map[string]struct {
		path   string
		answer http.HandlerFunc
		want   connector.Outcome
	}{
		"no list":          {"/api/v4/groups", connectortest.Always(http.StatusBadRequest, `{"error": "no"}`), connector.Broken},
		"no right":         {"/api/v4/groups", connectortest.Always(http.StatusForbidden, `{"error": "insufficient_scope"}`), connector.Broken},
		"down":             {"/api/v4/groups", connectortest.Always(http.StatusBadGateway, ""), connector.Unavailable},
		"no such member":   {member, connectortest.Always(http.StatusNotFound, `{"message": "404 Not found"}`), connector.Succeeded},
		"may not see":      {member, connectortest.Always(http.StatusForbidden, `{"message": "403 Forbidden"}`), connector.Succeeded},
		"too many":         {member, connectortest.Always(http.StatusForbidden, "", "Retry-After", "3600"), connector.Unavailable},
		"members are down": {member, connectortest.Always(http.StatusInternalServerError, ""), connector.Unavailable},
		"no id": {"/api/v4/groups", func(w http.ResponseWriter, r *http.Request) {
			said := `[{"full_path": "other"}, {"id": 9}, null]`
			if r.URL.Query().Has("min_access_level") {
				said = `[]`
			}
			connectortest.Always(200, said)(w, r)
		}, connector.Broken},
	} {
		g, conn := start(t, object{"inheritedGroups": true, "getGroupsPermission": true})
		change(g, func(u *connectortest.GitLabUser) { u.Invited = map[string]int{"other": 40} })
		g.Answer(c.path, c.answer)
		id, err := g.SignIn(t, conn, groups)
		if connector.OutcomeOf(err) != c.want || slices.Contains(id.Groups, "other:maintainer") {
			t.Errorf("%s: %s, want %s: %q, %v", name, connector.OutcomeOf(err), c.want, id.Groups, err)
		}
	}
}

func TestManyGroups(t *testing.T) {
	for _, c := range []struct{ groups, calls, withoutTotals int }{
		{99, 1, 1}, {100, 1, 2}, {101, 2, 2}, {1000, 10, 11},
	} {
		for _, without := range []bool{false, true} {
			g, conn := start(t, object{"inheritedGroups": true})
			g.NoTotals, g.Groups = without, nil
			change(g, func(u *connectortest.GitLabUser) {
				for i := range c.groups {
					g.Groups = append(g.Groups, fmt.Sprintf("team-%d", i))
					u.Roles[g.Groups[i]] = 30
				}
			})
			id, err := g.SignIn(t, conn, groups)
			if err != nil || len(id.Groups) != c.groups {
				t.Errorf("%d groups, %v", len(id.Groups), err)
			}
			want := 2 + c.calls // the token, the user, and pages
			if without {
				want = 2 + c.withoutTotals
			}
			if asked := called(g); len(asked) != want {
				t.Errorf("%d groups in %d calls, want %d", c.groups, len(asked), want)
			}
		}
	}
}

// Roles in more groups than can be asked for one by one are told by lists alone.
func TestManyRoles(t *testing.T) {
	for _, roles := range []bool{true, false} {
		g, conn := start(t, object{"inheritedGroups": true, "getGroupsPermission": true})
		g.Groups = nil
		change(g, func(u *connectortest.GitLabUser) {
			u.Roles, u.Invited = map[string]int{}, map[string]int{}
			for i := range 300 {
				g.Groups = append(g.Groups, fmt.Sprintf("team-%d", i))
				if roles {
					u.Roles[g.Groups[i]] = 30
				} else {
					u.Invited[g.Groups[i]] = 30
				}
			}
		})
		id, err := g.SignIn(t, conn, groups)
		if roles && (err != nil || len(id.Groups) != 600) || !roles && connector.OutcomeOf(err) != connector.AccountUnusable {
			t.Errorf("%d groups, %v", len(id.Groups), err)
		}
		if asked := called(g); len(asked) > 2+8*3 {
			t.Errorf("%d calls", len(asked))
		}
	}
}

// FuzzAnswers gives connectors any answers.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id": 42, "username": "ada", "name": "Ada", "email": "a@b.c", "confirmed_at": null}`),
		[]byte(`{"email": "a@b.c", "email_verified": true, "groups": ["ops", "dev"], "https://gitlab.org/claims/groups/owner": ["ops"]}`),
		[]byte(`[{"id": 1, "full_path": "ops"}, {"id": 2, "path": "dev"}]`), "")
	f.Add([]byte(`{"id": "42", "state": "active"}`), []byte(`{"groups": [null, "", "x:owner", "OPS/x"]}`), []byte(`[null, {"id": null}]`), "2")
	f.Add([]byte(`{"id": 1, "confirmed_at": []}`), []byte(`{"groups": null, "email_verified": "x"}`), []byte(`[{"full_path": "ops:owner"}]`), "x")
	g := connectortest.NewGitLab(f)
	var all []connectortest.Connector
	for _, inherited := range []bool{false, true} {
		all = append(all, connectortest.Open(f, &gitlab.Config{}, settings(g, object{
			"groups": []string{"ops", "x:owner"}, "getGroupsPermission": true, "inheritedGroups": inherited,
		}), nil))
	}
	f.Fuzz(func(t *testing.T, user, info, list []byte, next string) {
		g.Answer("/api/v4/user", connectortest.Always(200, string(user)))
		g.Answer("/oauth/userinfo", connectortest.Always(200, string(info)))
		g.Answer("/api/v4/groups", connectortest.Always(200, string(list), "X-Next-Page", next))
		for _, c := range all {
			id, err := g.SignIn(t, c, groups)
			switch {
			case err != nil:
			case id.UserID == "" || len(id.Groups) == 0:
				t.Errorf("%s %s %s: %+v", user, info, list, id)
			default:
				for _, entry := range id.Groups {
					path, role, isRole := strings.Cut(strings.ToLower(entry), ":")
					if path != "ops" && (path != "x" || !isRole || role != "owner") {
						t.Errorf("%q is passed on", entry)
					}
				}
			}
		}
		g.Calls() // forgets them
	})
}
