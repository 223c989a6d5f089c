package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// backends are an OAuth 2.0 provider, a Keystone and a Crowd that know jane, whose password is secret.
type backends struct {
	*httptest.Server
	left atomic.Bool // jane is in no group any more
}

func startBackends(t *testing.T) *backends {
	t.Helper()
	b := &backends{}
	mux := http.NewServeMux()
	reply := func(path string, status int, say func(r *http.Request) map[string]any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			said, status := say(r), status
			if said == nil {
				said, status = map[string]any{"reason": "INVALID_USER_AUTHENTICATION"}, http.StatusUnauthorized
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Subject-Token", "token")
			w.WriteHeader(status)
			if err := json.NewEncoder(w).Encode(said); err != nil {
				t.Error(err)
			}
		})
	}
	always := func(said map[string]any) func(*http.Request) map[string]any {
		return func(*http.Request) map[string]any { return said }
	}
	// Keystone and Crowd check passwords: jane's, or the one that Keystone's connector has itself.
	ifSecret := func(said map[string]any) func(*http.Request) map[string]any {
		return func(r *http.Request) map[string]any {
			var asked map[string]any
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			if text := fmt.Sprint(asked); !strings.Contains(text, "password:secret") && !strings.Contains(text, "password:admin") &&
				r.URL.Query().Get("validate-password") != "false" {
				return nil
			}
			return said
		}
	}
	groups := func(r *http.Request) map[string]any {
		list := []any{map[string]any{"name": "dev"}}
		if b.left.Load() {
			list = []any{}
		}
		return map[string]any{"groups": list}
	}
	reply("/oauth/token", http.StatusOK, always(map[string]any{"access_token": "access", "refresh_token": "refresh"}))
	reply("/oauth/user", http.StatusOK, func(r *http.Request) map[string]any {
		said := groups(r)
		for name, value := range map[string]any{
			"id": "1", "user_name": "jane", "email": "jane@example.com", "email_verified": true,
		} {
			said[name] = value
		}
		return said
	})
	user := map[string]any{"id": "1", "name": "jane", "email": "jane@example.com", "enabled": true}
	reply("/v3/auth/tokens/", http.StatusCreated, ifSecret(map[string]any{
		"token": map[string]any{"expires_at": "2040-01-01T00:00:00.000000Z", "user": user},
	}))
	reply("/v3/users/1", http.StatusOK, always(map[string]any{"user": user}))
	reply("/v3/users/1/groups", http.StatusOK, groups)
	const crowd = "/crowd/rest/usermanagement/1"
	reply("POST "+crowd+"/session", http.StatusCreated, ifSecret(map[string]any{"token": "session"}))
	mux.HandleFunc("DELETE "+crowd+"/session/session", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	reply(crowd+"/user", http.StatusOK, always(map[string]any{
		"key": "1", "name": "jane", "email": "jane@example.com", "active": true,
	}))
	reply(crowd+"/user/group/nested", http.StatusOK, groups)
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

// startConnected runs a server with a connector to each of the backends, and to a proxy.
func startConnected(t *testing.T) (*server, *backends) {
	t.Helper()
	b := startBackends(t)
	yaml := strings.Replace(configuration, "connectors:\n", strings.ReplaceAll(`connectors:
- type: oauth
  id: oauth
  name: OAuth
  config:
    clientID: dex
    clientSecret: s
    authorizationURL: BACKEND/oauth/auth
    tokenURL: BACKEND/oauth/token
    userInfoURL: BACKEND/oauth/user
    allowedGroups: [dev]
- type: keystone
  id: keystone
  name: Keystone
  config: {keystoneHost: BACKEND, domain: default, keystoneUsername: dex, keystonePassword: admin, allowedGroups: [dev]}
- type: atlassian-crowd
  id: crowd
  name: Crowd
  config: {baseURL: BACKEND/crowd, clientID: dex, clientSecret: s, groups: [dev]}
- type: authproxy
  id: proxy/1
  name: Proxy
  config:
    userHeader: X-Forwarded-User
    userIDHeader: X-Forwarded-Id
    emailHeader: X-Forwarded-Mail
    groupHeader: X-Forwarded-Groups
    trustedProxies: [192.0.2.0/24]
    refreshMaxAge: 1h
`, "BACKEND", b.URL), 1)
	return startWith(t, yaml), b
}

// proxied adds what the proxy says to a request.
func proxied(r *http.Request) *http.Request {
	r.RemoteAddr = "192.0.2.1:1234"
	for name, value := range map[string]string{
		"X-Forwarded-User": "jane", "X-Forwarded-Id": "1", "X-Forwarded-Mail": "jane@example.com", "X-Forwarded-Groups": "dev",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// through goes to a connector and back, with the right password where there is a form.
func (b *browser) through(connectorID string, pairs ...string) answer {
	b.t.Helper()
	trip := b.visit(authPath(append(pairs, "connector_id", connectorID)...)).wantStatus(http.StatusFound)
	switch connectorID {
	case "oauth":
		return b.visit("/dex/callback?" + url.Values{"code": {"c"}, "state": {trip.location().Query().Get("state")}}.Encode())
	case "proxy/1":
		return b.send(proxied(httptest.NewRequest(http.MethodGet, "http://dex.test"+trip.path(), nil)))
	}
	b.post(trip.path(), url.Values{"login": {"jane"}, "password": {"wrong"}}).wantStatus(http.StatusUnauthorized)
	return b.post(trip.path(), url.Values{"login": {"jane"}, "password": {"secret"}})
}

// The claims of a user are the same, whichever source they come from, and after a refresh.
func TestClaimsOfSources(t *testing.T) {
	s, _ := startConnected(t)
	for _, id := range []string{"oauth", "keystone", "crowd", "proxy/1"} {
		t.Run("S0-03 S2-05 S2-08 "+id, func(t *testing.T) {
			s := &server{t, s.handler}
			b := s.browser()
			page := b.through(id).wantStatus(http.StatusSeeOther).path()
			code := b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location().Query().Get("code")
			given := s.token(codeForm(code)).wantStatus(http.StatusOK)
			fresh := s.token(refreshForm(given.text("refresh_token"))).wantStatus(http.StatusOK)
			for when, a := range map[string]answer{"login": given, "refresh": fresh} {
				said := claims(t, a.text("id_token"))
				want := map[string]any{"name": "jane", "email": "jane@example.com", "email_verified": true, "groups": []any{"dev"}}
				for name, value := range want {
					if diff := cmp.Diff(value, said[name]); diff != "" {
						t.Errorf("%s: claim %s: %s", when, name, diff)
					}
				}
			}
		})
	}
}

// Who leaves the groups that are let in gets no new tokens, and can't log in, whatever the application asks for.
func TestDeniedBySources(t *testing.T) {
	for _, id := range []string{"oauth", "keystone", "crowd"} {
		t.Run(id, func(t *testing.T) {
			s, sources := startConnected(t)
			const scope = "openid offline_access"
			b := s.browser()
			page := b.through(id, "scope", scope).wantStatus(http.StatusSeeOther).path()
			code := b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location().Query().Get("code")
			given := s.token(codeForm(code)).wantStatus(http.StatusOK)
			sources.left.Store(true)
			s.token(refreshForm(given.text("refresh_token"))).wantError(http.StatusBadRequest, "invalid_grant")
			denied := s.browser().through(id, "scope", scope).wantStatus(http.StatusForbidden)
			for _, want := range []string{"You are not in a group that may log in here.", "access_denied"} {
				if !strings.Contains(denied.body, want) {
					t.Errorf("the page has no %q:\n%s", want, denied.body)
				}
			}
		})
	}
}

// What a proxy says counts on the path only that it guards, and from the proxy only.
func TestForgedProxy(t *testing.T) {
	tests := map[string]func(path string) *http.Request{
		"the path of all connectors": func(path string) *http.Request {
			u, _ := url.Parse(path)
			return proxied(httptest.NewRequest(http.MethodGet, "http://dex.test/dex/callback?"+u.RawQuery, nil))
		},
		"from elsewhere": func(path string) *http.Request {
			r := proxied(httptest.NewRequest(http.MethodGet, "http://dex.test"+path, nil))
			r.RemoteAddr = "203.0.113.1:1234"
			return r
		},
		"with underscores": func(path string) *http.Request {
			r := proxied(httptest.NewRequest(http.MethodGet, "http://dex.test"+path, nil))
			r.Header.Set("X_Forwarded_User", "admin")
			return r
		},
	}
	s, _ := startConnected(t)
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			b := (&server{t, s.handler}).browser()
			path := b.visit(authPath("connector_id", "proxy/1")).wantStatus(http.StatusFound).path()
			b.send(forge(path)).wantRedirectError("server_error")
		})
	}
	t.Run("the path of another connector", func(t *testing.T) {
		b := (&server{t, s.handler}).browser()
		state := b.visit(authPath("connector_id", "proxy/1")).location().Query().Get("state")
		r := proxied(httptest.NewRequest(http.MethodGet, "http://dex.test/dex/callback/mock?state="+url.QueryEscape(state), nil))
		b.send(r).wantStatus(http.StatusBadRequest)
	})
}
