package crowd_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
)

func TestSettings(t *testing.T) {
	_, problems := decode(t, object{"preferredUsernameField": "Key", "insecureSkipVerify": true})
	_, more := decode(t, object{"baseURL": "crowd.test", "clientID": "dex", "clientSecret": "s"})
	_, plain := decode(t, object{"baseURL": "http://crowd.test", "clientID": "dex", "clientSecret": "s"})
	var all strings.Builder
	for _, p := range append(append(problems, more...), plain...) {
		fmt.Fprintf(&all, "%s: %s (warning: %v)\n", p.Key, p.Message, p.Warning)
	}
	for _, want := range []string{
		"baseURL: is missing", "clientID: is missing", "clientSecret: is missing", "preferredUsernameField: must be one of key",
		"insecureSkipVerify: lets", "baseURL: must be an http or https URL", "use https (warning: true)",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q in\n%s", want, all.String())
		}
	}
	_, problems = decode(t, object{
		"baseurl": "https://crowd.test/crowd/", "clientId": "dex", "clientSecret": "s", "groups": []string{"g"},
		"preferredUsernameField": "email", "usernamePrompt": "Name",
	})
	if len(problems) > 0 {
		t.Errorf("upstream's settings: %v", problems)
	}
}

func jane() connector.Identity {
	return connector.Identity{UserID: "32769:1", Username: name, Email: "jane@example.com", EmailVerified: true}
}

func TestLogin(t *testing.T) {
	tests := map[string]struct {
		settings object
		scopes   connector.Scopes
		change   func(*connector.Identity)
	}{
		"plain":  {nil, connector.Scopes{}, func(*connector.Identity) {}},
		"groups": {nil, connector.Scopes{Groups: true}, func(id *connector.Identity) { id.Groups = []string{"dev", "ops"} }},
		"offline": {nil, connector.Scopes{OfflineAccess: true}, func(id *connector.Identity) {
			id.Data = []byte(`{"username":"jane d'oe\u0026username=admin"}`)
		}},
		"key": {object{"preferredUsernameField": "key"}, connector.Scopes{}, func(id *connector.Identity) {
			id.PreferredUsername = "32769:1"
		}},
		"name": {object{"preferredUsernameField": "name"}, connector.Scopes{}, func(id *connector.Identity) {
			id.PreferredUsername = name
		}},
		"email": {object{"preferredUsernameField": "email"}, connector.Scopes{}, func(id *connector.Identity) {
			id.PreferredUsername = "jane@example.com"
		}},
		"not verified": {object{"emailVerified": false}, connector.Scopes{}, func(id *connector.Identity) { id.EmailVerified = false }},
		"allowed": {
			object{"groups": []string{"other", "ops"}}, connector.Scopes{Groups: true},
			func(id *connector.Identity) { id.Groups = []string{"ops"} },
		},
		"allowed, not asked for": {object{"groups": []string{"ops"}}, connector.Scopes{}, func(*connector.Identity) {}},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			s := newServer(t)
			want := jane()
			tt.change(&want)
			got, ok, err := s.open(tt.settings).Login(t.Context(), tt.scopes, name, "secret")
			if diff := cmp.Diff(want, got); err != nil || !ok || diff != "" {
				t.Errorf("%v, %v\n%s", ok, err, diff)
			}
			if s.made != 1 || len(s.sessions) > 0 {
				t.Errorf("of %d sessions %d are left", s.made, len(s.sessions))
			}
		})
	}
	if got := newServer(t).open(object{"usernamePrompt": "Name"}).Prompt(); got != "Name" {
		t.Errorf("prompt is %q", got)
	}
}

func TestWrongPassword(t *testing.T) {
	s := newServer(t)
	c := s.open(nil)
	for _, try := range [][2]string{
		{name, "wrong"}, {"jane", "secret"}, {"", "secret"}, {name, ""}, {"ja\xffne", "secret"},
		{strings.Repeat("j", 2000), "secret"}, {name, strings.Repeat("s", 5000)},
	} {
		if _, ok, err := c.Login(t.Context(), connector.Scopes{}, try[0], try[1]); ok || err != nil {
			t.Errorf("%.20q: %v, %v", try[0], ok, err)
		}
	}
	if len(s.visited) != 2 {
		t.Errorf("crowd was asked %v, want two sessions", s.visited)
	}
}

