package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// An artifact is something that the server gives out for one purpose. Everybody else, and every other endpoint, must refuse
// it.
type artifact struct {
	opaque bool                   // a server gives it out whose client app has opaque access tokens
	get    func(s *server) string // a fresh one, of the client app
	// good is where it belongs: endpoint, parameter, and for the token endpoint the grant.
	good []string
	// works reports whether it still is what it was given out for. Nil for what need not be looked at.
	works func(s *server, value string) bool
}

func exchanged(form func(string) url.Values) func(*server, string) bool {
	return func(s *server, value string) bool { return s.token(form(value), asApp).status == http.StatusOK }
}

var artifacts = map[string]artifact{
	"code": {
		get:   func(s *server) string { return s.browser().throughMock().params().Get("code") },
		good:  []string{"/token code authorization_code"},
		works: exchanged(func(v string) url.Values { return codeForm(v) }),
	},
	"refresh token": {
		get: func(s *server) string {
			return s.token(codeForm(s.browser().throughMock().params().Get("code")), asApp).text("refresh_token")
		},
		good:  []string{"/token refresh_token refresh_token", "/token/introspect token", "/token/revoke token"},
		works: exchanged(func(v string) url.Values { return refreshForm(v) }),
	},
	"device code": {
		get:   func(s *server) string { return s.approvedDevice() },
		good:  []string{"/token device_code " + deviceGrant, "/device/token device_code " + deviceGrant},
		works: exchanged(func(v string) url.Values { return pollForm(v) }),
	},
	"user code": {
		get:  func(s *server) string { return s.device().text("user_code") },
		good: []string{"/device/auth/verify_code user_code"},
	},
	"access token": {
		get: func(s *server) string {
			return s.token(codeForm(s.browser().throughMock().params().Get("code")), asApp).text("access_token")
		},
		good:  []string{"/userinfo bearer", "/userinfo access_token", "/token/introspect token", "/token/revoke token"},
		works: func(s *server, v string) bool { return s.bearer(v).status == http.StatusOK },
	},
	"opaque access token": {
		opaque: true,
		get: func(s *server) string {
			return s.token(codeForm(s.browser().throughMock().params().Get("code")), asApp).text("access_token")
		},
		good:  []string{"/userinfo bearer", "/userinfo access_token", "/token/introspect token", "/token/revoke token"},
		works: func(s *server, v string) bool { return s.bearer(v).status == http.StatusOK },
	},
	"ID token": { // UserInfo takes it, as it always has
		get: func(s *server) string {
			return s.token(codeForm(s.browser().throughMock().params().Get("code")), asApp).text("id_token")
		},
		good: []string{"/userinfo bearer", "/userinfo access_token", "/token/revoke token"},
	},
	"login under way": {
		get: func(s *server) string {
			return s.get(authPath("connector_id", "mock")).wantStatus(http.StatusFound).location().Query().Get("state")
		},
	},
}

// parameters are all names under which any endpoint takes something; bearer is the Authorization header.
var parameters = []string{
	"code", "refresh_token", "device_code", "user_code", "token", "access_token", "id_token_hint", "subject_token", "state",
	"req", "hmac", "client_assertion", "assertion", "bearer",
}

// clients are who presents an artifact, and whether it is theirs.
var clients = map[string]struct{ id, secret string }{
	"own": {"app", "app-secret"}, "other": {"other", "other-secret"},
}

