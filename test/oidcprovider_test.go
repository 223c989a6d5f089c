package e2e

import (
	"net/http"
	"testing"

	"dex/test/servers"
)

// TestProviderThatIsNotOurs signs jane in at an independent provider, which requires PKCE and the secret in the body, and
// ends a login whose refresh token is used twice.
func TestProviderThatIsNotOurs(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent().withReuseInterval("0s")
	provider, err := servers.StartProvider(t.Context(), c.endpoint("/callback"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, provider) })
	settings := section{"clientID": provider.ClientID, "clientSecret": provider.ClientSecret, "rootCAs": []string{provider.CAFile}}
	unproved := oidcConnector(c, provider.URL, settings)
	unproved["id"] = "unproved"
	unproved["config"].(section)["pkceChallenge"] = "none"
	c.with("connectors", []section{oidcConnector(c, provider.URL, settings), unproved})
	d := startDex(t, c)
	browser := provider.Transport() // for both servers
	t.Cleanup(browser.CloseIdleConnections)
	d.transport = browser

	want := personClaims{
		Name: "Jane Doe", PreferredUsername: "jane", Email: "jane@example.org", EmailVerified: true, Groups: []string{"staff", "admins"},
	}
	tokens := d.mustLogin(t, "provider")
	t.Run("S2-05 login and refresh", func(t *testing.T) {
		wantClaims(t, tokens, want)
		for range 2 {
			if tokens = d.mustRefresh(t, tokens.RefreshToken); tokens.status != http.StatusOK {
				t.Fatalf("refresh: status %d, error %q", tokens.status, tokens.Error)
			}
			wantClaims(t, tokens, want)
		}
	})
	t.Run("S2-05 a thief uses a refresh token again", func(t *testing.T) {
		given, err := provider.Given(t.Context())
		if err != nil || len(given) != 3 {
			t.Fatalf("the provider has given %d refresh tokens, want 3 (%v)", len(given), err)
		}
		if refusal, err := provider.Redeem(t.Context(), given[0]); err != nil || refusal != "invalid_grant" {
			t.Fatalf("the thief is told %q (%v)", refusal, err)
		}
		wantRefused(t, "the token of a login that the provider has ended", d.mustRefresh(t, tokens.RefreshToken))
		again := d.mustLogin(t, "provider")
		if next := d.mustRefresh(t, again.RefreshToken); next.status != http.StatusOK {
			t.Errorf("after another login: status %d, error %q", next.status, next.Error)
		}
	})
	t.Run("S2-05 a login without a proof key", func(t *testing.T) {
		p, err := newVisitor(d.transport).get(t.Context(), d.authURL("/auth/unproved", nil))
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, p, "server_error")
		d.eventuallyLogs(t, `the provider answers \"invalid_request\"`)
	})
}
