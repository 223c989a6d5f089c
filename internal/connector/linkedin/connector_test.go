package linkedin_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/linkedin"
	"dex/internal/oauth"
)

type object = connectortest.Object

var (
	modes   = []string{"openid", "legacy"}
	offline = connector.Scopes{OfflineAccess: true}
)

func settings(l *connectortest.LinkedIn, mode string, more object) object {
	all := object{"clientID": "dex", "clientSecret": "secret", "baseURL": l.URL + "/oauth/v2/", "apiURL": l.URL + "/v2/", "mode": mode}
	maps.Copy(all, more)
	return all
}

func start(t *testing.T, mode string) (*connectortest.LinkedIn, connectortest.Connector) {
	t.Helper()
	l := connectortest.NewLinkedIn(t)
	return l, connectortest.Open(t, &linkedin.Config{}, settings(l, mode, nil), nil)
}

func TestSuite(t *testing.T) {
	for mode, path := range map[string]string{"openid": "/v2/userinfo", "legacy": "/v2/me"} {
		t.Run(mode, connectortest.Suite{
			New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
				l := connectortest.NewLinkedIn(t)
				return l.Hosted, func() connector.Config { return &linkedin.Config{} }, settings(l, mode, nil)
			},
			UserPath: path, Exchanges: true,
		}.Run)
	}
}

func TestIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		mode, answer string
		want         connector.Identity // of nobody for a refusal
	}{
		"OpenID Connect": {
			"openid", `{"sub": "7", "name": "Ada Lovelace", "given_name": "A", "family_name": "B", "email": "a@b.test", "email_verified": true}`,
			connector.Identity{UserID: "7", Username: "Ada Lovelace", Email: "a@b.test", EmailVerified: true},
		},
		"the parts of a name, and a text": {
			"openid", `{"sub": "7", "given_name": "Ada", "family_name": "L", "email": "a@b.test", "email_verified": "true"}`,
			connector.Identity{UserID: "7", Username: "Ada L", Email: "a@b.test", EmailVerified: true},
		},
		"nothing but an address": {
			"openid", `{"sub": "7", "name": null, "email": "a@b.test", "email_verified": null}`,
			connector.Identity{UserID: "7", Username: "a@b.test", Email: "a@b.test"},
		},
		"not verified": {
			"openid", `{"sub": "7", "name": "Ada", "email": "a@b.test", "email_verified": false}`,
			connector.Identity{UserID: "7", Username: "Ada", Email: "a@b.test"},
		},
		"no address":    {"openid", `{"sub": "7", "name": "Ada"}`, connector.Identity{}},
		"empty address": {"openid", `{"sub": "7", "name": "Ada", "email": ""}`, connector.Identity{}},
		"no id":         {"openid", `{"name": "Ada", "email": "a@b.test"}`, connector.Identity{}},
		"legacy": {
			"legacy", `{"id": "7", "localizedFirstName": "Ada", "localizedLastName": "L"}`,
			connector.Identity{UserID: "7", Username: "Ada L", Email: "ada@corp.example", EmailVerified: true},
		},
		"half a name": {
			"legacy", `{"id": "7", "localizedFirstName": "Ada", "localizedLastName": null}`,
			connector.Identity{UserID: "7", Username: "Ada", Email: "ada@corp.example", EmailVerified: true},
		},
		"no name": {
			"legacy", `{"id": 7}`, connector.Identity{UserID: "7", Username: "ada@corp.example", Email: "ada@corp.example", EmailVerified: true},
		},
		"legacy without id": {"legacy", `{"localizedFirstName": "Ada"}`, connector.Identity{}},
	} {
		l, conn := start(t, c.mode)
		l.Answer(map[string]string{"openid": "/v2/userinfo", "legacy": "/v2/me"}[c.mode], connectortest.Always(200, c.answer))
		id, err := l.SignIn(t, conn, connector.Scopes{})
		outcome := connector.Succeeded
		if c.want.UserID == "" {
			outcome = connector.AccountUnusable
		}
		if !cmp.Equal(c.want, id) || connector.OutcomeOf(err) != outcome {
			t.Errorf("%s: %s %v", name, cmp.Diff(c.want, id), err)
		}
	}
}

func TestLegacyAddress(t *testing.T) {
	for answer, want := range map[string]connector.Outcome{
		`{"elements": [{"handle~": {"emailAddress": "x@y.test"}}]}`: connector.Succeeded,
		`{"elements": [{"handle~": {"emailAddress": ""}}]}`:         connector.AccountUnusable,
		`{"elements": [{"handle~": null}, null]}`:                   connector.AccountUnusable,
		`{"elements": []}`: connector.AccountUnusable,
		`{}`:               connector.AccountUnusable,
		`[]`:               connector.Broken,
	} {
		l, c := start(t, "legacy")
		l.Answer("/v2/emailAddress", connectortest.Always(200, answer))
		if id, err := l.SignIn(t, c, connector.Scopes{}); connector.OutcomeOf(err) != want || err == nil && id.Email != "x@y.test" {
			t.Errorf("%s: %+v, %v", answer, id, err)
		}
	}
	l, c := start(t, "legacy")
	l.Answer("/v2/emailAddress", connectortest.Always(502, ""))
	if _, err := l.SignIn(t, c, connector.Scopes{}); connector.OutcomeOf(err) != connector.Unavailable {
		t.Error(err)
	}
}