// TestEveryArtifactAtEveryEndpoint presents each artifact to each endpoint, under each name, by its client and by another
// one. Endpoints come from the routes, and grants from discovery, so that a new one is tried at once.
func TestEveryArtifactAtEveryEndpoint(t *testing.T) {
	w, kept := openWorld(), memory.New()
	a := open(t, w.yaml(), func(store.Store) store.Store { return kept })
	handler := a.Handler()
	s := &server{t: t, handler: handler}
	grants := strings.Fields(strings.Trim(toText(s.get("/dex/.well-known/openid-configuration").json()["grant_types_supported"]), "[]"))
	accepted := map[string]bool{}
	w.clientFactors = ", tokens: {accessToken: opaque}"
	opaque := w.in(t, kept).handler
	for name, thing := range artifacts {
		for _, pattern := range a.Patterns() {
			t.Run(name+" "+pattern, func(t *testing.T) {
				s, giver := &server{t: t, handler: handler}, &server{t: t, handler: handler}
				if thing.opaque {
					giver.handler = opaque
				}
				value, spent := thing.get(giver), false
				if value == "" {
					t.Fatal("there is none")
				}
				for _, parameter := range parameters {
					for _, grant := range grantsAt(pattern, grants) {
						place := strings.TrimSpace(pattern + " " + parameter + " " + grant)
						right := slices.Contains(thing.good, place)
						for who, client := range clients {
							for _, method := range []string{http.MethodGet, http.MethodPost} {
								answer := s.present(method, pattern, parameter, value, grant, client.id, client.secret)
								takes := answer.takes()
								ofNobody := pattern == "/userinfo" || pattern == "/device/auth/verify_code" // who asks is not looked at
								if takes && (!right || who == "other" && !ofNobody) {
									t.Errorf("%s as %s by %s client: taken with %d %s %s", method, place, who, answer.status, answer.body,
										answer.header.Get("Location"))
								}
								accepted[name+" "+place] = accepted[name+" "+place] || takes
								// Who presents their own may use it up, even wrongly: without its redirect URI, for a code.
								spent = spent || right && who == "own"
							}
						}
					}
				}
				if thing.works != nil && !spent && !thing.works(s, value) {
					t.Errorf("to present it there spoiled it")
				}
			})
		}
		for _, place := range thing.good {
			if !accepted[name+" "+place] && !strings.HasPrefix(place, "/token/revoke ") { // whose answer says nothing
				t.Errorf("%s is refused as %s", name, place)
			}
		}
	}
}

func grantsAt(pattern string, grants []string) []string {
	if pattern == "/token" || pattern == "/device/token" {
		return grants
	}
	return []string{""}
}

var presented int

// present shows a value to an endpoint, from a new address each time, so that no limit hides the answer.
func (s *server) present(method, pattern, parameter, value, grant, clientID, secret string) answer {
	path := strings.NewReplacer("{connector}", "mock", "{file...}", "main.css").Replace(pattern)
	if strings.HasPrefix(path, "/.well-known/oauth-authorization-server/") {
		path = strings.TrimSuffix(path, "/dex") // is the same document
	}
	form := url.Values{"redirect_uri": {callback}, "scope": {"openid"}, "response_type": {"code"}}
	if grant != "" {
		form.Set("grant_type", grant)
	}
	if parameter != "bearer" {
		form.Set(parameter, value)
	}
	target := "http://dex.test/dex" + strings.TrimSuffix(path, "/")
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequest(method, target+"?"+form.Encode(), nil)
	}
	switch {
	case parameter == "bearer":
		r.Header.Set("Authorization", "Bearer "+value)
	case pattern != "/userinfo":
		r.SetBasicAuth(clientID, secret)
	}
	presented++
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", presented>>16&255, presented>>8&255, presented&255)
	return s.do(r)
}

// takes reports whether an answer says that what was presented is good for something. What a client gets for itself, it
// gets for its secret.
func (a answer) takes() bool {
	if strings.Contains(a.body, `"access_token":"`) {
		subject, _ := claims(a.t, a.text("access_token"))["sub"].(string)
		_, connectorID, err := token.ReadSubject(subject)
		return err != nil || connectorID != ""
	}
	location := a.header.Get("Location")
	for _, sign := range []string{`"active":true`, `"sub":"`, `name="decision"`, "Device connected"} {
		if strings.Contains(a.body, sign) {
			return true
		}
	}
	return strings.Contains(location, "code=") && !strings.Contains(location, "/device?") || strings.Contains(location, "approval?")
}
