package oauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

func (p *provider) back(c connection, callback string, data []byte, answer url.Values) error {
	p.t.Helper()
	_, err := c.HandleCallback(p.t.Context(), connector.Return{
		CallbackURL: callback, Data: data, Request: httptest.NewRequest(http.MethodGet, callback+"?"+answer.Encode(), nil),
	})
	return err
}

// A provider that wants the secret in the body, and says something else than invalid_client to one in the header, let
// nobody in.
var _ = faulttest.Add("C-03", func(t *testing.T) {
	for _, refusal := range []struct {
		status int
		code   string
	}{
		{400, "invalid_request"}, {403, "access_denied"}, {200, "incorrect_client_credentials"}, {500, "oops"}, {400, "invalid_grant"},
	} {
		p := newProvider(t)
		p.Refuse = func(r *http.Request) (int, string) {
			if _, _, basic := r.BasicAuth(); basic {
				return refusal.status, refusal.code
			}
			return 0, ""
		}
		c := p.open(nil)
		for range 2 {
			if _, err := p.signIn(c, connector.Scopes{}); err != nil {
				t.Errorf("%d %s: %v", refusal.status, refusal.code, err)
			}
		}
		if p.Asked["/token"] != 3 {
			t.Errorf("%d %s: asked %d times for two codes, want 3", refusal.status, refusal.code, p.Asked["/token"])
		}
	}
})

// Only invalid_grant ended a session: applications tried for ever what only the user can mend.
var _ = faulttest.Add("C-08", func(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		want   connector.Outcome
	}{
		"interaction_required": {400, connector.Gone},
		"bad_refresh_token":    {200, connector.Gone},
		"access_denied":        {403, connector.Gone},
		"invalid_client":       {401, connector.Broken},
		"oops":                 {502, connector.Unavailable},
	} {
		p := newProvider(t)
		conn := p.open(nil)
		last, err := p.signIn(conn, connector.Scopes{OfflineAccess: true})
		if err != nil {
			t.Fatal(err)
		}
		p.Refuse = func(*http.Request) (int, string) { return c.status, code }
		_, err = conn.Refresh(t.Context(), connector.Scopes{OfflineAccess: true}, last)
		if got := connector.OutcomeOf(err); got != c.want {
			t.Errorf("%s: %s, want %s: %v", code, got, c.want, err)
		}
	}
	p := newProvider(t)
	c := p.open(nil)
	p.fails(http.StatusBadGateway)
	if _, err := p.signIn(c, connector.Scopes{}); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("userinfo answers 502: %v", err)
	}
})

// All connectors shared one address, and nobody looked at the iss of an answer (RFC 9207).
var _ = faulttest.Add("R4", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(object{"redirectURI": ownCallbackURL})
	got, data := p.begin(c)
	if got.Get("redirect_uri") != ownCallbackURL {
		t.Errorf("the provider is told %q", got.Get("redirect_uri"))
	}
	code := url.Values{"code": {"x"}}
	if _, ok := errors.AsType[*connector.BadToken](p.back(c, callbackURL, data, code)); !ok || p.Asked["/token"] != 0 {
		t.Error("an answer at the address of all connectors counts")
	}
	if err := p.back(c, ownCallbackURL, data, code); err != nil || p.Form.Get("redirect_uri") != ownCallbackURL {
		t.Errorf("an answer at the connector's own: %v, %v", err, p.Form)
	}
	asked := p.Asked["/token"]
	c = p.open(object{"issuer": "https://idp.test"})
	_, data = p.begin(c)
	for _, iss := range []string{"https://evil.test", ""} {
		answer := url.Values{"code": {"x"}}
		if iss != "" {
			answer.Set("iss", iss)
		}
		if _, ok := errors.AsType[*connector.BadToken](p.back(c, callbackURL, data, answer)); !ok || p.Asked["/token"] != asked {
			t.Errorf("an answer with the iss %q counts", iss)
		}
	}
	if err := p.back(c, callbackURL, data, url.Values{"code": {"x"}, "iss": {"https://idp.test"}}); err != nil {
		t.Errorf("the provider's own answer: %v", err)
	}
})

// A provider that refuses parameters which it does not know needs the switch, which its page names.
var _ = faulttest.Add("C-38", func(t *testing.T) {
	for _, row := range faulttest.Table(t, "../../../docs/connectors/additions.md", "| Addition |") {
		if row["Addition"] != "PKCE" || !strings.Contains(row["Type"], "`oauth`") {
			continue
		}
		if row["Switch"] != "`pkceChallenge: none`" {
			t.Errorf("the switch is %s", row["Switch"])
		}
	}
	p := newProvider(t)
	if got, _ := p.begin(p.open(nil)); !got.Has("code_challenge") {
		t.Error("no challenge by default")
	}
	if got, _ := p.begin(p.open(object{"pkceChallenge": "none"})); got.Has("code_challenge") || got.Has("code_challenge_method") {
		t.Errorf("with the switch the provider gets %v", got)
	}
})
