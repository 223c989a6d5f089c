package oidc_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/oauth"
)

func kept(token string) []byte {
	return []byte(`{"RefreshToken":"` + base64.StdEncoding.EncodeToString([]byte(token)) + `"}`)
}

func TestRefresh(t *testing.T) {
	last := connector.Identity{UserID: "sub-1", Username: "Old", Email: "old@example.com", Groups: []string{"a"}, Data: kept("refresh 0")}
	current := connector.Identity{UserID: "sub-1", Username: "Jane", Email: "jane@example.com", EmailVerified: true}
	with := func(id connector.Identity, token string) connector.Identity {
		id.Data = kept(token)
		return id
	}
	for name, c := range map[string]struct {
		settings, idToken, userInfo, answer object
		refuse                              func(*http.Request) (int, string)
		last                                connector.Identity
		want                                connector.Identity
		gone, denied, fails                 bool
	}{
		"rotated":                         {last: last, want: with(current, "refresh 1")},
		"not rotated":                     {answer: object{"refresh_token": nil}, last: last, want: with(current, "refresh 0")},
		"without news":                    {answer: object{"id_token": nil}, last: last, want: with(last, "refresh 1")},
		"news by request":                 {settings: object{"getUserInfo": true}, answer: object{"id_token": nil}, last: last, userInfo: object{"sub": "sub-1", "name": "Info", "email": "i@x", "email_verified": true}, want: connector.Identity{UserID: "sub-1", Username: "Info", Email: "i@x", EmailVerified: true, Data: kept("refresh 1")}},
		"no token":                        {last: connector.Identity{UserID: "sub-1"}, gone: true},
		"empty token":                     {last: connector.Identity{UserID: "sub-1", Data: []byte(`{"RefreshToken":""}`)}, gone: true},
		"refused":                         {last: last, refuse: func(*http.Request) (int, string) { return http.StatusBadRequest, "invalid_grant" }, gone: true},
		"our fault":                       {last: last, refuse: func(*http.Request) (int, string) { return http.StatusUnauthorized, "invalid_client" }, fails: true},
		"their fault":                     {last: last, refuse: func(*http.Request) (int, string) { return http.StatusServiceUnavailable, "oops" }, fails: true},
		"another user":                    {last: last, idToken: object{"sub": "sub-2"}, gone: true},
		"userinfo fails":                  {settings: object{"getUserInfo": true}, last: last, userInfo: object{"sub": "sub-2"}, fails: true},
		"without news, no longer allowed": {settings: object{"allowedGroups": []string{"b"}}, answer: object{"id_token": nil}, last: last, denied: true},
		"without news, allowed":           {settings: object{"allowedGroups": []string{"a"}}, answer: object{"id_token": nil}, last: last, want: with(last, "refresh 1")},
		"no longer allowed":               {settings: object{"allowedGroups": []string{"b"}}, last: last, idToken: object{"groups": []string{"a"}}, denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.IDToken, p.UserInfo, p.Answer, p.Refuse = merged(object{"nonce": nil}, c.idToken), c.userInfo, c.answer, c.refuse
			got, err := p.open(c.settings).Refresh(t.Context(), connector.Scopes{}, c.last)
			_, isDenied := errors.AsType[*connector.Denied](err)
			if (err != nil) != (c.gone || c.denied || c.fails) || errors.Is(err, connector.ErrGone) != c.gone || isDenied != c.denied {
				t.Fatalf("%+v, %v", got, err)
			}
			if err != nil { // what replaces the old token must not get lost
				c.want = connector.Identity{}
				if p.Form != nil && c.refuse == nil {
					c.want.Data = kept("refresh 1")
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if p.Form != nil && p.Form.Get("refresh_token") != "refresh 0" {
				t.Errorf("shown is %q", p.Form.Get("refresh_token"))
			}
		})
	}
}

func TestExchange(t *testing.T) {
	machines := object{"clientID": nil, "clientSecret": nil, "redirectURI": nil, "scopes": []string{"groups", "federated:id"}, "userNameKey": "sub"}
	bare := object{"name": nil, "email": nil, "email_verified": nil, "nonce": nil}
	for name, c := range map[string]struct {
		settings, idToken object
		token             string // as it is, instead of the ID token
		access, any       bool
		sub               string
		refused           string // in the reason
	}{
		"ID token":                        {sub: "sub-1"},
		"of a machine":                    {settings: machines, idToken: merged(bare, object{"aud": "anything", "sub": "repo:o/r"}), sub: "repo:o/r"},
		"another audience":                {idToken: object{"aud": "other"}, refused: "exchangeAudiences"},
		"another audience, taken":         {idToken: object{"aud": "other"}, any: true, sub: "sub-1"},
		"another audience, listed":        {settings: object{"exchangeAudiences": []string{"other"}}, idToken: object{"aud": "other"}, sub: "sub-1"},
		"machines of one audience":        {settings: merged(machines, object{"exchangeAudiences": []string{"x"}}), idToken: bare, refused: "exchangeAudiences"},
		"expired":                         {idToken: object{"exp": time.Now().Add(-time.Hour).Unix()}, refused: "expired"},
		"another issuer's":                {idToken: object{"iss": "https://evil.test"}, refused: "issuer"},
		"nonsense":                        {token: "nonsense", refused: "no key"},
		"JWT as access token":             {access: true, sub: "sub-1"},
		"JWT as access token, by azp":     {access: true, idToken: object{"aud": "api", "azp": "dex"}, refused: "insecureExchangeByRequester"},
		"JWT as access token of another":  {access: true, idToken: object{"aud": "api", "azp": "other"}, refused: "exchangeAudiences"},
		"opaque access token":             {access: true, token: "opaque", refused: "getUserInfo"},
		"access token by userinfo":        {settings: object{"getUserInfo": true}, access: true, token: "opaque", sub: "sub-9"},
		"access token by userinfo, wrong": {settings: object{"getUserInfo": true}, access: true, token: "unknown", refused: "knows nobody"},
		"JWT by userinfo, of another":     {settings: object{"getUserInfo": true}, access: true, idToken: object{"aud": "other"}, refused: "exchangeAudiences"},
		"not allowed":                     {settings: object{"allowedGroups": []string{"a"}}, refused: "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.UserInfo = object{"sub": "sub-9", "name": "Info", "email": "i@x", "email_verified": true}
			subject := connector.SubjectToken{Type: oauth.TokenTypeID, Token: c.token, AnyAudience: c.any}
			if c.access {
				subject.Type = oauth.TokenTypeAccess
			}
			if subject.Token == "" {
				subject.Token = p.Sign(c.idToken)
			}
			id, err := p.open(c.settings).TokenIdentity(t.Context(), connector.Scopes{}, subject)
			switch {
			case c.refused == "denied":
				if connector.OutcomeOf(err) != connector.Refused {
					t.Errorf("%+v, %v", id, err)
				}
			case c.refused != "":
				if bad, ok := errors.AsType[*connector.BadToken](err); !ok || !strings.Contains(bad.Reason, c.refused) {
					t.Errorf("%+v, %v", id, err)
				}
			case err != nil || id.UserID != c.sub:
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
	p := newProvider(t)
	c := p.open(nil)
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Down = true
	_, err := c.TokenIdentity(t.Context(), connector.Scopes{}, connector.SubjectToken{Type: oauth.TokenTypeID, Token: p.Sign(nil)})
	_, isBad := errors.AsType[*connector.BadToken](err)
	if err == nil || isBad {
		t.Errorf("a provider that is down makes the token bad: %v", err)
	}
}
