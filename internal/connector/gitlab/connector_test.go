package gitlab_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/gitlab"
	"dex/internal/oauth"
)

type object = connectortest.Object

var groups = connector.Scopes{Groups: true}

func settings(g *connectortest.GitLab, more object) object {
	all := object{"clientID": "dex", "clientSecret": "secret", "baseURL": g.URL + "/"}
	maps.Copy(all, more)
	return all
}

func open(t *testing.T, g *connectortest.GitLab, more object) connectortest.Connector {
	t.Helper()
	return connectortest.Open(t, &gitlab.Config{}, settings(g, more), nil)
}

func start(t *testing.T, more object) (*connectortest.GitLab, connectortest.Connector) {
	t.Helper()
	g := connectortest.NewGitLab(t)
	return g, open(t, g, more)
}

// change changes ada.
func change(g *connectortest.GitLab, f func(u *connectortest.GitLabUser)) {
	u := g.Users["ada"]
	f(&u)
	g.Users["ada"] = u
}

func TestSuite(t *testing.T) {
	for name, more := range map[string]object{
		"userinfo": nil, "list": {"inheritedGroups": true}, "roles": {"inheritedGroups": true, "getGroupsPermission": true},
	} {
		t.Run(name, connectortest.Suite{
			New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
				g := connectortest.NewGitLab(t)
				return g.Hosted, func() connector.Config { return &gitlab.Config{} }, settings(g, more)
			},
			UserPath: "/api/v4/user", Renews: true, Exchanges: true, ExchangesAny: true,
		}.Run)
	}
}

