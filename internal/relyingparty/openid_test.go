package relyingparty_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/oauth"
	"dex/internal/relyingparty"
)

// openID returns a connector that believes what an ID token says.
func openID(t *testing.T, p *connectortest.Provider) *relyingparty.SignIn {
	const callbackURL = "https://dex.test/callback"
	us := (&relyingparty.Client{ID: "dex", Secret: "secret"}).Over(p.Client())
	log := slog.New(slog.DiscardHandler)
	return &relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, Challenge: relyingparty.ChallengeS256,
			Callback: relyingparty.NewCallback(t.Context(), "", connector.Env{CallbackURL: callbackURL, Log: log}),
		},
		HTTP:   p.Client(),
		Scopes: func(connector.Scopes) []string { return []string{oauth.ScopeOpenID} },
		Identify: func(
			_ context.Context, _ *relyingparty.Calls, _ connector.Scopes, given *relyingparty.Tokens,
		) (connector.Identity, error) {
			return connector.Identity{UserID: given.Said.Text("sub")}, nil
		},
		AlwaysRenew: true,
		OpenID: &relyingparty.OpenID{
			Discovery: relyingparty.NewDiscovery(p.Client(), log, p.URL, nil),
			Tokens: &relyingparty.IDTokens{
				Keys: &relyingparty.Keys{Client: p.Client(), MaxAge: time.Hour}, Issuer: p.URL, ClientID: "dex",
			},
		},
	}
}

// signIn begins a login, whose nonce the provider then knows, and comes back with a code and more.
func signIn(t *testing.T, s *relyingparty.SignIn, p *connectortest.Provider, nonce, more string) (connector.Identity, error) {
	t.Helper()
	to, err := s.Begin(t.Context(), connector.LoginRequest{State: "s"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	if p.Nonce = nonce; nonce == "" {
		p.Nonce = u.Query().Get("nonce")
	}
	return s.HandleCallback(t.Context(), connector.Return{
		CallbackURL: u.Query().Get("redirect_uri"), Data: to.Data, Scopes: connector.Scopes{OfflineAccess: true},
		Request: httptest.NewRequest(http.MethodGet, "/callback?code=c"+more, http.NoBody),
	})
}

func TestOpenIDLogin(t *testing.T) {
	for name, c := range map[string]struct {
		nonce, more                string
		idToken, answer, discovery object
		want                       connector.Outcome
	}{
		"a login":          {want: connector.Succeeded},
		"of another login": {nonce: "another", want: connector.TokenRefused},
		"for another":      {idToken: object{"aud": "other"}, want: connector.Broken},
		"no ID token":      {answer: object{"id_token": nil}, want: connector.Broken},
		"with issuer":      {more: "&iss=", discovery: object{"authorization_response_iss_parameter_supported": true}, want: connector.TokenRefused},
		"no address":       {discovery: object{"token_endpoint": nil}, want: connector.Broken},
		"another's at":     {idToken: object{"at_hash": "x"}, want: connector.Broken},
	} {
		p := connectortest.New(t)
		p.IDToken, p.Answer, p.Discovery = c.idToken, c.answer, c.discovery
		id, err := signIn(t, openID(t, p), p, c.nonce, c.more)
		if connector.OutcomeOf(err) != c.want || (id.UserID == "sub-1") != (err == nil) {
			t.Errorf("%s: %+v, %v, want %s", name, id, err, c.want)
		}
	}
}

func TestOpenIDRefresh(t *testing.T) {
	p := connectortest.New(t)
	s := openID(t, p)
	id, err := signIn(t, s, p, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		idToken object
		want    connector.Outcome
	}{
		"the same":         {nil, connector.Succeeded},
		"without nonce":    {object{"nonce": nil}, connector.Succeeded},
		"another user":     {object{"sub": "sub-2"}, connector.Gone},
		"another audience": {object{"aud": "other"}, connector.TokenRefused},
		"another's hash":   {object{"at_hash": "x"}, connector.Broken},
	} {
		p.IDToken = c.idToken
		if next, err := s.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != c.want || next.Data == nil {
			t.Errorf("%s: %+v, %v, want %s", name, next, err, c.want)
		}
	}
}

func TestHolderOfID(t *testing.T) {
	p := connectortest.New(t)
	s := openID(t, p)
	for name, c := range map[string]struct {
		idToken object
		any     bool
		want    connector.Outcome
	}{
		"ours":                   {nil, false, connector.Succeeded},
		"from a device":          {object{"azp": "device"}, false, connector.Succeeded},
		"another's, of a list":   {object{"aud": []string{"dex", "other"}, "azp": "other"}, false, connector.TokenRefused},
		"another's":              {object{"aud": "other"}, false, connector.TokenRefused},
		"another's, for anybody": {object{"aud": "other"}, true, connector.TokenRefused},
		"old":                    {object{"exp": 1}, true, connector.TokenRefused},
		"forged":                 {object{"iss": "https://evil.test"}, true, connector.TokenRefused},
	} {
		id, err := s.HolderOfID(t.Context(), connector.Scopes{},
			connector.SubjectToken{Type: oauth.TokenTypeID, Token: p.Sign(c.idToken), AnyAudience: c.any})
		if connector.OutcomeOf(err) != c.want || (id.UserID != "") != (err == nil) {
			t.Errorf("%s: %+v, %v, want %s", name, id, err, c.want)
		}
	}
	if _, err := s.HolderOfID(t.Context(), connector.Scopes{}, connector.SubjectToken{Token: "a b"}); connector.OutcomeOf(err) != connector.TokenRefused {
		t.Error(err)
	}
}
