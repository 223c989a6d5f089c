package bitbucket_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/bitbucket"
	"dex/internal/connector/connectortest"
)

type object = connectortest.Object

var groups = connector.Scopes{Groups: true}

func settings(b *connectortest.Bitbucket, more object) object {
	all := object{"clientID": "dex", "clientSecret": "secret", "baseURL": b.URL + "/", "apiURL": b.URL + "/2.0/"}
	maps.Copy(all, more)
	return all
}

func start(t *testing.T, more object) (*connectortest.Bitbucket, connectortest.Connector) {
	t.Helper()
	b := connectortest.NewBitbucket(t)
	return b, connectortest.Open(t, &bitbucket.Config{}, settings(b, more), nil)
}

// in puts the user into workspaces.
func in(b *connectortest.Bitbucket, workspaces ...string) {
	u := b.Users[b.User]
	u.Workspaces = workspaces
	b.Users[b.User] = u
}

func TestSuite(t *testing.T) {
	connectortest.Suite{
		New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
			b := connectortest.NewBitbucket(t)
			return b.Hosted, func() connector.Config { return &bitbucket.Config{} }, settings(b, nil)
		},
		UserPath: "/2.0/user", Renews: true,
	}.Run(t)
}

func TestIdentity(t *testing.T) {
	b, c := start(t, nil)
	b.NeedsPKCE = true
	id, err := b.SignIn(t, c, groups)
	want := connector.Identity{
		UserID: b.User, Username: "Ada L", PreferredUsername: "ada_l", Email: "ada@corp.example", EmailVerified: true,
		Groups: []string{"acme", "partners"},
	}
	if !cmp.Equal(want, id) || err != nil {
		t.Error(cmp.Diff(want, id), err)
	}
	b.Answer("/2.0/user", connectortest.Always(200, `{"uuid": "{2}", "username": "bo", "nickname": null, "display_name": ""}`))
	want = connector.Identity{UserID: "{2}", Username: "bo", PreferredUsername: "bo", Email: "ada@corp.example", EmailVerified: true}
	if id, err = b.SignIn(t, c, connector.Scopes{}); !cmp.Equal(want, id) || err != nil {
		t.Error(cmp.Diff(want, id), err)
	}
}

