package google_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/google"
	"dex/internal/oauth"
)

type object = connectortest.Object

var (
	groups  = connector.Scopes{Groups: true}
	offline = connector.Scopes{OfflineAccess: true}
)

// start opens a connector to a Google. Without groups in more it looks up none.
func start(t testing.TB, more object) (*connectortest.Google, connectortest.Connector) {
	t.Helper()
	g := connectortest.NewGoogle(t)
	return g, open(t, g, more)
}

func open(t testing.TB, g *connectortest.Google, more object) connectortest.Connector {
	t.Helper()
	settings := g.Settings()
	maps.Copy(settings, more)
	return connectortest.Open(t, &google.Config{}, settings, nil)
}

// withKey returns settings by which an administrator looks up groups.
func withKey(t testing.TB, g *connectortest.Google, more object) object {
	all := object{"serviceAccountFilePath": g.File(t, g.Key()), "domainToAdminEmail": object{"corp.example": "admin@corp.example"}}
	maps.Copy(all, more)
	return all
}

func startWithKey(t testing.TB, more object) (*connectortest.Google, connectortest.Connector) {
	t.Helper()
	g := connectortest.NewGoogle(t)
	return g, open(t, g, withKey(t, g, more))
}

func TestSuite(t *testing.T) {
	connectortest.Suite{
		New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
			g := connectortest.NewGoogle(t)
			return g.Hosted, func() connector.Config { return &google.Config{} }, g.Settings()
		},
		Renews: true, Exchanges: true,
	}.Run(t)
}

func TestIdentity(t *testing.T) {
	g, c := startWithKey(t, nil)
	g.NeedsPKCE = true
	id, err := g.SignIn(t, c, groups)
	want := connector.Identity{
		UserID: "1001", Username: "Ada L", Email: "ada@corp.example", EmailVerified: true,
		Groups: []string{"dev@corp.example", "ops@corp.example"},
	}
	if diff := cmp.Diff(want, id); diff != "" || err != nil {
		t.Error(diff, err)
	}
	g.Says = object{"name": nil, "email_verified": "true"}
	want = connector.Identity{UserID: "1001", Username: "ada@corp.example", Email: "ada@corp.example", EmailVerified: true}
	if id, err = g.SignIn(t, c, connector.Scopes{}); !cmp.Equal(want, id) || err != nil {
		t.Error(cmp.Diff(want, id), err)
	}
	g.Says = object{"name": nil, "email": nil, "email_verified": true, "hd": nil}
	want = connector.Identity{UserID: "1001"}
	if id, err = g.SignIn(t, c, connector.Scopes{}); !cmp.Equal(want, id) || err != nil {
		t.Error(cmp.Diff(want, id), err)
	}
	if _, err = g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Errorf("groups without an address: %v", err)
	}
	g.Says = object{"email_verified": false}
	if id, err = g.SignIn(t, c, groups); id.Groups != nil || err != nil {
		t.Errorf("groups by an address that may be another's: %+v, %v", id, err)
	}
	g.Says = nil
	for setting, name := range map[string]string{"email": "ada@corp.example", "localPart": "ada"} {
		if id, err = g.SignIn(t, open(t, g, object{"preferredUsername": setting}), groups); id.PreferredUsername != name || err != nil {
			t.Errorf("%s: %+v, %v", setting, id, err)
		}
	}
}

