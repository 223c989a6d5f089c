package oidc_test

import (
	"errors"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// What an ID token lacks or has wrong was found only after the provider had been asked for more.
var _ = faulttest.Add("V3", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(object{"getUserInfo": true})
	p.IDToken = object{"sub": nil}
	if _, err := p.signIn(c); err == nil || !strings.Contains(err.Error(), "no sub") {
		t.Errorf("at a login without sub: %v", err)
	}
	last := connector.Identity{UserID: "sub-1", Data: kept("refresh 0")}
	for name, claims := range map[string]object{"no sub": {"sub": nil}, "another user": {"sub": "sub-2"}} {
		p.IDToken = merged(object{"nonce": nil}, object{"sub": ""})
		p.IDToken["sub"] = claims["sub"]
		got, err := c.Refresh(t.Context(), connector.Scopes{}, last)
		if err == nil || !strings.Contains(err.Error(), name) || errors.Is(err, connector.ErrGone) != (name == "another user") {
			t.Errorf("at a refresh, %s: %v", name, err)
		}
		if string(got.Data) != string(kept("refresh 1")) {
			t.Errorf("%s: what replaces the old token got lost: %s", name, got.Data)
		}
	}
	if p.Asked["/userinfo"] != 0 {
		t.Errorf("userinfo is asked %d times", p.Asked["/userinfo"])
	}
})

// A refresh compared the claim that is the user's id, and not who the provider says it is.
var _ = faulttest.Add("V7", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(object{"userIDKey": "email", "getUserInfo": true})
	p.UserInfo = object{"sub": "sub-1"}
	last, err := p.signIn(c)
	if err != nil || !strings.Contains(string(last.Data), `"Subject":"sub-1"`) {
		t.Fatalf("%s, %v", last.Data, err)
	}
	p.Nonce = ""
	fresh, err := c.Refresh(t.Context(), connector.Scopes{}, last)
	if err != nil || string(fresh.Data) != string(last.Data) {
		t.Fatalf("the same user: %s, %v", fresh.Data, err)
	}
	p.IDToken, p.UserInfo = object{"sub": "sub-2"}, object{"sub": "sub-2"}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, fresh); !errors.Is(err, connector.ErrGone) {
		t.Errorf("another user of the same address: %v", err)
	}
	p.Answer = object{"id_token": nil}
	p.UserInfo = object{"sub": "sub-2", "email": "jane@example.com", "email_verified": true}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, fresh); !errors.Is(err, connector.ErrGone) {
		t.Errorf("another user of the same address, by userinfo: %v", err)
	}
	upstreams := connector.Identity{UserID: "jane@example.com", Data: kept("refresh 0")}
	if fresh, err := c.Refresh(t.Context(), connector.Scopes{}, upstreams); err != nil || !strings.Contains(string(fresh.Data), `"Subject":"sub-2"`) {
		t.Errorf("a login through upstream: %s, %v", fresh.Data, err)
	}
	p.IDToken, p.Answer = object{"email": "other@example.com"}, nil
	p.UserInfo = object{"sub": "sub-1"}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, last); !errors.Is(err, connector.ErrGone) {
		t.Errorf("the same user by another address: %v", err)
	}
})