func TestCalls(t *testing.T) {
	for mode, want := range map[string][]string{
		"openid": {"GET /v2/userinfo", "POST /oauth/v2/accessToken"},
		"legacy": {"GET /v2/emailAddress?q=members&projection=(elements*(handle~))", "GET /v2/me", "POST /oauth/v2/accessToken"},
	} {
		l, c := start(t, mode)
		if _, err := l.SignIn(t, c, connector.Scopes{Groups: true}); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, call := range l.Calls()[1:] { // without the login page
			asked = append(asked, call.Method+" "+call.URI)
			if call.Method == "POST" && (call.Form.Get("client_secret") != "secret" || call.Header.Get("Authorization") != "") {
				t.Error("the secret is not in the form")
			}
		}
		slices.Sort(asked) // some come at once
		if !slices.Equal(asked, want) {
			t.Errorf("%s: %q, want %q", mode, asked, want)
		}
	}
}

// LinkedIn sends the browser back with codes of its own.
func TestErrors(t *testing.T) {
	l, c := start(t, "openid")
	for _, code := range []string{"user_cancelled_login", "user_cancelled_authorize"} {
		l.Deny = code
		if _, err := l.SignIn(t, c, offline); connector.OutcomeOf(err) != connector.Cancelled {
			t.Errorf("%s: %v", code, err)
		}
	}
	for mode, others := range map[string][]string{"openid": {"r_liteprofile", "r_emailaddress"}, "legacy": {"openid", "profile", "email"}} {
		l, c := start(t, mode)
		l.Permissions = others
		if _, err := l.SignIn(t, c, offline); connector.OutcomeOf(err) != connector.Broken || !strings.Contains(err.Error(), "unauthorized_scope_error") {
			t.Errorf("%s, with the permissions of the other: %v", mode, err)
		}
	}
}

// LinkedIn refuses a verifier, so there is none unless it is switched on.
func TestChallenge(t *testing.T) {
	l := connectortest.NewLinkedIn(t)
	for challenge, want := range map[string]connector.Outcome{"": connector.Succeeded, "none": connector.Succeeded, "S256": connector.Broken} {
		c := connectortest.Open(t, &linkedin.Config{}, settings(l, "openid", object{"pkceChallenge": challenge}), nil)
		if _, err := l.SignIn(t, c, offline); connector.OutcomeOf(err) != want {
			t.Errorf("%q: %v", challenge, err)
		}
	}
	l.Refuse = nil
	c := connectortest.Open(t, &linkedin.Config{}, settings(l, "openid", object{"pkceChallenge": "S256"}), nil)
	l.NeedsPKCE = true
	if _, err := l.SignIn(t, c, offline); err != nil {
		t.Error(err)
	}
}

func TestRefresh(t *testing.T) {
	for _, mode := range modes {
		l, c := start(t, mode)
		l.Life = 5 * time.Second // which counts as over already
		id, err := l.SignIn(t, c, offline)
		if err != nil {
			t.Fatal(err)
		}
		l.Calls()
		if _, err := c.Refresh(t.Context(), offline, id); connector.OutcomeOf(err) != connector.Gone || len(l.Calls()) > 0 {
			t.Errorf("%s, after the access token has ended: %v", mode, err)
		}
		l.Refreshes = func([]string) bool { return true } // as partners have it
		if id, err = l.SignIn(t, c, offline); err != nil {
			t.Fatal(err)
		}
		l.Expire()
		if again, err := c.Refresh(t.Context(), offline, id); err != nil || again.UserID != id.UserID || again.Data == nil {
			t.Errorf("%s, with a refresh token: %+v, %v", mode, again, err)
		}
		id.UserID = "another"
		if _, err := c.Refresh(t.Context(), offline, id); connector.OutcomeOf(err) != connector.Gone {
			t.Errorf("%s, for another user: %v", mode, err)
		}
	}
}

// What upstream kept of a login is used, as long as LinkedIn takes it.
func TestOldData(t *testing.T) {
	l, c := start(t, "legacy")
	old := connector.Identity{
		UserID: l.User, Data: fmt.Appendf(nil, `{"accessToken": %q}`, l.Token("", l.User, "r_liteprofile", "r_emailaddress")),
	}
	if id, err := c.Refresh(t.Context(), offline, old); err != nil || id.UserID != l.User || id.Username != "Ada L" {
		t.Errorf("%+v, %v", id, err)
	}
	// A login of before the mode was changed ends, instead of failing for ever.
	openID := connectortest.Open(t, &linkedin.Config{}, settings(l, "openid", nil), nil)
	if _, err := openID.Refresh(t.Context(), offline, old); connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Error(err)
	}
	l.Expire()
	if _, err := c.Refresh(t.Context(), offline, old); connector.OutcomeOf(err) != connector.Gone {
		t.Error(err)
	}
}