func TestBadIDTokens(t *testing.T) {
	for name, c := range map[string]struct {
		says  object
		nonce func(string) string
		want  connector.Outcome
	}{
		"another audience": {object{"aud": "other"}, nil, connector.Broken},
		"another issuer":   {object{"iss": "https://accounts.google.com.evil.test"}, nil, connector.Broken},
		"expired":          {object{"exp": time.Now().Add(-time.Minute).Unix()}, nil, connector.Broken},
		"another login":    {nil, func(string) string { return "another" }, connector.TokenRefused},
		"given to another": {object{"azp": "other"}, nil, connector.Broken},
	} {
		g, conn := start(t, nil)
		g.Says, g.NonceOf = c.says, c.nonce
		if id, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != c.want || id.UserID != "" {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	g, conn := start(t, nil)
	g.NoIDToken = true
	if _, err := g.SignIn(t, conn, groups); connector.OutcomeOf(err) != connector.Broken {
		t.Error(err)
	}
}

func TestHostedDomains(t *testing.T) {
	one, many := object{"hostedDomains": []string{"Corp.example"}}, object{"hostedDomains": []string{"a.example", "corp.example"}}
	for name, c := range map[string]struct {
		settings object
		domain   any
		hint     string
		want     connector.Outcome
	}{
		"any":                  {nil, "corp.example", "", connector.Succeeded},
		"the one":              {one, "corp.example", "Corp.example", connector.Succeeded},
		"one of many":          {many, "corp.example", "*", connector.Succeeded},
		"another":              {one, "b.example", "Corp.example", connector.Refused},
		"another than many":    {many, "b.example", "*", connector.Refused},
		"a personal account":   {one, nil, "Corp.example", connector.Refused},
		"an empty one":         {one, "", "Corp.example", connector.Refused},
		"no text":              {one, []string{"corp.example"}, "Corp.example", connector.Refused},
		"a part of its ending": {one, "evilcorp.example", "Corp.example", connector.Refused},
	} {
		g, conn := start(t, c.settings)
		before, err := g.SignIn(t, open(t, g, nil), offline)
		if err != nil {
			t.Fatal(err)
		}
		g.Says = object{"hd": c.domain}
		if _, err := g.SignIn(t, conn, connector.Scopes{}); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if _, err := conn.Refresh(t.Context(), connector.Scopes{}, before); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s at a refresh: %v, want %s", name, err, c.want)
		}
		for _, token := range []connector.SubjectToken{
			{Type: oauth.TokenTypeID, Token: g.Sign(connectortest.Merged(g.Claims("1001"), times()))},
			{Type: oauth.TokenTypeAccess, Token: g.Token("", "1001", "openid")},
		} {
			if _, err := conn.(connector.TokenIdentity).TokenIdentity(t.Context(), groups, token); connector.OutcomeOf(err) != c.want {
				t.Errorf("%s at an exchange: %v, want %s", name, err, c.want)
			}
		}
		if got := begin(t, conn, connector.LoginRequest{}).Get("hd"); got != c.hint {
			t.Errorf("%s: the hint is %q", name, got)
		}
	}
}

func times() object {
	return object{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
}

// begin returns the parameters of an authorization request.
func begin(t *testing.T, c connector.Callback, r connector.LoginRequest) url.Values {
	t.Helper()
	to, err := c.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestRequest(t *testing.T) {
	_, c := start(t, nil)
	_, custom := start(t, object{"scopes": []string{"openid", "email", "email"}, "promptType": "select_account"})
	_, empty := start(t, object{"promptType": ""})
	params := begin(t, c, connector.LoginRequest{State: "s"})
	for _, name := range []string{"nonce", "code_challenge"} {
		if params.Get(name) == "" {
			t.Errorf("there is no %s", name)
		}
		params.Del(name)
	}
	want := url.Values{
		"client_id": {"dex"}, "redirect_uri": {connectortest.CallbackURL}, "response_type": {"code"}, "scope": {"openid profile email"},
		"state": {"s"}, "code_challenge_method": {"S256"},
	}
	if diff := cmp.Diff(want, params); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		c    connector.Callback
		r    connector.LoginRequest
		want map[string]string
	}{
		"offline":             {c, connector.LoginRequest{Scopes: offline}, map[string]string{"access_type": "offline", "prompt": "consent"}},
		"another prompt":      {custom, connector.LoginRequest{Scopes: offline}, map[string]string{"prompt": "select_account", "scope": "openid email"}},
		"no prompt":           {empty, connector.LoginRequest{Scopes: offline}, map[string]string{"access_type": "offline", "prompt": ""}},
		"the application's":   {c, connector.LoginRequest{Prompt: []string{"login"}}, map[string]string{"access_type": "", "prompt": "select_account"}},
		"both":                {c, connector.LoginRequest{Scopes: offline, Prompt: []string{"login"}}, map[string]string{"prompt": "consent select_account"}},
		"a hint":              {c, connector.LoginRequest{LoginHint: "ada", UserID: "1001"}, map[string]string{"login_hint": "ada"}},
		"a user who is known": {c, connector.LoginRequest{UserID: "1001"}, map[string]string{"login_hint": "1001"}},
	} {
		params := begin(t, c.c, c.r)
		for param, value := range c.want {
			if params.Get(param) != value {
				t.Errorf("%s: %s is %q, want %q", name, param, params.Get(param), value)
			}
		}
	}
}

func TestCalls(t *testing.T) {
	g, c := startWithKey(t, object{"groups": []string{"ops@corp.example"}})
	if calls := g.Calls(); len(calls) != 0 {
		t.Errorf("Open asks for %v", calls)
	}
	first := []string{
		"GET /.well-known/openid-configuration", "POST /token", "GET /oauth2/v3/certs", "POST /token",
		"GET /admin/directory/v1/groups?fields=groups%28email%29%2CnextPageToken&maxResults=200&userKey=ada%40corp.example",
	}
	again := []string{first[1], first[4]}
	for _, want := range [][]string{first, again} {
		if _, err := g.SignIn(t, c, connector.Scopes{}); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, call := range g.Calls() {
			if !strings.Contains(call.URI, "/o/oauth2/v2/auth") { // the login page
				asked = append(asked, call.Method+" "+call.URI)
			}
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%q, want %q", asked, want)
		}
	}
	plain := open(t, g, withKey(t, g, nil))
	if _, err := g.SignIn(t, plain, connector.Scopes{}); err != nil || len(g.Calls()) != 4 {
		t.Error("groups are looked up although nobody wants them")
	}
}

func TestProbe(t *testing.T) {
	g, c := startWithKey(t, nil)
	probe := c.(connector.Prober).Probe
	if err := probe(t.Context()); err != nil {
		t.Error(err)
	}
	g.Calls()
	if err := probe(t.Context()); err != nil || len(g.Calls()) != 1 {
		t.Errorf("the token is not kept: %v", err)
	}
	bad := open(t, g, withKey(t, g, object{"domainToAdminEmail": object{"corp.example": "nobody@corp.example"}}))
	if err := bad.(connector.Prober).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "unauthorized_client") {
		t.Error(err)
	}
	g.Down = true
	if err := probe(t.Context()); connector.OutcomeOf(err) != connector.Unavailable {
		t.Error(err)
	}
	if _, err := g.SignIn(t, c, groups); connector.OutcomeOf(err) != connector.Unavailable {
		t.Error(err)
	}
}
