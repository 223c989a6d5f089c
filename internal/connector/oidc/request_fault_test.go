package oidc_test

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

var offline = connector.Scopes{OfflineAccess: true}

// A provider that wants the secret in the body, and says something else than invalid_client to one in the header, let
// nobody in.
var _ = faulttest.Add("C-03", func(t *testing.T) {
	for name, refusal := range map[string]struct {
		status int
		body   string
		want   bool
	}{
		"invalid_request":     {400, `{"error": "invalid_request"}`, true},
		"unauthorized_client": {401, `{"error": "unauthorized_client"}`, true},
		"no JSON":             {401, `<html>`, true},
		"an object":           {400, `{"error": {"code": 7}}`, true},
		"access_denied":       {403, `{"error": "access_denied"}`, true},
		"invalid_grant":       {400, `{"error": "invalid_grant"}`, true},
		"500":                 {500, `oops`, true},
		"200 with an error":   {200, `{"error": "incorrect_client_credentials"}`, true},
		"200 with nothing":    {200, `{}`, true},
		"too many":            {429, `{"error": "slow_down"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Token = func(w http.ResponseWriter, r *http.Request) bool {
				_, _, basic := r.BasicAuth()
				if basic {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(refusal.status)
					_, _ = w.Write([]byte(refusal.body))
				}
				return basic
			}
			c := p.open(nil)
			for range 2 {
				if _, err := p.signIn(c); (err == nil) != refusal.want {
					t.Fatal(err)
				}
			}
			if n := p.Asked["/token"]; refusal.want && n != 3 {
				t.Errorf("asked %d times for two codes, want 3: what has worked is remembered", n)
			}
		})
	}
})

// Some providers take a code that comes twice for a stolen one: once a way has worked, no code is shown twice.
var _ = faulttest.Add("C-03", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	if _, err := p.signIn(c); err != nil {
		t.Fatal(err)
	}
	p.Refuse = func(*http.Request) (int, string) { return http.StatusBadRequest, "invalid_grant" }
	_, err := p.signIn(c)
	if bad, ok := errors.AsType[*connector.BadToken](err); !ok || !strings.Contains(bad.Reason, "code") {
		t.Errorf("a code that is refused: %v", err)
	}
	if p.Asked["/token"] != 2 {
		t.Errorf("asked %d times, want 2", p.Asked["/token"])
	}
	p.Refuse = func(r *http.Request) (int, string) { // its operator has changed the client
		if _, _, basic := r.BasicAuth(); basic {
			return http.StatusUnauthorized, "invalid_client"
		}
		return 0, ""
	}
	if _, err := p.signIn(c); err != nil {
		t.Errorf("after the provider has changed its mind: %v", err)
	}
})

// offline_access was asked for where the provider lists it, and some of those refuse it to this client.
var _ = faulttest.Add("C-05", func(t *testing.T) {
	p := newProvider(t)
	p.Discovery = object{"scopes_supported": []string{"openid", "offline_access"}}
	request := connector.LoginRequest{Scopes: offline}
	if got, _ := p.begin(p.open(nil), request); got.Get("scope") != "openid profile email" {
		t.Errorf("by default: scope %q", got.Get("scope"))
	}
	c := p.open(object{"scopes": []string{"profile", "offline_access"}})
	got, data := p.begin(c, request)
	if got.Get("scope") != "openid profile offline_access" {
		t.Errorf("as configured: scope %q", got.Get("scope"))
	}
	p.Refuse = func(*http.Request) (int, string) { return http.StatusBadRequest, "not_allowed" }
	for name, answer := range map[string]url.Values{
		"by the browser":        {"error": {"invalid_scope"}},
		"at the token endpoint": {"code": {"x"}},
	} {
		_, err := p.back(c, data, answer)
		again, ok := errors.AsType[*connector.Again](err)
		if !ok {
			t.Errorf("refused %s: %v", name, err)
			continue
		}
		request.Again = again.Hint
		if got, _ := p.begin(c, request); got.Get("scope") != "openid profile" {
			t.Errorf("the second time: scope %q", got.Get("scope"))
		}
	}
	_, err := p.back(p.open(nil), data, url.Values{"error": {"invalid_scope"}})
	if _, ok := errors.AsType[*connector.Again](err); ok {
		t.Error("asks once more in the same words")
	}
})

// The prompt of the application and that of the configuration were joined, which many providers refuse.
var _ = faulttest.Add("C-06", func(t *testing.T) {
	p := newProvider(t)
	for _, c := range []struct {
		promptType any
		request    []string
		offline    bool
		want       []string
	}{
		{nil, []string{"login"}, true, []string{"login"}},
		{nil, []string{"login", "consent"}, true, []string{"login consent"}},
		{nil, nil, true, []string{"consent"}},
		{"select_account", []string{"login"}, true, []string{"login"}},
		{"", nil, true, []string{""}},
		{"", []string{"login"}, true, []string{"login"}},
		{nil, []string{"login"}, false, []string{"login"}},
		{nil, nil, false, nil},
	} {
		got, _ := p.begin(p.open(object{"promptType": c.promptType}), connector.LoginRequest{
			Prompt: c.request, Scopes: connector.Scopes{OfflineAccess: c.offline},
		})
		if strings.Join(got["prompt"], "|") != strings.Join(c.want, "|") || got.Has("prompt") != (c.want != nil) {
			t.Errorf("%v and %v, offline %t: prompt is %q", c.promptType, c.request, c.offline, got["prompt"])
		}
	}
})

// What a provider says to the application that sends the user was lost, and a page of its that was left open too long was the
// end of the login.
var _ = faulttest.Add("K4", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	_, data := p.begin(c, connector.LoginRequest{})
	for _, code := range []string{"unmet_authentication_requirements", "login_required", "access_denied"} {
		_, err := p.back(c, data, url.Values{"error": {code}})
		if denied, ok := errors.AsType[*connector.Denied](err); !ok || denied.Code != code {
			t.Errorf("%s: %#v", code, err)
		}
	}
	_, err := p.back(c, data, url.Values{"error": {"temporarily_unavailable"}, "error_description": {"authentication_expired"}})
	if _, ok := errors.AsType[*connector.Again](err); !ok || connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("a page that was left open: %v", err)
	}
	_, err = p.back(c, data, url.Values{"error": {"server_error"}})
	if connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("server_error: %v", err)
	}
})

// All connectors shared one address, at which an answer of one provider can be passed off as another's (RFC 9700, 4.4).
var _ = faulttest.Add("R4", func(t *testing.T) {
	p := newProvider(t)
	c := p.open(object{"redirectURI": ownCallbackURL})
	got, data := p.begin(c, connector.LoginRequest{})
	if got.Get("redirect_uri") != ownCallbackURL {
		t.Errorf("the provider is told %q", got.Get("redirect_uri"))
	}
	at := func(callback string) error {
		_, err := c.HandleCallback(t.Context(), connector.Return{
			CallbackURL: callback, Data: data, Request: httptest.NewRequest(http.MethodGet, callback+"?code=x", nil),
		})
		return err
	}
	if _, ok := errors.AsType[*connector.BadToken](at(callbackURL)); !ok || p.Asked["/token"] != 0 {
		t.Error("an answer at the address of all connectors counts")
	}
	if err := at(ownCallbackURL); err != nil || p.Form.Get("redirect_uri") != ownCallbackURL {
		t.Errorf("an answer at the connector's own: %v, %v", err, p.Form)
	}
})

// Clients that may only push their requests (RFC 9126), and those that authenticate by a signature of another kind, were
// refused.
var _ = faulttest.Add("K10", func(t *testing.T) {
	p := newProvider(t)
	p.Discovery = object{"require_pushed_authorization_requests": true, "pushed_authorization_request_endpoint": p.URL + "/par"}
	c := p.open(object{"scopes": []string{"profile", "offline_access"}})
	got, _ := p.begin(c, connector.LoginRequest{Scopes: offline})
	if got.Get("request_uri") != "urn:pushed" || got.Get("client_id") != "dex" || got.Has("scope") || got.Has("state") || got.Get("own") != "1" {
		t.Errorf("the browser takes along %v", got)
	}
	if p.Pushed.Get("state") != "the state" || p.Pushed.Get("nonce") == "" || p.Pushed.Get("scope") != "openid profile offline_access" {
		t.Errorf("pushed is %v", p.Pushed)
	}
	p.RefusePush = func(form url.Values) string {
		if strings.Contains(form.Get("scope"), "offline_access") {
			return "invalid_scope"
		}
		return ""
	}
	if p.begin(c, connector.LoginRequest{Scopes: offline}); p.Pushed.Get("scope") != "openid profile" {
		t.Errorf("pushed the second time is %v", p.Pushed)
	}
	p.RefusePush = func(url.Values) string { return "invalid_request" }
	if _, err := c.Begin(t.Context(), connector.LoginRequest{CallbackURL: callbackURL}); err == nil || !strings.Contains(err.Error(), "pushed") {
		t.Errorf("a push that is refused: %v", err)
	}
	if got, _ := p.begin(p.open(object{"pushedRequests": "never"}), connector.LoginRequest{}); got.Has("request_uri") {
		t.Errorf("pushed although it is switched off: %v", got)
	}
	p.RefusePush, p.Discovery = nil, object{"pushed_authorization_request_endpoint": p.URL + "/par"}
	if got, _ := p.begin(p.open(nil), connector.LoginRequest{}); got.Has("request_uri") {
		t.Errorf("pushed although nobody requires it: %v", got)
	}
	if got, _ := p.begin(p.open(object{"pushedRequests": "always"}), connector.LoginRequest{}); !got.Has("request_uri") {
		t.Errorf("not pushed although that is wanted: %v", got)
	}
})