func TestExchange(t *testing.T) {
	l, c := start(t, "openid")
	for name, e := range map[string]struct {
		answer string
		status int
		want   connector.Outcome
	}{
		"of nobody":         {`{"active": true}`, 200, connector.TokenRefused},
		"of several":        {`{"active": true, "client_id": ["dex"]}`, 200, connector.TokenRefused},
		"of another":        {`{"active": true, "client_id": "DEX"}`, 200, connector.TokenRefused},
		"revoked":           {`{"active": false, "status": "revoked", "client_id": "dex"}`, 200, connector.TokenRefused},
		"not a boolean":     {`{"active": "true", "client_id": "dex"}`, 200, connector.TokenRefused},
		"no such token":     {`{"error": "invalid_request"}`, 400, connector.TokenRefused},
		"not our secret":    {`{"error": "invalid_client"}`, 401, connector.Broken},
		"LinkedIn is down":  {``, 502, connector.Unavailable},
		"made for us, good": {`{"active": true, "client_id": "dex"}`, 200, connector.Succeeded},
	} {
		token := l.Token("", l.User, "openid", "profile", "email")
		l.Answer("/oauth/v2/introspectToken", connectortest.Always(e.status, e.answer))
		id, err := c.(connector.TokenIdentity).TokenIdentity(t.Context(), offline, connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: token})
		if connector.OutcomeOf(err) != e.want || err != nil && id.UserID != "" {
			t.Errorf("%s: %v, want %s", name, err, e.want)
		}
	}
}

func TestSettings(t *testing.T) {
	for want, more := range map[string]object{
		"mode: must be one of openid, legacy":            {"mode": "oidc"},
		"pkceChallenge: must be one of S256, none":       {"mode": "openid", "pkceChallenge": "plain"},
		"baseURL: must be an http":                       {"mode": "openid", "baseURL": "linkedin"},
		"apiURL: must be an http":                        {"mode": "openid", "apiURL": "linkedin"},
		"mode: is missing: works only with applications": {},
		"insecureSkipVerify: lets anybody":               {"mode": "legacy", "insecureSkipVerify": true},
	} {
		more["ClientID"], more["clientsecret"] = "x", "y"
		problems := connectortest.Decode(t, &linkedin.Config{}, more)
		warns := strings.Contains(want, "is missing") || strings.Contains(want, "lets anybody")
		if len(problems) != 1 || problems[0].Warning != warns || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%v, want %s", problems, want)
		}
	}
	// What upstream's settings do stays as it is.
	usual := &linkedin.Config{}
	connectortest.Decode(t, usual, object{"clientID": "x", "clientSecret": "y"})
	want := linkedin.Config{
		ClientID: "x", ClientSecret: "y", Mode: "legacy", PKCEChallenge: "none",
		BaseURL: "https://www.linkedin.com/oauth/v2", APIURL: "https://api.linkedin.com/v2",
	}
	if diff := cmp.Diff(want, *usual); diff != "" {
		t.Error(diff)
	}
}

// FuzzAnswers gives the connector any answers.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"sub": "7", "name": "Ada", "email": "a@b.c", "email_verified": true}`), []byte(`{"id": "7", "localizedFirstName": "Ada"}`), []byte(`{"elements": [{"handle~": {"emailAddress": "a@b.c"}}]}`))
	f.Add([]byte(`{"sub": 7, "email": "a@b.c", "email_verified": "true"}`), []byte(`{"id": 7, "localizedLastName": null}`), []byte(`{"elements": [{"handle~": null}]}`))
	l := connectortest.NewLinkedIn(f)
	conns := map[string]connectortest.Connector{}
	for _, mode := range modes {
		conns[mode] = connectortest.Open(f, &linkedin.Config{}, settings(l, mode, nil), nil)
	}
	f.Fuzz(func(t *testing.T, userinfo, me, email []byte) {
		l.Answer("/v2/userinfo", connectortest.Always(200, string(userinfo)))
		l.Answer("/v2/me", connectortest.Always(200, string(me)))
		l.Answer("/v2/emailAddress", connectortest.Always(200, string(email)))
		for mode, c := range conns {
			id, err := l.SignIn(t, c, offline)
			if err == nil && (id.UserID == "" || id.Email == "" || id.Username == "" || id.Data == nil) {
				t.Errorf("%s: %s %s %s: %+v", mode, userinfo, me, email, id)
			}
		}
		l.Calls() // forgets them
	})
}
