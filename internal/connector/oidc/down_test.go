package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"dex/internal/connector"
	"dex/internal/oauth"
)

func TestProviderThatIsDown(t *testing.T) {
	p := newProvider(t)
	p.Down = true
	c := p.open(nil)
	if err := c.Probe(t.Context()); err == nil {
		t.Error("a provider that is down seems fine")
	}
	if _, err := c.Begin(t.Context(), connector.LoginRequest{CallbackURL: callbackURL}); err == nil {
		t.Error("a login begins")
	}
	if n := p.Asked["/.well-known/openid-configuration"]; n != 1 {
		t.Errorf("asked %d times, want once: the failure is remembered for a moment", n)
	}
	p.Mu.Lock()
	p.Down = false
	p.Mu.Unlock()
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
	if _, err := p.signIn(c); err != nil {
		t.Error(err)
	}
	p.Mu.Lock()
	p.Down = true
	p.Mu.Unlock()
	if err := c.Probe(t.Context()); err == nil {
		t.Error("a provider that went down seems fine")
	}
	if _, err := c.Begin(t.Context(), connector.LoginRequest{CallbackURL: callbackURL}); err != nil {
		t.Errorf("what was known is forgotten: %v", err)
	}
}

func TestAnotherIssuer(t *testing.T) {
	p := newProvider(t)
	p.Discovery = object{"issuer": p.URL + "/"}
	if err := p.open(nil).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "issuerAlias") {
		t.Errorf("got %v", err)
	}
	if err := p.open(object{"issuerAlias": p.URL}).Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWrongCallback(t *testing.T) {
	p := newProvider(t)
	_, err := p.open(object{"redirectURI": "https://dex.test/other"}).Begin(t.Context(), connector.LoginRequest{CallbackURL: callbackURL})
	if err == nil || !strings.Contains(err.Error(), callbackURL) {
		t.Errorf("got %v", err)
	}
}

// Tokens with keys that nobody has must not become requests.
func TestKeysAreFetchedSparingly(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	if _, err := p.signIn(c); err != nil {
		t.Fatal(err)
	}
	p.KeyID = "invented"
	token := p.Sign(nil)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			_, err := c.TokenIdentity(t.Context(), connector.Scopes{}, connector.SubjectToken{Type: oauth.TokenTypeID, Token: token})
			if err == nil {
				t.Error("a key that nobody has signs users in")
			}
		})
	}
	all.Wait()
	if n := p.Asked["/keys"]; n > 10 {
		t.Errorf("keys were fetched %d times", n)
	}
}

func TestLogout(t *testing.T) {
	p := newProvider(t)
	r := connector.LogoutRequest{ReturnURL: "https://dex.test/logout/callback", State: "s"}
	if to, err := p.open(nil).LogoutURL(t.Context(), r); err != nil || to.URL != "" {
		t.Errorf("without an endpoint: %v, %v", to, err)
	}
	p.Discovery = object{"end_session_endpoint": p.URL + "/end?x=1"}
	c := p.open(nil)
	to, err := c.LogoutURL(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := p.URL + "/end?client_id=dex&post_logout_redirect_uri=https%3A%2F%2Fdex.test%2Flogout%2Fcallback&state=s&x=1"
	if to.URL != want {
		t.Errorf("leads to %s, want %s", to.URL, want)
	}
	for state, fine := range map[string]bool{"s": true, "t": false} {
		back := connector.Return{State: "s", Request: httptest.NewRequest(http.MethodGet, "/logout/callback?state="+state, nil)}
		if err := c.HandleLogout(t.Context(), back); (err == nil) != fine {
			t.Errorf("state %s: %v", state, err)
		}
	}
	p.Discovery = object{"end_session_endpoint": "javascript:alert(1)"}
	if to, err := p.open(nil).LogoutURL(t.Context(), r); err != nil || to.URL != "" {
		t.Errorf("an address that is a script is taken: %v, %v", to, err)
	}
}
