package keystone_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/keystone"
)

type object = map[string]any

// cloud is a Keystone with an administrator and one user, whose password is secret.
type cloud struct {
	*httptest.Server
	user               object // the record of u/1
	groups             []string
	selfRead           int // the status of a user who reads their own record
	fault              int // the status of everything but tokens
	receipt            bool
	expired, truncated bool
	expires            time.Time

	tokens []object // the identities that asked for one
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{user: object{"id": "u/1", "name": "Jane", "email": "jane@example.com", "enabled": true}, groups: []string{"staff", "admins"}, expires: time.Now().Add(time.Hour)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Auth-Token")
		switch path := r.Method + " " + r.URL.EscapedPath(); {
		case path == "POST /v3/auth/tokens/":
			c.authenticate(t, w, r)
		case c.fault != 0:
			w.WriteHeader(c.fault)
		case path == "GET /v3":
		case token != "token of u/1" && token != "token of admin":
			w.WriteHeader(http.StatusUnauthorized)
		case path == "GET /v3/users/u%2F1" && token == "token of u/1" && c.selfRead != 0:
			w.WriteHeader(c.selfRead)
		case path == "GET /v3/users/u%2F1" && c.user != nil:
			_ = json.NewEncoder(w).Encode(object{"user": c.user})
		case path == "GET /v3/users/u%2F1/groups":
			var list []object
			for _, g := range c.groups {
				list = append(list, object{"id": "g", "name": g})
			}
			_ = json.NewEncoder(w).Encode(object{"groups": list, "truncated": c.truncated})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) authenticate(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var body struct {
		Auth struct {
			Identity object `json:"identity"`
		} `json:"auth"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("token request: %v, %v", err, r.Header)
	}
	identity := body.Auth.Identity
	c.tokens = append(c.tokens, identity)
	id, name := "", ""
	text, _ := json.Marshal(identity)
	switch {
	case strings.Contains(string(text), `"name":"JANE"`) && strings.Contains(string(text), `"password":"secret"`):
		id, name = "u/1", "Jane"
	case strings.Contains(string(text), `"name":"admin"`), strings.Contains(string(text), `"id":"ac"`):
		id, name = "admin", "admin"
	}
	if id == "" || c.receipt {
		if c.receipt {
			w.Header().Set("Openstack-Auth-Receipt", "r")
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if c.expired {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(object{"error": object{"code": 401, "message": "The password is expired and needs to be changed for user: u/1."}})
		return
	}
	w.Header().Set("X-Subject-Token", "token of "+id)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(object{"token": object{"user": object{"id": id, "name": name}, "expires_at": c.expires}})
}

func decode(t *testing.T, settings object) (*keystone.Config, config.Problems) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	var c keystone.Config
	return &c, section.Decode(&c)
}

type source interface {
	connector.Password
	connector.Prober
	Close() error
}

func (c *cloud) open(t *testing.T, more object) source {
	t.Helper()
	settings := object{"keystoneHost": c.URL, "domain": "default", "keystoneUsername": "admin", "keystonePassword": "a"}
	maps.Copy(settings, more)
	cfg, problems := decode(t, settings)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	instance, err := cfg.Open(t.Context(), connector.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := instance.(source)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSettings(t *testing.T) {
	_, problems := decode(t, object{"keystoneHost": "keystone", "applicationCredentialID": "x"})
	for _, want := range []string{"keystoneHost: must be", "domain: is missing", "applicationCredentialID: and applicationCredentialSecret"} {
		if !strings.Contains(problems.Err().Error(), want) {
			t.Errorf("no %q in %v", want, problems)
		}
	}
	c := newCloud(t)
	s := c.open(t, object{"keystoneUsername": ""})
	if _, refreshes := s.(connector.Refresher); refreshes {
		t.Error("it refreshes without an account that may ask about users")
	}
}

func TestLogin(t *testing.T) {
	full := connector.Identity{UserID: "u/1", Username: "Jane", Email: "jane@example.com", EmailVerified: true}
	bare := connector.Identity{UserID: "u/1", Username: "Jane"}
	grouped := full
	grouped.Groups = []string{"staff", "admins"}
	staff := full
	staff.Groups = []string{"staff"}
	withGroups := connector.Scopes{Groups: true}
	for name, c := range map[string]struct {
		edit          func(*cloud)
		settings      object
		scopes        connector.Scopes
		password      string
		want          connector.Identity
		wrong         bool
		fails, denied bool
	}{
		"good":                     {password: "secret", want: full},
		"groups":                   {scopes: withGroups, password: "secret", want: grouped},
		"wrong password":           {password: "other", wrong: true},
		"no password":              {wrong: true},
		"may not read herself":     {edit: func(c *cloud) { c.selfRead = http.StatusForbidden }, password: "secret", want: full},
		"may not, nobody else may": {settings: object{"keystoneUsername": ""}, edit: func(c *cloud) { c.selfRead = http.StatusForbidden }, password: "secret", want: bare},
		"may not, and it matters":  {settings: object{"keystoneUsername": "", "allowedGroups": []string{"staff"}}, edit: func(c *cloud) { c.selfRead = http.StatusForbidden }, password: "secret", fails: true},
		"groups are cut short":     {scopes: withGroups, edit: func(c *cloud) { c.truncated = true }, password: "secret", fails: true},
		"another's record":         {edit: func(c *cloud) { c.user["id"] = "u/2" }, password: "secret", fails: true},
		"password has expired":     {edit: func(c *cloud) { c.expired = true }, password: "secret", denied: true},
		"no address":               {edit: func(c *cloud) { delete(c.user, "email") }, password: "secret", want: bare},
		"allowed, not asked":       {settings: object{"allowedGroups": []string{"staff"}}, password: "secret", want: full},
		"allowed, reduced":         {settings: object{"allowedGroups": []string{"staff"}}, scopes: withGroups, password: "secret", want: staff},
		"not allowed":              {settings: object{"allowedGroups": []string{"board"}}, password: "secret", denied: true},
		"second factor":            {edit: func(c *cloud) { c.receipt = true }, password: "secret", denied: true},
		"groups can't be asked":    {edit: func(c *cloud) { c.fault = http.StatusInternalServerError }, scopes: withGroups, password: "secret", fails: true},
		"down":                     {edit: func(c *cloud) { c.Close() }, password: "secret", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			k := newCloud(t)
			if c.edit != nil {
				c.edit(k)
			}
			got, ok, err := k.open(t, c.settings).Login(t.Context(), c.scopes, "JANE", c.password)
			_, isDenied := errors.AsType[*connector.Denied](err)
			if (err != nil) != (c.fails || c.denied) || isDenied != c.denied || ok != (err == nil && !c.wrong) {
				t.Fatalf("%+v, %t, %v", got, ok, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDomains(t *testing.T) {
	for text, want := range map[string]object{
		"default": {"id": "default"}, "2b2cU8CP": {"name": "2b2cU8CP"}, "Default": {"name": "Default"},
		"08a8684b-db88-4b73-90a9-3cd1661f5466":   {"id": "08a8684b-db88-4b73-90a9-3cd1661f5466"},
		"08a8684bdb884b7390a93cd1661f5466":       {"id": "08a8684bdb884b7390a93cd1661f5466"},
		"{08a8684b-db88-4b73-90a9-3cd1661f5466}": {"id": "{08a8684b-db88-4b73-90a9-3cd1661f5466}"},
	} {
		k := newCloud(t)
		if _, _, err := k.open(t, object{"domain": text}).Login(t.Context(), connector.Scopes{}, "JANE", "secret"); err != nil {
			t.Fatal(err)
		}
		got := k.tokens[0]["password"].(object)["user"].(object)["domain"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestRefresh(t *testing.T) {
	last := connector.Identity{UserID: "u/1", Username: "Old", Email: "old@example.com"}
	withGroups := connector.Scopes{Groups: true}
	k := newCloud(t)
	s := k.open(t, object{"allowedGroups": []string{"staff"}}).(connector.Refresher)
	for range 3 {
		got, err := s.Refresh(t.Context(), withGroups, last)
		want := connector.Identity{UserID: "u/1", Username: "Jane", Email: "jane@example.com", EmailVerified: true, Groups: []string{"staff"}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
	}
	if len(k.tokens) != 1 {
		t.Errorf("%d tokens for three questions", len(k.tokens))
	}
	k.groups = nil
	if _, err := s.Refresh(t.Context(), connector.Scopes{}, last); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("no longer allowed: %v", err)
	}
	k.user["enabled"] = false
	if _, err := s.Refresh(t.Context(), connector.Scopes{}, last); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("disabled: %v", err)
	}
	k.user = nil
	if _, err := s.Refresh(t.Context(), connector.Scopes{}, last); !errors.Is(err, connector.ErrGone) {
		t.Errorf("gone: %v", err)
	}
	k.fault = http.StatusBadGateway
	if _, err := s.Refresh(t.Context(), connector.Scopes{}, last); err == nil || errors.Is(err, connector.ErrGone) {
		t.Errorf("down: %v", err)
	}
	if err := s.(connector.Prober).Probe(t.Context()); err == nil {
		t.Error("a Keystone that is down seems fine")
	}
	k.fault = 0
	if err := s.(connector.Prober).Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhoAsksAboutUsers(t *testing.T) {
	last := connector.Identity{UserID: "u/1"}
	k := newCloud(t)
	k.expires = time.Now() // tokens expire at once
	s := k.open(t, object{"adminDomain": "admins"}).(connector.Refresher)
	for range 2 {
		if _, err := s.Refresh(t.Context(), connector.Scopes{}, last); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(object{"name": "admins"}, k.tokens[1]["password"].(object)["user"].(object)["domain"]); diff != "" {
		t.Error(diff)
	}
	byCredential := k.open(t, object{
		"keystoneUsername": "", "applicationCredentialID": "ac", "applicationCredentialSecret": "s",
	}).(connector.Refresher)
	if _, err := byCredential.Refresh(t.Context(), connector.Scopes{}, last); err != nil {
		t.Fatal(err)
	}
	wrong := k.open(t, object{"keystoneUsername": "nobody"}).(connector.Refresher)
	if _, err := wrong.Refresh(t.Context(), connector.Scopes{}, last); err == nil || errors.Is(err, connector.ErrGone) ||
		!strings.Contains(err.Error(), "the account that asks about users") {
		t.Errorf("an administrator that is refused: %v", err)
	}
}

// Passwords and tokens are not sent to an address that Keystone, or somebody in between, redirects to.
func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer elsewhere.Close()
	redirects := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusPermanentRedirect))
	defer redirects.Close()
	s := newCloud(t).open(t, object{"keystoneHost": redirects.URL})
	if _, ok, err := s.Login(t.Context(), connector.Scopes{}, "JANE", "secret"); ok || err == nil {
		t.Errorf("it signs in: %v", err)
	}
	if asked > 0 {
		t.Error("the password was sent elsewhere")
	}
}

// A refusal of the administrator is not one of the user.
func TestAdministratorWhoNeedsAFactor(t *testing.T) {
	k := newCloud(t)
	k.receipt = true
	_, err := k.open(t, nil).(connector.Refresher).Refresh(t.Context(), connector.Scopes{}, connector.Identity{UserID: "u/1"})
	_, isDenied := errors.AsType[*connector.Denied](err)
	if err == nil || isDenied || errors.Is(err, connector.ErrGone) {
		t.Errorf("got %v", err)
	}
}