func TestEmail(t *testing.T) {
	email := connectortest.BitbucketEmail
	many := []object{email("first@x.test", false, true), email("second@x.test", true, false)}
	for range 200 {
		many = append(many, email("other@x.test", false, true))
	}
	many = append(many, email("ada@x.test", true, true), email("late@x.test", true, true))
	for name, c := range map[string]struct {
		emails []object
		want   string // empty for a refusal
	}{
		"the only one":       {[]object{email("ada@x.test", true, true)}, "ada@x.test"},
		"on the third page":  {many, "ada@x.test"},
		"not confirmed":      {[]object{email("ada@x.test", true, false)}, ""},
		"not the primary":    {[]object{email("ada@x.test", false, true)}, ""},
		"confirmed by words": {[]object{{"email": "ada@x.test", "is_primary": true, "is_confirmed": nil}}, ""},
		"an empty one":       {[]object{email("", true, true), email("ada@x.test", true, true)}, "ada@x.test"},
		"none":               {nil, ""},
	} {
		b, conn := start(t, nil)
		u := b.Users[b.User]
		u.Emails = c.emails
		b.Users[b.User] = u
		id, err := b.SignIn(t, conn, groups)
		if c.want == "" && connector.OutcomeOf(err) != connector.AccountUnusable || c.want != "" && (err != nil || id.Email != c.want || !id.EmailVerified) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestTeams(t *testing.T) {
	with := func(teams ...string) object { return object{"teams": teams, "getWorkspacePermissions": true} }
	for name, c := range map[string]struct {
		settings object
		in       []string
		want     []string // nil for a refusal
	}{
		"a workspace":                 {object{"teams": []string{"acme"}}, []string{"acme", "other"}, []string{"acme"}},
		"another":                     {object{"teams": []string{"acme"}}, []string{"other"}, nil},
		"none":                        {object{"teams": []string{"acme"}}, nil, nil},
		"another spelling":            {object{"teams": []string{"Acme"}}, []string{"acme"}, nil},
		"a permission, not asked for": {object{"teams": []string{"acme:owner"}}, []string{"acme:owner"}, nil},
		"an owner":                    {with("acme:owner"), []string{"acme:owner", "other:owner"}, []string{"acme:owner"}},
		"no owner":                    {with("acme:owner"), []string{"acme:member", "other:owner"}, nil},
		"an owner of another":         {with("acme:owner"), []string{"acme-2:owner", "acme"}, nil},
		"a collaborator":              {with("acme:collaborator", "acme:member"), []string{"acme:collaborator"}, []string{"acme:collaborator"}},
		"both":                        {with("acme", "acme:member"), []string{"acme", "other"}, []string{"acme", "acme:member"}},
		"a permission is not listed":  {with("acme"), []string{"acme:owner"}, []string{"acme"}},
	} {
		b, conn := start(t, c.settings)
		in(b, c.in...)
		for _, scopes := range []connector.Scopes{groups, {}} { // whatever the application asks for
			id, err := b.SignIn(t, conn, scopes)
			if c.want == nil && connector.OutcomeOf(err) != connector.Refused || c.want != nil && err != nil || !slices.Equal(id.Groups, c.want) {
				t.Errorf("%s: %q, want %q: %v", name, id.Groups, c.want, err)
			}
		}
	}
}

// A workspace whose name has a colon must not pass for a permission in another.
func TestNameWithColon(t *testing.T) {
	b, c := start(t, object{"teams": []string{"acme:owner"}, "getWorkspacePermissions": true})
	b.Answer("/2.0/user/workspaces", connectortest.Always(200, `{"values": [{"administrator": false, "workspace": {"slug": "acme:owner"}}]}`))
	if id, err := b.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestMemberWhoLeaves(t *testing.T) {
	b, c := start(t, object{"teams": []string{"acme"}})
	id, err := b.SignIn(t, c, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); err != nil {
		t.Error(err)
	}
	in(b, "other")
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
}

func TestManyWorkspaces(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("w-%d", i))
	}
	b, c := start(t, nil)
	in(b, many...)
	id, err := b.SignIn(t, c, groups)
	if calls := b.Calls(); err != nil || !slices.Equal(id.Groups, many) || len(calls) != 14 { // 4 and 10 pages
		t.Errorf("%d groups in %d calls, %v", len(id.Groups), len(calls), err)
	}
}

// asked returns what was asked of the API since the last time, in any order.
func asked(b *connectortest.Bitbucket) []string {
	var all []string
	for _, call := range b.Calls() {
		if path, ok := strings.CutPrefix(call.URI, "/2.0/user"); ok {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return all
}

func TestCalls(t *testing.T) {
	const emails, workspaces = "/emails?pagelen=100", "/workspaces?pagelen=100"
	for name, c := range map[string]struct {
		settings object
		scopes   connector.Scopes
		want     []string
	}{
		"nobody wants groups":  {object{"getWorkspacePermissions": true}, connector.Scopes{}, []string{"", emails}},
		"groups":               {nil, groups, []string{"", emails, workspaces}},
		"permissions":          {object{"getWorkspacePermissions": true}, groups, []string{"", emails, "/workspaces/a/permission", "/workspaces/c/permission", workspaces}},
		"listed permissions":   {object{"getWorkspacePermissions": true, "teams": []string{"a", "c:member"}}, groups, []string{"", emails, "/workspaces/c/permission", workspaces}},
		"no listed permission": {object{"getWorkspacePermissions": true, "teams": []string{"a"}}, groups, []string{"", emails, workspaces}},
	} {
		b, conn := start(t, c.settings)
		in(b, "a", "b:owner", "c")
		if _, err := b.SignIn(t, conn, c.scopes); err != nil {
			t.Fatal(err)
		}
		if got := asked(b); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestUnknownPermission(t *testing.T) {
	var log bytes.Buffer
	b := connectortest.NewBitbucket(t)
	open := func(more object) connectortest.Connector {
		more["getWorkspacePermissions"] = true
		return connectortest.Open(t, &bitbucket.Config{}, settings(b, more), &log)
	}
	in(b, "a:owner", "b", "c")
	b.Answer("/2.0/user/workspaces/b/permission", connectortest.Always(http.StatusBadGateway, ""))
	id, err := b.SignIn(t, open(object{}), groups)
	if want := []string{"a", "b", "c", "a:owner", "c:member"}; err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%q, %v", id.Groups, err)
	}
	if !strings.Contains(log.String(), "does not tell permissions") || !strings.Contains(log.String(), "workspaces=1") {
		t.Errorf("the log has %s", log.String())
	}
	decides := open(object{"teams": []string{"a", "b:member"}})
	if _, err := b.SignIn(t, decides, groups); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("a permission that the filter needs: %v", err)
	}
	b.Answer("/2.0/user/workspaces/b/permission", connectortest.Always(200, `{}`))
	if _, err := b.SignIn(t, decides, groups); connector.OutcomeOf(err) != connector.Broken {
		t.Errorf("an answer without a permission: %v", err)
	}
	if id, err := b.SignIn(t, open(object{"teams": []string{"a", "c:member"}}), groups); err != nil || !slices.Equal(id.Groups, []string{"a", "c:member"}) {
		t.Errorf("a permission that nothing needs: %q, %v", id.Groups, err)
	}
}

// The token endpoint is told the redirect URI, and so is the login page.
func TestRequest(t *testing.T) {
	b, c := start(t, nil)
	to, err := c.Begin(t.Context(), connector.LoginRequest{State: "s"})
	if err != nil || !strings.Contains(to.URL, "scope=account+email&") || !strings.Contains(to.URL, "redirect_uri=https%3A%2F%2Fdex.test%2Fcallback") {
		t.Errorf("%s, %v", to.URL, err)
	}
	if _, err := b.SignIn(t, c, groups); err != nil || b.Calls()[1].Form.Get("redirect_uri") != connectortest.CallbackURL {
		t.Error(err)
	}
}

// What upstream kept of a login is used.
func TestOldData(t *testing.T) {
	for name, data := range map[string]string{
		"good":      `{"accessToken": %q, "refreshToken": "r", "expiry": "` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`,
		"undated":   `{"accessToken": %q, "refreshToken": "", "expiry": "0001-01-01T00:00:00Z"}`,
		"uppercase": `{"AccessToken": %q}`,
	} {
		b, c := start(t, nil)
		old := connector.Identity{UserID: b.User, Data: fmt.Appendf(nil, data, b.Token("", b.User, "account", "email"))}
		if id, err := c.Refresh(t.Context(), groups, old); err != nil || id.UserID != b.User || len(id.Groups) != 2 {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestSettings(t *testing.T) {
	problems := connectortest.Decode(t, &bitbucket.Config{}, object{"ClientId": "x", "CLIENTSECRET": "y", "baseURL": "bitbucket", "apiURL": "/2.0"})
	for _, want := range []string{"baseURL: must be", "apiURL: must be"} {
		if !strings.Contains(problems.Err().Error(), want) {
			t.Errorf("no %q in %v", want, problems)
		}
	}
	if strings.Contains(problems.Err().Error(), "clientID") {
		t.Error("other spellings of keys don't count")
	}
	for want, more := range map[string]object{
		"includeTeamGroups: has no effect":                         {"includeTeamGroups": true},
		"insecureSkipVerify: lets anybody":                         {"insecureSkipVerify": true},
		"teams[0]: lets in nobody: names of workspaces are":        {"teams": []string{"Acme"}},
		"teams[0]: lets in nobody without getWorkspacePermissions": {"teams": []string{"acme:owner"}},
		"teams[1]: lets in nobody: what follows the colon must be": {"teams": []string{"acme", "acme:admin"}, "getWorkspacePermissions": true},
		"teams[0]: lets in nobody: it must be a workspace as":      {"teams": []string{":owner"}},
	} {
		more["clientID"], more["clientSecret"] = "x", "y"
		problems := connectortest.Decode(t, &bitbucket.Config{}, more)
		if len(problems) != 1 || !problems[0].Warning || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%v, want a warning that %s", problems, want)
		}
	}
	usual := &bitbucket.Config{}
	if problems := connectortest.Decode(t, usual, object{"clientID": "x", "clientSecret": "y"}); len(problems) > 0 ||
		usual.BaseURL != "https://bitbucket.org" || usual.APIURL != "https://api.bitbucket.org/2.0" {
		t.Errorf("%v, %+v", problems, usual)
	}
}

// FuzzAnswers gives the connector any answers.
func FuzzAnswers(f *testing.F) {
	const emails = `{"values": [{"email": "a@b.c", "is_primary": true, "is_confirmed": true}]}`
	f.Add([]byte(`{"uuid": "{1}", "display_name": "Ada"}`), []byte(emails), []byte(`{"values": [{"administrator": false, "workspace": {"slug": "acme"}}]}`), []byte(`{"permission": "owner"}`))
	f.Add([]byte(`{"uuid": "{1}", "username": "ada"}`), []byte(emails), []byte(`{"values": [{"administrator": true, "workspace": {"slug": "acme"}}], "next": "?page=2"}`), []byte(`{}`))
	f.Add([]byte(`{"uuid": null}`), []byte(`{"values": null}`), []byte(`{"values": [null, {"workspace": null}]}`), []byte(`null`))
	b := connectortest.NewBitbucket(f)
	c := connectortest.Open(f, &bitbucket.Config{}, settings(b, object{"teams": []string{"acme:owner"}, "getWorkspacePermissions": true}), nil)
	f.Fuzz(func(t *testing.T, user, emails, workspaces, permission []byte) {
		b.Answer("/2.0/user", connectortest.Always(200, string(user)))
		b.Answer("/2.0/user/emails", connectortest.Always(200, string(emails)))
		b.Answer("/2.0/user/workspaces", connectortest.Always(200, string(workspaces)))
		b.Answer("/2.0/user/workspaces/acme/permission", connectortest.Always(200, string(permission)))
		id, err := b.SignIn(t, c, groups)
		if err == nil && (id.UserID == "" || id.Email == "" || !slices.Equal(id.Groups, []string{"acme:owner"})) {
			t.Errorf("%s %s %s: %+v", user, emails, workspaces, id)
		}
		b.Calls() // forgets them
	})
}
