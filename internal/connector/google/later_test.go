package google_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/google"
	"dex/internal/oauth"
)

func TestRefresh(t *testing.T) {
	g, c := startWithKey(t, nil)
	id, err := g.SignIn(t, c, connector.Scopes{OfflineAccess: true, Groups: true})
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(what string, want connector.Outcome) connector.Identity {
		t.Helper()
		next, err := c.Refresh(t.Context(), groups, id)
		if connector.OutcomeOf(err) != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
		return next
	}
	g.Says = object{"name": nil}
	if next := refresh("without name", connector.Succeeded); next.Username != "Ada L" || len(next.Groups) != 2 {
		t.Errorf("%+v", next)
	}
	g.NoIDToken = true
	if next := refresh("without ID token", connector.Succeeded); next.UserID != "1001" || next.Username != "Ada L" {
		t.Errorf("%+v", next)
	}
	g.NoIDToken = false
	g.Says = object{"sub": "1002"}
	refresh("another user", connector.Gone)
	g.Says = object{"aud": "other"}
	refresh("for another", connector.TokenRefused)
	g.Says = nil
	g.Answer("/admin/directory/v1/groups", connectortest.Always(http.StatusUnauthorized, `{"error": {"code": 401}}`))
	if next := refresh("the service account's token is refused", connector.Broken); next.Data == nil {
		t.Error("the user's tokens are lost")
	}
	g.Answer("/admin/directory/v1/groups", nil)
	g.Revoke("1001")
	refresh("revoked", connector.Gone)
}

// Upstream keeps the bare refresh token.
func TestUpstreamsData(t *testing.T) {
	g, c := start(t, nil)
	id, err := g.SignIn(t, c, offline)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ RefreshToken string }
	if err := json.Unmarshal(id.Data, &kept); err != nil || kept.RefreshToken == "" {
		t.Fatalf("%s, %v", id.Data, err)
	}
	id.Data = []byte(kept.RefreshToken)
	next, err := c.Refresh(t.Context(), connector.Scopes{}, id)
	if err != nil || next.UserID != "1001" {
		t.Errorf("%+v, %v", next, err)
	}
	if err := json.Unmarshal(next.Data, &kept); err != nil || kept.RefreshToken != string(id.Data) {
		t.Errorf("%s, %v", next.Data, err)
	}
	for _, data := range []string{"", "unknown", "{"} {
		id.Data = []byte(data)
		if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Gone {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// Google gives no refresh token to users who were asked for consent before, unless they are asked again.
func TestNoRefreshToken(t *testing.T) {
	var log bytes.Buffer
	g := connectortest.NewGoogle(t)
	c := connectortest.Open(t, &google.Config{}, connectortest.Merged(g.Settings(), object{"promptType": ""}), &log)
	if id, err := g.SignIn(t, c, offline); err != nil || id.Data == nil {
		t.Errorf("%+v, %v", id, err)
	}
	if id, err := g.SignIn(t, c, offline); err != nil || id.Data != nil || !strings.Contains(log.String(), "no refresh token") {
		t.Errorf("what was kept of another login is replaced: %s, %v\n%s", id.Data, err, log.String())
	}
}

func TestExchange(t *testing.T) {
	g, c := start(t, nil)
	exchanger := c.(connector.TokenIdentity)
	for name, e := range map[string]struct {
		said object
		want connector.Outcome
	}{
		"ours":                  {nil, connector.Succeeded},
		"another's":             {object{"aud": "other"}, connector.TokenRefused},
		"from a device":         {object{"azp": "device"}, connector.Succeeded},
		"old":                   {object{"exp": 1}, connector.TokenRefused},
		"of another issuer":     {object{"iss": "https://evil.test"}, connector.TokenRefused},
		"an application's JWT":  {object{"iat": nil}, connector.TokenRefused},
		"given to another, too": {object{"aud": []string{"dex", "other"}, "azp": "other"}, connector.TokenRefused},
	} {
		token := g.Sign(connectortest.Merged(connectortest.Merged(g.Claims("1001"), times()), e.said))
		id, err := exchanger.TokenIdentity(t.Context(), groups, connector.SubjectToken{Type: oauth.TokenTypeID, Token: token})
		if connector.OutcomeOf(err) != e.want || (id.UserID == "1001") != (err == nil) {
			t.Errorf("%s: %+v, %v, want %s", name, id, err, e.want)
		}
	}
	for client, want := range map[string]connector.Outcome{"dex": connector.Succeeded, "other": connector.TokenRefused} {
		token := connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: g.Token(client, "1001", "openid")}
		if id, err := exchanger.TokenIdentity(t.Context(), groups, token); connector.OutcomeOf(err) != want {
			t.Errorf("an access token of %s: %+v, %v", client, id, err)
		}
	}
	for aud, want := range map[string]connector.Outcome{
		`"aud": "dex", "azp": "device"`: connector.Succeeded, `"aud": "other", "azp": "dex"`: connector.Succeeded,
		`"aud": ["dex"]`: connector.TokenRefused, `"x": 1`: connector.TokenRefused,
	} {
		g.Answer("/tokeninfo", connectortest.Always(200, "{"+aud+"}"))
		token := connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: g.Token("other", "1001", "openid")}
		if id, err := exchanger.TokenIdentity(t.Context(), groups, token); connector.OutcomeOf(err) != want {
			t.Errorf("%s: %+v, %v", aud, id, err)
		}
	}
	for status, want := range map[int]connector.Outcome{
		401: connector.Broken, 403: connector.Broken, 502: connector.Unavailable, 400: connector.TokenRefused,
	} {
		g.Answer("/tokeninfo", connectortest.Always(status, `{"error": "invalid_token"}`))
		_, err := exchanger.TokenIdentity(t.Context(), groups, connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "secret-token"})
		if connector.OutcomeOf(err) != want || strings.Contains(fmt.Sprint(err), "secret-token") {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
}
