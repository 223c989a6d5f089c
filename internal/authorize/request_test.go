package authorize_test

import (
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"testing"

	"dex/internal/authorize"
	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/policy"
	"dex/internal/store/memory"
)

// refusing verifies no hint.
type refusing struct{}

func (refusing) VerifyHint(string) (string, error) { return "", errors.New("not ours") }

// A request can be parsed from parameters that have come in any way: they stay as they are, and the error says who can be told.
func TestParse(t *testing.T) {
	issuer, err := url.Parse("http://dex.test")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	clients := client.NewRegistry([]*client.Client{{ID: "app", RedirectURIs: []string{"https://app.test/cb"}}}, memory.New(),
		limit.NewSet(), log)
	p := authorize.New(authorize.Config{
		Issuer: issuer.String(), IssuerURL: issuer, Clients: clients, Policy: policy.New(clients, policy.Options{}),
		Hints: refusing{}, Log: log, Events: event.Discard, ResponseTypes: []string{"code"},
	})
	const user, application = "user", "application"
	for name, c := range map[string]struct {
		change url.Values
		told   string
		code   string
	}{
		"good":                 {nil, "", ""},
		"with a hint":          {url.Values{"id_token_hint": {"x"}}, "", ""},
		"no client":            {url.Values{"client_id": nil}, user, ""},
		"another redirect URI": {url.Values{"redirect_uri": {"https://evil.test/cb"}}, user, ""},
		"two redirect URIs":    {url.Values{"redirect_uri": {"https://app.test/cb", "https://app.test/cb"}}, user, ""},
		"a request object":     {url.Values{"request": {"e30.eyJzdGF0ZSI6Im8ifQ."}}, application, oauth.RequestNotSupported},
		"no response type":     {url.Values{"response_type": nil}, application, oauth.InvalidRequest},
		"two states":           {url.Values{"state": {"a", "b"}}, application, oauth.InvalidRequest},
		"no scope":             {url.Values{"scope": nil}, application, oauth.InvalidScope},
	} {
		params := url.Values{
			"client_id": {"app"}, "redirect_uri": {"https://app.test/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
		}
		maps.Copy(params, c.change)
		before := maps.Clone(params)
		req, err := p.Parse(t.Context(), params)
		if !maps.EqualFunc(before, params, slices.Equal[[]string]) {
			t.Errorf("%s: the parameters have become %v", name, params)
		}
		_, forUser := errors.AsType[*page.Error](err)
		refused, forApplication := errors.AsType[*oauth.Error](err)
		told := ""
		switch {
		case forUser && req == nil:
			told = user
		case forApplication && req != nil:
			told = application
		case err != nil || req == nil:
			t.Errorf("%s: the request is %v, the error %v", name, req, err)
		}
		if told != c.told || forApplication && refused.Code != c.code {
			t.Errorf("%s: the error is for the %s: %v", name, told, err)
		}
		if name == "a request object" && req.State != "o" {
			t.Errorf("%s: the state is %q", name, req.State)
		}
	}
}
