package saml_test

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
)

// upstreamData is what upstream keeps with a login.
const upstreamData = `{"userId":"jane-id","username":"Jane Doe","preferredUsername":"","email":"jane@example.org","emailVerified":true,"groups":["staff","admins"]}`

func TestRefreshOfUpstreamsLogin(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		scopes   connector.Scopes
		groups   []string
		denied   bool
	}{
		"no groups asked for":     {},
		"groups":                  {settings: "groupsAttr: groups\n", scopes: withGroups, groups: []string{"staff", "admins"}},
		"allowed":                 {settings: "groupsAttr: groups\nallowedGroups: [staff]\n", scopes: withGroups, groups: []string{"staff", "admins"}},
		"filtered":                {settings: "groupsAttr: groups\nallowedGroups: [staff]\nfilterGroups: true\n", scopes: withGroups, groups: []string{"staff"}},
		"no longer allowed":       {settings: "groupsAttr: groups\nallowedGroups: [other]\n", scopes: withGroups, denied: true},
		"no longer, nor asked of": {settings: "groupsAttr: groups\nallowedGroups: [other]\n", denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, usual+"maxAge: 0s\n"+c.settings+people().idp.caData())
			got, err := s.Refresh(t.Context(), c.scopes, connector.Identity{UserID: "jane-id", Data: []byte(upstreamData)})
			_, isDenied := errors.AsType[*connector.Denied](err)
			if isDenied != c.denied || err != nil && !c.denied {
				t.Fatalf("error %v", err)
			}
			if c.denied {
				return
			}
			want := connector.Identity{
				UserID: "jane-id", Username: "Jane Doe", Email: "jane@example.org", EmailVerified: true, Groups: c.groups, Data: []byte(upstreamData),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
		})
	}
}

// Upstream can read what is kept.
func TestData(t *testing.T) {
	s := open(t, usual+"groupsAttr: groups\nallowedGroups: [staff]\nfilterGroups: true\n"+people().idp.caData())
	id, err := login(t, s, connector.Scopes{}, jane())
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(id.Data, &got); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"nameID", "nameIDFormat", "sessionIndex", "loggedIn"} {
		if got[member] == nil {
			t.Errorf("the member %s is missing", member)
		}
		delete(got, member)
	}
	if err := json.Unmarshal([]byte(upstreamData), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
}

func TestAge(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		session  time.Duration // of the provider
		after    time.Duration
		gone     bool
	}{
		"without end":      {settings: "maxAge: 0s\n", after: 10000 * time.Hour, session: time.Hour},
		"young":            {settings: "maxAge: 1h\n", after: time.Hour - time.Second},
		"old":              {settings: "maxAge: 1h\n", after: time.Hour, gone: true},
		"session goes on":  {settings: "endWithSession: true\n", session: time.Hour, after: time.Hour - time.Second},
		"session is over":  {settings: "endWithSession: true\n", session: time.Hour, after: time.Hour, gone: true},
		"unknown session":  {settings: "maxAge: 0s\nendWithSession: true\n", after: 10000 * time.Hour},
		"session is short": {settings: "endWithSession: true\nmaxAge: 3h\n", session: time.Hour, after: 2 * time.Hour, gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, usual+c.settings+people().idp.caData())
				a := jane()
				if c.session > 0 {
					a.SessionEnd = time.Now().Add(c.session).UTC().Format(time.RFC3339)
				}
				id, err := login(t, s, connector.Scopes{}, a)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.after)
				fresh, err := s.Refresh(t.Context(), connector.Scopes{}, id)
				if c.gone != errors.Is(err, connector.ErrGone) || err != nil && !c.gone {
					t.Fatalf("error %v", err)
				}
				if !c.gone && (fresh.UserID != "jane-id" || string(fresh.Data) != string(id.Data)) {
					t.Errorf("refreshed to %+v", fresh)
				}
			})
		})
	}
}

func TestDataThatSaysTooLittle(t *testing.T) {
	for name, c := range map[string]struct{ settings, data string }{
		"none": {"", ""}, "garbage": {"", "foobar"}, "nobody": {"", "{}"},
		"unknown age": {"maxAge: 1h\n", upstreamData},
	} {
		s := open(t, usual+c.settings+people().idp.caData())
		_, err := s.Refresh(t.Context(), connector.Scopes{}, connector.Identity{UserID: "jane-id", Data: []byte(c.data)})
		if !errors.Is(err, connector.ErrGone) {
			t.Errorf("%s: error %v, want ErrGone", name, err)
		}
	}
}

// Today's settings count for yesterday's logins too.
func TestRefreshUnverifiesEmail(t *testing.T) {
	s := open(t, usual+"emailVerified: false\n"+people().idp.caData())
	got, err := s.Refresh(t.Context(), connector.Scopes{}, connector.Identity{Data: []byte(upstreamData)})
	if err != nil || got.EmailVerified {
		t.Errorf("identity %+v: %v", got, err)
	}
}