func TestIdentity(t *testing.T) {
	g, c := start(t, nil)
	g.NeedsPKCE = true
	id, err := g.SignIn(t, c, groups)
	want := connector.Identity{
		UserID: "42", Username: "Ada L", PreferredUsername: "ada", Email: "ada@corp.example", EmailVerified: true,
		Groups: []string{"ops", "ops/web", "dev"},
	}
	if diff := cmp.Diff(want, id); diff != "" || err != nil {
		t.Error(diff, err)
	}
	bare := connector.Identity{UserID: "42", Username: "ada", PreferredUsername: "ada"}
	for _, said := range []string{
		`{"id": 42, "username": "ada", "name": null, "email": null, "state": null}`, `{"ID": "42", "Username": "ada"}`,
		`{"id": 42, "username": "ada", "name": "", "email": "", "confirmed_at": "2024-05-01T10:00:00.000Z"}`,
	} {
		g.Answer("/api/v4/user", connectortest.Always(200, said))
		if id, err = g.SignIn(t, c, connector.Scopes{}); !cmp.Equal(bare, id) || err != nil {
			t.Errorf("%s: %s %v", said, cmp.Diff(bare, id), err)
		}
	}
	g.Answer("/api/v4/user", nil)
	if id, err = g.SignIn(t, open(t, g, object{"useLoginAsID": true}), groups); id.UserID != "ada" || err != nil {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestBelowARoot(t *testing.T) {
	for _, slash := range []string{"", "/", "//"} {
		g := connectortest.NewGitLabBelow(t, "/git/lab")
		c := open(t, g, object{"baseURL": g.URL + "/git/lab" + slash, "inheritedGroups": true})
		if id, err := g.SignIn(t, c, groups); err != nil || len(id.Groups) != 3 {
			t.Errorf("%+v, %v", id, err)
		}
	}
}

func TestVerifiedAddress(t *testing.T) {
	for name, c := range map[string]struct {
		user string // /api/v4/user's members, besides
		info string // userinfo; empty for none
		want bool
	}{
		"nothing said":                {``, ``, true},
		"confirmed":                   {`, "confirmed_at": "2024-05-01T10:00:00.000Z"`, ``, true},
		"not confirmed":               {`, "confirmed_at": null`, ``, false},
		"an odd word":                 {`, "confirmed_at": true`, ``, false},
		"empty":                       {`, "confirmed_at": ""`, ``, false},
		"userinfo says so":            {``, `{"email": "ada@x", "email_verified": true}`, true},
		"userinfo says no":            {``, `{"email": "Ada@x", "email_verified": false}`, false},
		"userinfo says something":     {``, `{"email": "ada@x", "email_verified": "yes"}`, false},
		"userinfo says nothing":       {``, `{"email": "ada@x"}`, true},
		"userinfo has the public one": {``, `{"email": "public@x", "email_verified": false}`, true},
		"only userinfo says so":       {`, "confirmed_at": null`, `{"email": "ada@x", "email_verified": true}`, false},
	} {
		g, conn := start(t, nil)
		g.Answer("/api/v4/user", connectortest.Always(200, `{"id": 42, "username": "ada", "email": "ada@x"`+c.user+`}`))
		scopes := connector.Scopes{}
		if c.info != "" {
			scopes = groups
			g.Answer("/oauth/userinfo", connectortest.Always(200, c.info))
		}
		if id, err := g.SignIn(t, conn, scopes); err != nil || id.EmailVerified != c.want {
			t.Errorf("%s: %t, want %t: %v", name, id.EmailVerified, c.want, err)
		}
	}
}

func TestAccountsThatAreNotLetIn(t *testing.T) {
	for _, state := range []string{"blocked", "banned", "deactivated"} {
		g, c := start(t, nil)
		id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
		if err != nil {
			t.Fatal(err)
		}
		change(g, func(u *connectortest.GitLabUser) { u.State = state })
		if _, err = g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Refused {
			t.Errorf("%s: %v", state, err)
		}
		if _, err = c.Refresh(t.Context(), groups, id); connector.OutcomeOf(err) != connector.Refused {
			t.Errorf("%s at a refresh: %v", state, err)
		}
	}
	g, c := start(t, nil)
	for answer, want := range map[string]connector.Outcome{
		`{"error": "insufficient_scope", "error_description": "more"}`: connector.Broken, `<html>`: connector.Broken,
	} {
		g.Answer("/api/v4/user", connectortest.Always(http.StatusForbidden, answer))
		if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != want {
			t.Errorf("%s: %v", answer, err)
		}
	}
	g.Answer("/api/v4/user", connectortest.Always(http.StatusForbidden, `{"message": "slowly"}`, "Retry-After", "3600"))
	if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Unavailable {
		t.Error(err)
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		more   object
		scopes connector.Scopes
		want   string
	}{
		{nil, connector.Scopes{}, "read_user"},
		{nil, groups, "read_user+openid"},
		{object{"groups": []string{"ops"}}, connector.Scopes{}, "read_user+openid"},
		{object{"inheritedGroups": true}, connector.Scopes{}, "read_user"},
		{object{"inheritedGroups": true}, groups, "read_user+openid+read_api"},
		{object{"minAccessLevel": "guest"}, groups, "read_user+openid+read_api"},
	} {
		_, conn := start(t, c.more)
		to, err := conn.Begin(t.Context(), connector.LoginRequest{Scopes: c.scopes})
		if err != nil || !strings.Contains(to.URL, "scope="+c.want+"&") {
			t.Errorf("%s has not the scopes %s: %v", to.URL, c.want, err)
		}
	}
}

// Upstream keeps no expiry.
func TestUpstreamsData(t *testing.T) {
	for name, expired := range map[string]bool{"a good access token": false, "one that has ended": true} {
		g, c := start(t, nil)
		id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true, Groups: true})
		if err != nil {
			t.Fatal(err)
		}
		calls := g.Calls()
		id.Data = []byte(`{"accessToken":"access-3","refreshToken":"refresh-2"}`)
		if expired {
			g.Expire()
		}
		next, err := c.Refresh(t.Context(), connector.Scopes{}, id) // the application asks for less than before
		if err != nil || next.UserID != "42" {
			t.Fatalf("%s: %+v, %v, after %v", name, next, err, calls)
		}
		renewed := slices.ContainsFunc(g.Calls(), func(c connectortest.Call) bool { return c.URI == "/oauth/token" })
		if renewed != expired {
			t.Errorf("%s: that tokens were renewed is %t", name, renewed)
		}
		if _, err = c.Refresh(t.Context(), groups, next); err != nil {
			t.Errorf("%s: what was kept is worth nothing: %v", name, err)
		}
	}
	g, c := start(t, nil)
	id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	id.Data = []byte(`{"accessToken":"access-3","refreshToken":""}`) // as its older versions
	if next, err := c.Refresh(t.Context(), connector.Scopes{}, id); err != nil || next.UserID != "42" {
		t.Errorf("%+v, %v", next, err)
	}
	g.Expire()
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Gone {
		t.Error(err)
	}
}

