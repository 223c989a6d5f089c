package keystone_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// A Keystone behind Apache, which redirects /v3 to /v3/, was shown as failing although users could log in.
var _ = faulttest.Add("C-33", func(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect to another host is followed")
	}))
	defer elsewhere.Close()
	for _, test := range []struct {
		name, location string
		slash          int // the status of /v3/
		alive          bool
	}{
		{"relative", "v3/", http.StatusOK, true},
		{"absolute, of a server that does not know of the TLS before it", "http://keystone.internal/v3/", http.StatusOK, true},
		{"no Keystone there", "v3/", http.StatusNotFound, false},
		{"all of it is elsewhere", elsewhere.URL + "/v3", http.StatusMovedPermanently, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status := http.StatusMovedPermanently
			if r.URL.Path == "/identity/v3/" {
				status = test.slash
			}
			w.Header().Set("Location", test.location)
			w.WriteHeader(status)
		}))
		defer s.Close()
		err := newCloud(t).open(t, object{"keystoneHost": s.URL + "/identity"}).(connector.Prober).Probe(t.Context())
		if (err == nil) != test.alive {
			t.Errorf("%s: %v", test.name, err)
		}
	}
})

// Temporary and permanent failures were reported alike.
var _ = faulttest.Add("C-14", func(t *testing.T) {
	last := connector.Identity{UserID: "u/1"}
	for _, test := range []struct {
		name           string
		edit           func(c *cloud)
		login, refresh connector.Outcome
	}{
		{"as usual", func(*cloud) {}, connector.Succeeded, connector.Succeeded},
		{"down", func(c *cloud) { c.Close() }, connector.Unavailable, connector.Unavailable},
		{"restarting", func(c *cloud) { c.fault = http.StatusServiceUnavailable }, connector.Unavailable, connector.Unavailable},
		{"too many requests", func(c *cloud) { c.fault = http.StatusTooManyRequests }, connector.Unavailable, connector.Unavailable},
		{"another API", func(c *cloud) { c.fault = http.StatusTeapot }, connector.Broken, connector.Broken},
		{"groups are cut short", func(c *cloud) { c.truncated = true }, connector.AccountUnusable, connector.AccountUnusable},
		{"gone", func(c *cloud) { c.user = nil }, connector.Broken, connector.Gone},
	} {
		k := newCloud(t)
		s := k.open(t, nil)
		test.edit(k)
		scopes := connector.Scopes{Groups: true}
		if _, _, err := s.Login(t.Context(), scopes, "JANE", "secret"); connector.OutcomeOf(err) != test.login {
			t.Errorf("%s: login: %s (%v)", test.name, connector.OutcomeOf(err), err)
		}
		if _, err := s.(connector.Refresher).Refresh(t.Context(), scopes, last); connector.OutcomeOf(err) != test.refresh {
			t.Errorf("%s: refresh: %s (%v)", test.name, connector.OutcomeOf(err), err)
		}
	}
})
