package oidc_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/faulttest"
)

// A sensitive provider trips over an addition of ours.
type sensitive struct {
	trips func(*provider)
	// refuses are parameters of the authorization request that the provider can't stand.
	refuses string
	// recovers says that users get in even without the switch.
	recovers bool
	settings object
	// elsewhere says that the switch is no setting of the connector.
	elsewhere bool
}

var setting = regexp.MustCompile("`([A-Za-z]+): ([^`]+)`")

// signInAt goes to a provider that refuses a request with some parameter, and back.
func (s *sensitive) signInAt(p *provider, c connection) error {
	request := connector.LoginRequest{Scopes: offline}
	for range 2 {
		to, err := c.Begin(p.t.Context(), request)
		if err != nil {
			return err
		}
		u, err := url.Parse(to.URL)
		if err != nil {
			return err
		}
		p.Nonce = u.Query().Get("nonce")
		answer := url.Values{"code": {"x"}}
		name, value, _ := strings.Cut(s.refuses, "=")
		if asked := u.Query().Get(name); asked != "" && strings.Contains(asked, value) {
			answer = url.Values{"error": {"invalid_scope"}}
		}
		_, err = p.back(c, to.Data, answer)
		again, ok := err.(*connector.Again) //nolint:errorlint // as it is returned
		if !ok {
			return err
		}
		request.Again = again.Hint
	}
	return nil
}

// Checks that upstream has not could not be switched off: each has a switch, and a provider here that needs it.
var _ = faulttest.Add("additions", func(t *testing.T) {
	providers := map[string]sensitive{
		"nonce": {trips: func(p *provider) { p.IDToken = object{"nonce": nil} }},
		"at_hash": {trips: func(p *provider) {
			p.IDToken = object{"at_hash": "AAAA"}
		}},
		"iss": {trips: func(p *provider) { p.Discovery = object{"authorization_response_iss_parameter_supported": true} }},
		"iat": {trips: func(p *provider) { p.IDToken = object{"iat": nil} }},
		"key use": {trips: func(p *provider) {
			p.Keys = []any{jose.JSONWebKey{Key: connectortest.SigningKey().Public(), KeyID: "1", Use: "enc"}}
		}},
		"PKCE": {refuses: "code_challenge", trips: func(p *provider) {
			p.Discovery = object{"code_challenge_methods_supported": []string{"S256"}}
		}},
		"second try": {trips: func(p *provider) {
			used := false
			p.Token = func(w http.ResponseWriter, r *http.Request) bool {
				if _, _, basic := r.BasicAuth(); basic || used {
					used = true
					http.Error(w, `{"error": "invalid_grant"}`, http.StatusBadRequest)
					return true
				}
				return false
			}
		}},
		"wishes": {elsewhere: true},
		"pushed requests": {trips: func(p *provider) {
			p.Discovery = object{"require_pushed_authorization_requests": true, "pushed_authorization_request_endpoint": p.URL + "/nothing"}
		}},
		"without offline_access": {
			refuses: "scope=offline_access", recovers: true, elsewhere: true, trips: func(*provider) {},
			settings: object{"scopes": []string{"profile", "offline_access"}},
		},
	}
	seen := 0
	for _, row := range faulttest.Table(t, "../../../docs/connectors/additions.md", "| Addition |") {
		if !strings.Contains(row["Type"], "`oidc`") {
			continue
		}
		seen++
		s, known := providers[row["Addition"]]
		if !known {
			t.Errorf("no provider trips over %s", row["Addition"])
			continue
		}
		if s.trips == nil {
			continue
		}
		t.Run(row["Addition"], func(t *testing.T) {
			p := newProvider(t)
			s.trips(p)
			if err := s.signInAt(p, p.open(s.settings)); (err == nil) != s.recovers {
				t.Fatalf("without the switch: %v", err)
			}
			if s.elsewhere {
				return
			}
			pair := setting.FindStringSubmatch(row["Switch"])
			var value any = pair[2]
			if pair[2] == "true" {
				value = true
			}
			p = newProvider(t)
			s.trips(p)
			if err := s.signInAt(p, p.open(merged(object{pair[1]: value}, s.settings))); err != nil {
				t.Errorf("with %s: %v", pair[0], err)
			}
		})
	}
	if seen != len(providers) {
		t.Errorf("the list has %d additions, want %d", seen, len(providers))
	}
})