// One application logs the user in without groups, another refreshes with them.
func TestRefreshThatNeedsMoreThanTheLogin(t *testing.T) {
	g, c := start(t, nil)
	id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), groups, id); connector.OutcomeOf(err) != connector.Gone {
		t.Error(err)
	}
}

func TestExchange(t *testing.T) {
	for name, c := range map[string]struct {
		more   object
		client string
		has    []string
		scopes connector.Scopes
		want   connector.Outcome
	}{
		"ours":                     {nil, "", []string{"read_user"}, connector.Scopes{}, connector.Succeeded},
		"ours, with groups":        {nil, "", []string{"read_user", "openid"}, groups, connector.Succeeded},
		"ours, groups not allowed": {nil, "", []string{"read_user"}, groups, connector.TokenRefused},
		"ours, filtered":           {object{"groups": []string{"ops"}}, "", []string{"read_user", "openid"}, connector.Scopes{}, connector.Succeeded},
		"ours, shut out":           {object{"groups": []string{"other"}}, "", []string{"read_user", "openid"}, connector.Scopes{}, connector.Refused},
		"another's":                {nil, "other", []string{"read_user"}, connector.Scopes{}, connector.TokenRefused},
		"another's, by switch":     {object{"insecureExchangeAnyApplication": true}, "other", []string{"read_user"}, connector.Scopes{}, connector.Succeeded},
		"personal":                 {nil, connectortest.PersonalToken, []string{"read_api"}, connector.Scopes{}, connector.TokenRefused},
		"personal, by switch":      {object{"insecureExchangeAnyApplication": true}, connectortest.PersonalToken, []string{"read_api"}, connector.Scopes{}, connector.Succeeded},
		"personal, for groups": {object{"insecureExchangeAnyApplication": true, "inheritedGroups": true}, connectortest.PersonalToken,
			[]string{"read_api"}, groups, connector.Succeeded},
		"by switch, shut out": {object{"insecureExchangeAnyApplication": true, "inheritedGroups": true, "groups": []string{"other"}},
			connectortest.PersonalToken, []string{"read_api"}, connector.Scopes{}, connector.Refused},
	} {
		g, conn := start(t, c.more)
		token := connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: g.Token(c.client, "ada", c.has...)}
		id, err := conn.(connector.TokenIdentity).TokenIdentity(t.Context(), c.scopes, token)
		if connector.OutcomeOf(err) != c.want || (err == nil) != (id.UserID == "42") {
			t.Errorf("%s: %s, want %s: %+v, %v", name, connector.OutcomeOf(err), c.want, id, err)
		}
	}
	g, conn := start(t, nil)
	for _, said := range []string{`{}`, `{"application": null}`, `{"application": {"uid": null}}`, `{"application": {"uid": ""}}`} {
		g.Answer("/oauth/token/info", connectortest.Always(200, said))
		token := connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: g.Token("", "ada", "read_user")}
		if _, err := conn.(connector.TokenIdentity).TokenIdentity(t.Context(), connector.Scopes{}, token); connector.OutcomeOf(err) != connector.TokenRefused {
			t.Errorf("%s: %v", said, err)
		}
	}
}

