package oidc_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// Only invalid_grant ended a session: applications tried for ever what only the user can mend.
var _ = faulttest.Add("C-08", func(t *testing.T) {
	for _, c := range []struct {
		status      int
		code, about string
		want        connector.Outcome
	}{
		{400, "invalid_grant", "", connector.Gone},
		{400, "interaction_required", "", connector.Gone},
		{400, "login_required", "", connector.Gone},
		{400, "consent_required", "", connector.Gone},
		{401, "invalid_token", "", connector.Gone},
		{403, "access_denied", "", connector.Gone},
		{400, "unauthorized_client", "", connector.Gone},
		{400, "invalid_request", "The refresh token is invalid.", connector.Gone},
		{200, "bad_refresh_token", "", connector.Gone},
		{400, "invalid_request", "grant_type is missing", connector.Broken},
		{401, "invalid_client", "", connector.Broken},
		{400, "temporarily_unavailable", "", connector.Unavailable},
		{500, "invalid_grant", "", connector.Unavailable},
		{503, "", "", connector.Unavailable},
		{429, "slow_down", "", connector.Unavailable},
	} {
		p := newProvider(t)
		conn := p.open(nil)
		last, err := p.signIn(conn)
		if err != nil {
			t.Fatal(err)
		}
		p.Token = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(`{"error": "` + c.code + `", "error_description": "` + c.about + `"}`))
			return true
		}
		_, err = conn.Refresh(t.Context(), offline, last)
		if got := connector.OutcomeOf(err); got != c.want {
			t.Errorf("%d %s %q: %s, want %s", c.status, c.code, c.about, got, c.want)
		}
	}
})

// A refreshed ID token may leave out what the login said (OpenID Connect Core, 12.2), and was refused for ever.
var _ = faulttest.Add("C-14", func(t *testing.T) {
	for name, settings := range map[string]object{
		"standard": nil,
		"mapped":   {"claimMapping": object{"email": "mail"}, "overrideClaimMapping": true},
		"named":    {"userNameKey": "nick"},
	} {
		p := newProvider(t)
		p.IDToken = object{"mail": "jane@example.com", "nick": "Jane"}
		c := p.open(settings)
		last, err := p.signIn(c)
		if err != nil {
			t.Fatal(err)
		}
		p.Nonce = ""
		p.IDToken = object{"email": nil, "email_verified": nil, "name": nil}
		got, err := c.Refresh(t.Context(), offline, last)
		if err != nil || got.Email != "jane@example.com" || !got.EmailVerified || got.Username != "Jane" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		p.IDToken = object{"email": "new@example.com", "mail": "new@example.com", "email_verified": false, "name": "New", "nick": "New"}
		got, err = c.Refresh(t.Context(), offline, last)
		if err != nil || got.Email != "new@example.com" || got.EmailVerified || got.Username != "New" {
			t.Errorf("%s: what is new: %+v, %v", name, got, err)
		}
	}
	p := newProvider(t)
	p.IDToken = object{"groups": []string{"admins"}}
	c := p.open(object{"allowedGroups": []string{"admins"}})
	last, err := p.signIn(c)
	if err != nil {
		t.Fatal(err)
	}
	p.Nonce, p.IDToken = "", nil
	if _, err := c.Refresh(t.Context(), offline, last); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("a user who has left all groups: %v", err)
	}
})

// An ID token of a refresh that can't be verified was a passing trouble, so that applications tried for ever.
var _ = faulttest.Add("V6", func(t *testing.T) {
	for name, spoil := range map[string]func(*provider){
		"signature": func(p *provider) { p.KeyID = "another" },
		"algorithm": func(p *provider) { p.Algorithm = jose.PS512 },
		"issuer":    func(p *provider) { p.IDToken = object{"iss": "https://evil.test"} },
		"audience":  func(p *provider) { p.IDToken = object{"aud": "other"} },
		"time":      func(p *provider) { p.IDToken = object{"exp": time.Now().Add(-time.Hour).Unix()} },
	} {
		p := newProvider(t)
		c := p.open(nil)
		last, err := p.signIn(c)
		if err != nil {
			t.Fatal(err)
		}
		p.Nonce = ""
		spoil(p)
		_, err = c.Refresh(t.Context(), offline, last)
		if connector.OutcomeOf(err) != connector.TokenRefused || !strings.Contains(err.Error(), "ID token") {
			t.Errorf("%s: %v", name, err)
		}
	}
})
