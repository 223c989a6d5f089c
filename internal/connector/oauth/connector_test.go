package oauth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/oauth"
)

const (
	callbackURL    = "https://dex.test/callback"
	ownCallbackURL = callbackURL + "/oauth"
)

type object = connectortest.Object

// A provider is what the connectors under test sign in at, and their log.
type provider struct {
	*connectortest.Provider
	t   *testing.T
	log bytes.Buffer
}

func newProvider(t *testing.T) *provider {
	p := &provider{Provider: connectortest.New(t), t: t}
	p.Answer = object{"refresh_token": "refresh"}
	p.knows(`{"id": "u-1"}`)
	return p
}

// knows makes the provider say something of the user, in JSON.
func (p *provider) knows(user string) { p.UserInfo = json.RawMessage(user) }

// fails makes the provider answer with a status when it is asked about the user.
func (p *provider) fails(status int) {
	p.Info = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

type connection interface {
	connector.Callback
	connector.Refresher
	Close() error
}

func decode(t *testing.T, settings object) (*oauth.Config, config.Problems) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	var c oauth.Config
	return &c, section.Decode(&c)
}

func (p *provider) open(more object) connection {
	p.t.Helper()
	settings := object{
		"clientID": "dex", "clientSecret": "secret", "redirectURI": callbackURL,
		"authorizationURL": p.URL + "/auth?own=1", "tokenURL": p.URL + "/token", "userInfoURL": p.URL + "/userinfo",
	}
	maps.Copy(settings, more)
	c, problems := decode(p.t, settings)
	if err := problems.Err(); err != nil {
		p.t.Fatal(err)
	}
	instance, err := c.Open(p.t.Context(), connector.Env{CallbackURL: callbackURL, OwnCallbackURL: ownCallbackURL, Log: slog.New(slog.NewTextHandler(&p.log, nil))})
	if err != nil {
		p.t.Fatal(err)
	}
	conn := instance.(connection)
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (p *provider) begin(c connection) (url.Values, []byte) {
	p.t.Helper()
	to, err := c.Begin(p.t.Context(), connector.LoginRequest{CallbackURL: callbackURL, State: "the state"})
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	return u.Query(), to.Data
}

func (p *provider) signIn(c connection, s connector.Scopes) (connector.Identity, error) {
	p.t.Helper()
	_, data := p.begin(c)
	return c.HandleCallback(p.t.Context(), connector.Return{
		CallbackURL: callbackURL, Scopes: s, Data: data, Request: httptest.NewRequest(http.MethodGet, callbackURL+"?code=the+code", nil),
	})
}

func TestSettings(t *testing.T) {
	_, problems := decode(t, object{"pkceChallenge": "s256", "clientAuthMethod": "basic", "tokenURL": "token"})
	for _, want := range []string{
		"clientID: is missing", "authorizationURL: is missing", "tokenURL: must be", "userInfoURL: is missing", "pkceChallenge: must be",
		"clientAuthMethod: must be",
	} {
		if !strings.Contains(problems.Err().Error(), want) {
			t.Errorf("no %q in %v", want, problems)
		}
	}
}

func TestRequest(t *testing.T) {
	p := newProvider(t)
	c := p.open(object{"scopes": []string{"a", "b"}})
	got, data := p.begin(c)
	for name, want := range map[string]string{
		"own": "1", "client_id": "dex", "redirect_uri": callbackURL, "response_type": "code", "state": "the state", "scope": "a b",
		"code_challenge_method": "S256",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if _, err := p.signIn(c, connector.Scopes{}); err != nil {
		t.Fatal(err)
	}
	if p.Form.Get("code") != "the code" || p.Form.Get("redirect_uri") != callbackURL || len(p.Form.Get("code_verifier")) != len(data) {
		t.Errorf("the token request is %v", p.Form)
	}
	if p.Shown != "Bearer access" {
		t.Errorf("userinfo is asked with %q", p.Shown)
	}
	plain, data := p.begin(p.open(object{"pkceChallenge": "none"}))
	if plain.Has("code_challenge") || plain.Has("scope") || len(data) > 0 {
		t.Errorf("without a challenge: %v", plain)
	}
	if _, err := p.open(object{"redirectURI": "https://other.test/"}).Begin(t.Context(), connector.LoginRequest{CallbackURL: callbackURL}); err == nil {
		t.Error("another callback is fine")
	}
}

func TestIdentity(t *testing.T) {
	withGroups := connector.Scopes{Groups: true}
	inToken := "x." + base64.RawURLEncoding.EncodeToString([]byte(`{"groups": ["c", "a"]}`)) + ".y"
	for name, c := range map[string]struct {
		settings      object
		userInfo      string
		access        string
		scopes        connector.Scopes
		want          connector.Identity
		fails, denied bool
	}{
		"text":                {userInfo: `{"id": "u-1"}`, want: connector.Identity{UserID: "u-1"}},
		"small number":        {userInfo: `{"id": 1000}`, want: connector.Identity{UserID: "1000"}},
		"long number":         {userInfo: `{"id": 12345678}`, want: connector.Identity{UserID: "1.2345678e+07"}},
		"long number, exact":  {settings: object{"exactNumericIDs": true}, userInfo: `{"id": 12345678901234567890}`, want: connector.Identity{UserID: "12345678901234567890"}},
		"no id":               {userInfo: `{"sub": "u-1"}`, fails: true},
		"empty id":            {userInfo: `{"id": ""}`, fails: true},
		"no object":           {userInfo: `[]`, fails: true},
		"all":                 {userInfo: `{"id": "u", "user_name": "Jane", "preferred_username": "jd", "email": "j@x", "email_verified": true}`, want: connector.Identity{UserID: "u", Username: "Jane", PreferredUsername: "jd", Email: "j@x", EmailVerified: true}},
		"other keys":          {settings: object{"userIDKey": "who.id", "claimMapping": object{"userNameKey": "n", "emailKey": "m", "emailVerifiedKey": "v", "preferredUsernameKey": "p"}}, userInfo: `{"who": {"id": "u"}, "n": "Jane", "m": "j@x", "v": true, "p": "jd"}`, want: connector.Identity{UserID: "u", Username: "Jane", PreferredUsername: "jd", Email: "j@x", EmailVerified: true}},
		"verified, skipped":   {settings: object{"insecureSkipEmailVerified": true}, userInfo: `{"id": "u"}`, want: connector.Identity{UserID: "u", EmailVerified: true}},
		"verified, said":      {settings: object{"insecureSkipEmailVerified": true}, userInfo: `{"id": "u", "email_verified": false}`, want: connector.Identity{UserID: "u"}},
		"groups":              {scopes: withGroups, userInfo: `{"id": "u", "groups": ["b", {"name": "a"}, {"x": 1}, 7, "b"]}`, want: connector.Identity{UserID: "u", Groups: []string{"b", "a"}}},
		"groups, not asked":   {userInfo: `{"id": "u", "groups": ["b"]}`, want: connector.Identity{UserID: "u"}},
		"groups with commas":  {scopes: withGroups, userInfo: `{"id": "u", "groups": "b, a"}`, want: connector.Identity{UserID: "u", Groups: []string{"b", "a"}}},
		"groups in the token": {scopes: withGroups, access: inToken, userInfo: `{"id": "u", "groups": ["a"]}`, want: connector.Identity{UserID: "u", Groups: []string{"a", "c"}}},
		"groups of anybody":   {settings: object{"insecureSkipVerify": true}, scopes: withGroups, access: inToken, userInfo: `{"id": "u"}`, want: connector.Identity{UserID: "u"}},
		"allowed":             {settings: object{"allowedGroups": []string{"b"}}, scopes: withGroups, userInfo: `{"id": "u", "groups": ["a", "b"]}`, want: connector.Identity{UserID: "u", Groups: []string{"b"}}},
		"denied":              {settings: object{"allowedGroups": []string{"z"}}, userInfo: `{"id": "u", "groups": ["a", "b"]}`, denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.knows(c.userInfo)
			if c.access != "" {
				p.Answer["access_token"] = c.access
			}
			got, err := p.signIn(p.open(c.settings), c.scopes)
			_, isDenied := errors.AsType[*connector.Denied](err)
			if (err != nil) != (c.fails || c.denied) || isDenied != c.denied {
				t.Fatalf("%+v, %v", got, err)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if told := strings.Contains(p.log.String(), "exactNumericIDs"); told != (name == "long number") {
				t.Errorf("the log says %s", p.log.String())
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	for query, wantDenied := range map[string]bool{
		"error=access_denied&error_description=no": true, "error=server_error&error_description=oops": false, "": false,
	} {
		_, err := c.HandleCallback(t.Context(), connector.Return{CallbackURL: callbackURL, Request: httptest.NewRequest(http.MethodGet, callbackURL+"?"+query, nil)})
		_, isDenied := errors.AsType[*connector.Denied](err)
		if err == nil || isDenied != wantDenied {
			t.Errorf("%q: %v", query, err)
		}
		if strings.Contains(query, "oops") && !strings.Contains(err.Error(), `"server_error" "oops"`) {
			t.Errorf("what the provider said is lost: %v", err)
		}
	}
	p.Token = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
		_, _ = w.Write([]byte("access_token=by+form&token_type=bearer"))
		return true
	}
	if _, err := p.signIn(c, connector.Scopes{}); err != nil || p.Shown != "Bearer by form" {
		t.Errorf("an answer as a form: %v, %q", err, p.Shown)
	}
	p.fails(http.StatusTeapot)
	if _, err := p.signIn(c, connector.Scopes{}); err == nil {
		t.Error("userinfo that fails signs in")
	}
}

// A provider that wants the secret in the body is not sent each code twice.
func TestCodesAreNotBurnt(t *testing.T) {
	p := newProvider(t)
	p.Refuse = func(r *http.Request) (int, string) {
		if _, _, basic := r.BasicAuth(); basic {
			return http.StatusUnauthorized, "invalid_client"
		}
		return 0, ""
	}
	c := p.open(nil)
	for range 3 {
		if _, err := p.signIn(c, connector.Scopes{}); err != nil {
			t.Fatal(err)
		}
	}
	if p.Asked["/token"] != 4 {
		t.Errorf("asked %d times for three codes, want 4", p.Asked["/token"])
	}
}

func TestRefresh(t *testing.T) {
	offline := connector.Scopes{OfflineAccess: true, Groups: true}
	p := newProvider(t)
	p.knows(`{"id": "u", "user_name": "Old", "groups": ["a"]}`)
	c := p.open(object{"allowedGroups": []string{"a"}})
	id, err := p.signIn(c, offline)
	if err != nil || string(id.Data) != `{"accessToken":"access","refreshToken":"refresh"}` {
		t.Fatalf("%s, %v", id.Data, err)
	}
	p.Answer = object{"access_token": "access 2", "refresh_token": nil}
	p.knows(`{"id": "u", "user_name": "New", "groups": ["a", "b"]}`)
	got, err := c.Refresh(t.Context(), offline, id)
	want := connector.Identity{UserID: "u", Username: "New", Groups: []string{"a"}, Data: []byte(`{"accessToken":"access 2","refreshToken":"refresh"}`)}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || p.Form.Get("refresh_token") != "refresh" {
		t.Errorf("%v, %v: %s", p.Form, err, diff)
	}
	upstreams := connector.Identity{UserID: "u", Data: []byte(`{"AccessToken":"old"}`)}
	if _, err := c.Refresh(t.Context(), offline, upstreams); err != nil || p.Shown != "Bearer old" {
		t.Errorf("without a refresh token: %v, %q", err, p.Shown)
	}

	p.knows(`{"id": "u", "groups": ["b"]}`)
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("no longer allowed: %v", err)
	}
	p.knows(`{"id": "other", "groups": ["a"]}`)
	if _, err := c.Refresh(t.Context(), offline, id); !errors.Is(err, connector.ErrGone) {
		t.Errorf("another user: %v", err)
	}
	p.fails(http.StatusUnauthorized)
	if _, err := c.Refresh(t.Context(), offline, upstreams); !errors.Is(err, connector.ErrGone) {
		t.Errorf("access token is over: %v", err)
	}
	p.fails(http.StatusInternalServerError)
	if _, err := c.Refresh(t.Context(), offline, id); err == nil || errors.Is(err, connector.ErrGone) {
		t.Errorf("provider is down: %v", err)
	}
	p.Refuse = func(*http.Request) (int, string) { return http.StatusBadRequest, "invalid_grant" }
	if _, err := c.Refresh(t.Context(), offline, id); !errors.Is(err, connector.ErrGone) {
		t.Errorf("refused: %v", err)
	}
	if _, err := c.Refresh(t.Context(), offline, connector.Identity{UserID: "u"}); !errors.Is(err, connector.ErrGone) {
		t.Errorf("nothing kept: %v", err)
	}
}