func TestSettings(t *testing.T) {
	certificate := base64.StdEncoding.EncodeToString([]byte("no certificate"))
	for _, c := range []struct {
		more object
		want string
	}{
		{object{"baseURL": "gitlab"}, "baseURL: must be an http or https URL"},
		{object{"baseURL": "https://gitlab.test/?a=b"}, "baseURL: must end with its path"},
		{object{"minAccessLevel": "boss"}, `minAccessLevel: must be one of guest, planner, reporter, security_manager, developer, maintainer, owner, not "boss"`},
		{object{"groupsFilter": "("}, "groupsFilter: is no regular expression"},
		{object{"rootCAData": "?"}, "rootCAData: must be bytes in standard base64"},
		{object{"rootCAData": certificate}, "rootCAData: must be base64 of PEM certificates"},
		{object{"groups": []string{"/ops"}}, "groups[0]: lets nobody in: it must be the full path"},
		{object{"groups": []string{"a", ""}}, "groups[1]: lets nobody in: it must be the full path"},
		{object{"groups": []string{"ops:owner"}}, "groups[0]: lets nobody in without getGroupsPermission"},
		{object{"groups": []string{"ops:boss"}, "getGroupsPermission": true}, `groups[0]: lets nobody in: there is no role "boss"`},
		{object{"groups": []string{"a"}, "inheritedGroups": true}, "inheritedGroups: lets in members of a single project"},
		{object{"groups": []string{"a"}, "inheritedGroups": true, "minAccessLevel": "guest"}, ""},
		{object{"inheritedGroups": true}, ""},
		{object{"useLoginAsID": true}, "useLoginAsID: lets whoever"},
		{object{"insecureSkipVerify": true}, "insecureSkipVerify: lets anybody"},
		{object{"insecureExchangeAnyApplication": true}, "insecureExchangeAnyApplication: lets every application"},
		{object{"groups": []string{"ops:Owner", "a/b"}, "getGroupsPermission": true, "minAccessLevel": "developer", "groupsFilter": "^ops"}, ""},
	} {
		g := connectortest.NewGitLab(t)
		problems := connectortest.Decode(t, &gitlab.Config{}, settings(g, c.more))
		text := fmt.Sprint(problems)
		if c.want == "" && len(problems) > 0 || !strings.Contains(text, c.want) {
			t.Errorf("%v: no %q in %s", c.more, c.want, text)
		}
	}
}

// Upstream's stored settings have other spellings of keys, as JSON in Go takes any.
func TestOddSpellings(t *testing.T) {
	var c gitlab.Config
	problems := connectortest.Decode(t, &c, object{
		"baseurl": "https://gitlab.test/", "clientId": "dex", "CLIENTSECRET": "secret", "getgroupspermission": true,
		"useloginasid": false, "InheritedGroups": true, "rootCAdata": nil,
	})
	if len(problems) > 0 || c.BaseURL != "https://gitlab.test" || c.ClientID != "dex" || !c.GetGroupsPermission || !c.InheritedGroups {
		t.Errorf("%+v, %v", c, problems)
	}
}

func TestRootCAData(t *testing.T) {
	p := connectortest.NewTLS(t) // any server with TLS
	for pem, trusted := range map[string]bool{p.CA(): true, "": false} {
		more := object{"baseURL": p.URL, "clientID": "dex", "clientSecret": "secret"}
		if pem != "" {
			more["rootCAData"] = base64.StdEncoding.EncodeToString([]byte(pem))
		}
		c := connectortest.Open(t, &gitlab.Config{}, more, nil)
		last := connector.Identity{UserID: "42", Data: []byte(`{"accessToken": "a"}`)}
		_, err := c.Refresh(t.Context(), connector.Scopes{}, last)
		if err == nil || strings.Contains(err.Error(), "certificate") == trusted {
			t.Errorf("trusted: %t: %v", trusted, err)
		}
	}
}
