package oidc_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// The nonce could not be switched off, though there are providers that don't send it back.
var _ = faulttest.Add("C-04", func(t *testing.T) {
	p := newProvider(t)
	p.IDToken = object{"nonce": nil}
	if _, err := p.signIn(p.open(nil)); err == nil || !strings.Contains(err.Error(), "insecureSkipNonce") {
		t.Errorf("the operator is not told of the switch: %v", err)
	}
	c := p.open(object{"insecureSkipNonce": true})
	got, data := p.begin(c, connector.LoginRequest{})
	if got.Has("nonce") || got.Get("code_challenge_method") != "S256" {
		t.Errorf("with the switch the provider is told %v", got)
	}
	if _, err := p.back(c, data, url.Values{"code": {"x"}}); err != nil {
		t.Error(err)
	}
	if _, problems := decode(t, object{
		"issuer": "https://idp.test", "clientID": "dex", "insecureSkipNonce": true, "pkceChallenge": "none",
	}); !strings.Contains(problems[0].String(), "nothing that binds") {
		t.Errorf("neither nonce nor challenge: %v", problems)
	}
})

// What the provider says of itself in passing, and in the wrong form, took the connector down.
var _ = faulttest.Add("C-07", func(t *testing.T) {
	for name, member := range map[string]object{
		"scopes":        {"scopes_supported": "openid email"},
		"scopes object": {"scopes_supported": object{"a": 1}},
		"methods":       {"token_endpoint_auth_methods_supported": "client_secret_basic"},
		"challenges":    {"code_challenge_methods_supported": "S256"},
		"iss":           {"authorization_response_iss_parameter_supported": "true"},
		"algorithms":    {"id_token_signing_alg_values_supported": "RS256"},
		"logout":        {"end_session_endpoint": "/logout"},
		"logout number": {"end_session_endpoint": 7},
		"userinfo":      {"userinfo_endpoint": []string{}},
		"in capitals":   {"Token_Endpoint": "https://evil.test/"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Discovery = member
			c := p.open(nil)
			for range 3 {
				if err := c.Probe(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := p.signIn(c); err != nil {
				t.Error(err)
			}
			for key := range member {
				if n := strings.Count(p.log.String(), "members="+key); n != 1 && key != "Token_Endpoint" && key != "scopes_supported" {
					t.Errorf("the log tells %d times of %s: %s", n, key, p.log.String())
				}
			}
		})
	}
	for _, member := range []string{"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"} {
		p := newProvider(t)
		p.Discovery = object{member: 7}
		if err := p.open(nil).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), member) {
			t.Errorf("%s is a number: %v", member, err)
		}
	}
})

// A provider that says that its answers have iss, and sends none, let nobody in.
var _ = faulttest.Add("C-10", func(t *testing.T) {
	p := newProvider(t)
	p.Discovery = object{"authorization_response_iss_parameter_supported": true}
	for _, iss := range []string{"", p.URL + "/"} {
		answer := url.Values{"code": {"x"}, "iss": {iss}}
		c := p.open(nil)
		_, data := p.begin(c, connector.LoginRequest{})
		_, err := p.back(c, data, answer)
		if _, ok := errors.AsType[*connector.BadToken](err); !ok || iss == "" && !strings.Contains(err.Error(), "insecureSkipIss") {
			t.Errorf("iss %q: %v", iss, err)
		}
		c = p.open(object{"insecureSkipIss": true})
		_, data = p.begin(c, connector.LoginRequest{})
		if _, err := p.back(c, data, answer); err != nil {
			t.Errorf("iss %q with the switch: %v", iss, err)
		}
	}
})