// Whatever keeps a user out at the login keeps them out at each refresh.
func TestDenied(t *testing.T) {
	tests := map[string]struct {
		settings object
		change   func(*server)
		told     string
	}{
		"inactive":     {nil, func(s *server) { s.reason = "INACTIVE_ACCOUNT" }, "not active"},
		"expired":      {nil, func(s *server) { s.reason = "EXPIRED_CREDENTIAL" }, "password has expired"},
		"not here":     {nil, func(s *server) { s.reason = "APPLICATION_ACCESS_DENIED" }, "not allowed to log in here"},
		"made so":      {nil, func(s *server) { s.record["active"] = false }, "not active"},
		"no group":     {object{"groups": []string{"OPS", "other"}}, func(*server) {}, "not in a group"},
		"groups ended": {object{"groups": []string{"ops"}}, func(s *server) { s.groups = nil }, "not in a group"},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			s := newServer(t)
			tt.change(s)
			c := s.open(tt.settings)
			last := jane()
			last.Data = []byte(`{"username":"jane d'oe&username=admin"}`)
			_, ok, err := c.Login(t.Context(), connector.Scopes{}, name, "secret")
			_, refreshErr := c.Refresh(t.Context(), connector.Scopes{}, last)
			for when, err := range map[string]error{"login": err, "refresh": refreshErr} {
				denied, isDenied := errors.AsType[*connector.Denied](err)
				if ok || !isDenied || !strings.Contains(denied.Reason, tt.told) {
					t.Errorf("%s: %v, want a denial: %s", when, err, tt.told)
				}
			}
			if len(s.sessions) > 0 {
				t.Errorf("%d sessions are left", len(s.sessions))
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	s := newServer(t)
	c := s.open(nil)
	last, _, err := c.Login(t.Context(), connector.Scopes{OfflineAccess: true}, name, "secret")
	if err != nil {
		t.Fatal(err)
	}
	s.record["email"], s.groups = "new@example.com", []string{"new"}
	want := last
	want.Email, want.Groups = "new@example.com", []string{"new"}
	for range 3 {
		got, err := c.Refresh(t.Context(), connector.Scopes{OfflineAccess: true, Groups: true}, last)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	}
	if s.made != 4 || len(s.sessions) > 0 {
		t.Errorf("of %d sessions %d are left", s.made, len(s.sessions))
	}
}

func TestRefreshRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*server, *connector.Identity)
		gone   bool
	}{
		"deleted":       {func(s *server, _ *connector.Identity) { s.record = nil }, true},
		"another user":  {func(s *server, _ *connector.Identity) { s.record["key"] = "32769:2" }, true},
		"refused":       {func(s *server, _ *connector.Identity) { s.reason = "INVALID_USER_AUTHENTICATION" }, true},
		"nothing kept":  {func(_ *server, id *connector.Identity) { id.Data = nil }, true},
		"not permitted": {func(s *server, _ *connector.Identity) { s.reason = "OPERATION_FAILED" }, false},
		"down":          {func(s *server, _ *connector.Identity) { s.status = 502 }, false},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			s := newServer(t)
			last := jane()
			last.Data = []byte(`{"username":"jane d'oe&username=admin"}`)
			tt.change(s, &last)
			_, err := s.open(nil).Refresh(t.Context(), connector.Scopes{}, last)
			if err == nil || errors.Is(err, connector.ErrGone) != tt.gone {
				t.Errorf("got %v, want gone: %v", err, tt.gone)
			}
		})
	}
}

func TestManyGroups(t *testing.T) {
	s := newServer(t)
	s.groups = nil
	for i := range 2500 {
		s.groups = append(s.groups, fmt.Sprint("group ", i))
	}
	got, _, err := s.open(nil).Login(t.Context(), connector.Scopes{Groups: true}, name, "secret")
	if diff := cmp.Diff(s.groups, got.Groups); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	s.groups = make([]string, 25_000)
	if _, ok, err := s.open(nil).Login(t.Context(), connector.Scopes{Groups: true}, name, "secret"); ok || err == nil {
		t.Error("there is no end to the groups of a user")
	}
}

// Failures between Crowd and us are told to the operator, without names of users, passwords or sessions.
func TestFailures(t *testing.T) {
	tests := map[string]struct {
		settings object
		status   int
		body     string
		want     string
	}{
		"credentials": {object{"clientSecret": "old"}, 0, "", `refuses clientID "dex" or clientSecret`},
		"address": {
			nil, 403, "<p>The server understood the request but refuses to authorize it.</p>", "does not let this host in",
		},
		"redirect": {nil, 307, "", "a redirect: baseURL must be"},
		"broken":   {nil, 500, "Exception for jane d'oe", "crowd answers 500"},
		"no words": {nil, 400, `{"reason": "jane d'oe is unknown"}`, "crowd answers 400"},
		"no JSON":  {nil, 201, "<html>", "crowd's answer"},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			s := newServer(t)
			s.status, s.body = tt.status, tt.body
			_, ok, err := s.open(tt.settings).Login(t.Context(), connector.Scopes{}, name, "secret")
			_, isDenied := errors.AsType[*connector.Denied](err)
			if ok || err == nil || isDenied || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, %v, want %q", ok, err, tt.want)
			}
			if strings.Contains(err.Error(), "jane") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells of the user: %v", err)
			}
		})
	}
	s := newServer(t)
	c := s.open(nil)
	s.Close()
	last := jane()
	last.Data = []byte(`{"username":"jane"}`)
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, last); err == nil || strings.Contains(err.Error(), "jane") {
		t.Errorf("got %v", err)
	}
}

func TestProbe(t *testing.T) {
	s := newServer(t)
	if err := s.open(nil).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.open(object{"clientSecret": "old"}).Probe(t.Context()); err == nil {
		t.Error("it works with a wrong password")
	}
}
