package microsoft_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
)

// Users are signed out at the tenant's address, and by the tenant's frames.
func TestLogout(t *testing.T) {
	const returnURL = "https://dex.test/logout/callback"
	m, c := start(t, domain, nil)
	m.Says = object{"sid": "session-1"}
	got, err := m.SignIn(t, c, connector.Scopes{})
	if err != nil || got.Session.ID != "session-1" || got.Session.Subject != "pairwise-ada-id" {
		t.Fatalf("%+v, %v", got.Session, err)
	}
	to, err := c.(connector.Logout).LogoutURL(t.Context(), connector.LogoutRequest{Session: got.Session, ReturnURL: returnURL, State: "s"})
	if err != nil {
		t.Fatal(err)
	}
	address, query, _ := strings.Cut(to.URL, "?")
	params, err := url.ParseQuery(query)
	if err != nil || address != m.URL+"/corp.example/oauth2/v2.0/logout" ||
		params.Get("post_logout_redirect_uri") != returnURL || params.Get("id_token_hint") != string(got.Session.Data) {
		t.Errorf("leads to %s, %v", to.URL, err)
	}
}

func TestFrontChannel(t *testing.T) {
	const other = "7c9b2f1a-50aa-4c7a-9d0a-0c2a6c1f7e02"
	for name, tt := range map[string]struct {
		tenant, iss string // the latter after the address
		sid         string
		taken       bool
	}{
		"the tenant":          {domain, connectortest.MicrosoftTenant + "/v2.0", "s", true},
		"in upper case":       {domain, strings.ToUpper(connectortest.MicrosoftTenant) + "/v2.0", "s", true},
		"another tenant":      {domain, other + "/v2.0", "s", false},
		"one of many":         {"common", other + "/v2.0", "s", true},
		"no tenant":           {"common", "common/v2.0", "s", false},
		"nothing in between":  {"common", "v2.0", "s", false},
		"another version":     {"common", other + "/v1.0", "s", false},
		"the tenant, and all": {domain, connectortest.MicrosoftTenant + "/v2.0", "", false},
	} {
		m, c := start(t, tt.tenant, nil)
		params := url.Values{"iss": {m.URL + "/" + tt.iss}}
		if tt.sid != "" {
			params.Set("sid", tt.sid)
		}
		r := httptest.NewRequest(http.MethodGet, "https://dex.test/logout/source?"+params.Encode(), nil)
		got, err := c.(connector.LogoutReceiver).ReceiveLogout(t.Context(), r)
		if tt.taken != (err == nil) || err != nil && connector.OutcomeOf(err) != connector.TokenRefused {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
