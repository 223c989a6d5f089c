package relyingparty_test

import (
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/relyingparty"
)

type object = connectortest.Object

func TestIDTokens(t *testing.T) {
	p := connectortest.New(t)
	const google, template = "https://accounts.google.com", "https://login.test/%s"
	past := time.Now().Add(-time.Minute).Unix()
	for name, c := range map[string]struct {
		issuer string // "" for the provider's, template for one of each tenant
		claims object
		want   string // a part of the error; empty for none
	}{
		"good":                     {"", nil, ""},
		"another issuer":           {"", object{"iss": "https://evil.test"}, "its issuer is"},
		"Google":                   {google, object{"iss": google}, ""},
		"Google's old issuer":      {google, object{"iss": "accounts.google.com"}, ""},
		"Google's, from another":   {"", object{"iss": "accounts.google.com"}, "its issuer is"},
		"the issuer of its tenant": {template, object{"tid": "a", "iss": "https://login.test/a"}, ""},
		"that of another tenant":   {template, object{"tid": "a", "iss": "https://login.test/b"}, "its issuer is"},
		"expired":                  {"", object{"exp": past}, "has expired"},
		"never expires":            {"", object{"exp": nil}, "no exp"},
		"for another":              {"", object{"aud": "other"}, "was made for"},
		"given to another":         {"", object{"azp": "other"}, "was given to"},
		"for nobody":               {"", object{"aud": nil}, "was made for"},
		"about nobody":             {"", object{"sub": nil}, "no sub"},
		"undated":                  {"", object{"iat": nil}, "no iat, which every ID token must have"},
		"a logout token":           {"", object{"events": object{}}, "events"},
	} {
		rules := &relyingparty.IDTokens{Keys: &relyingparty.Keys{Client: p.Client(), MaxAge: time.Hour}, ClientID: "dex", Issuer: p.URL}
		if c.issuer != "" {
			rules.Issuer = c.issuer
		}
		if c.issuer == template {
			rules.IssuerFor = func(said relyingparty.Claims) string { return "https://login.test/" + said.Text("tid") }
		}
		_, err := rules.Verify(t.Context(), &relyingparty.Metadata{JWKSURL: p.URL + "/keys"}, p.Sign(c.claims))
		if _, invalid := errors.AsType[*relyingparty.InvalidToken](err); invalid != (c.want != "") || invalid && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "insecure") {
			t.Errorf("%s: the error names a switch that there isn't: %v", name, err)
		}
	}
}

func TestLoginOfIDToken(t *testing.T) {
	p := connectortest.New(t)
	given := &relyingparty.Tokens{ID: p.Sign(nil), Access: "access"}
	for name, c := range map[string]struct {
		said  relyingparty.Claims
		nonce string
		rules relyingparty.IDTokens
		want  connector.Outcome
	}{
		"this login":           {relyingparty.Claims{"nonce": "n"}, "n", relyingparty.IDTokens{}, connector.Succeeded},
		"another":              {relyingparty.Claims{"nonce": "m"}, "n", relyingparty.IDTokens{}, connector.TokenRefused},
		"any":                  {relyingparty.Claims{}, "n", relyingparty.IDTokens{}, connector.Broken},
		"nothing was sent":     {relyingparty.Claims{"nonce": ""}, "", relyingparty.IDTokens{}, connector.Broken},
		"any, by switch":       {relyingparty.Claims{}, "n", relyingparty.IDTokens{SkipNonce: true}, connector.Succeeded},
		"another access token": {relyingparty.Claims{"nonce": "n", "at_hash": "x"}, "n", relyingparty.IDTokens{}, connector.Broken},
		"that, by switch":      {relyingparty.Claims{"nonce": "n", "at_hash": "x"}, "n", relyingparty.IDTokens{SkipAtHash: true}, connector.Succeeded},
	} {
		if err := c.rules.CheckLogin(c.said, c.nonce, given); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	p := connectortest.New(t)
	discovery := relyingparty.NewDiscovery(p.Client(), slog.New(slog.DiscardHandler), p.URL, nil)
	if m, err := discovery.Get(t.Context()); err != nil || m.TokenEndpoint().URL != p.URL+"/token" {
		t.Errorf("%+v, %v", m, err)
	}
	other := relyingparty.NewDiscovery(p.Client(), slog.New(slog.DiscardHandler), p.URL, nil).With(url.Values{"appid": {"a b"}})
	if _, err := other.Get(t.Context()); err != nil {
		t.Error(err)
	}
	if got := p.Queries["/.well-known/openid-configuration"]; got != "appid=a+b" {
		t.Errorf("the metadata are asked for with %q", got)
	}
	p.Discovery = object{"issuer": "https://evil.test"}
	if _, err := discovery.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "says that its issuer is") {
		t.Error(err)
	}
}
