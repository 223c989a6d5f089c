package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oidcConnector returns a connector to a provider, where it is the client dex.
func oidcConnector(c *configuration, issuer string, more section) section {
	settings := section{
		"issuer": issuer, "clientID": "dex", "clientSecret": "dex-secret", "redirectURI": c.endpoint("/callback"),
		"scopes": []string{"profile", "email", "groups", "offline_access"}, "insecureEnableGroups": true,
	}
	maps.Copy(settings, more)
	return section{"type": "oidc", "id": "provider", "name": "Provider", "config": settings}
}

// newProvider returns the configuration of a Dex that is another one's provider. Its refresh tokens can be used only once.
func newProvider(t *testing.T, of *configuration) *configuration {
	t.Helper()
	c := newConfiguration(t).withReuseInterval("0s")
	delete(c.root, "connectors")
	return c.with("staticClients", []section{
		{"id": "dex", "name": "Dex", "secret": "dex-secret", "redirectURIs": []string{of.endpoint("/callback")}},
	})
}

// administrator has the provider's claims about its user.
var administrator = personClaims{
	Name: adminName, PreferredUsername: "admin", Email: adminEmail, EmailVerified: true, Groups: []string{"team-a", "team-a/admins"},
}

// TestProviderOfOthers signs people in at a provider, and keeps them signed in as long as it wants it.
func TestProviderOfOthers(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent().withReuseInterval("0s")
	theirs := newProvider(t, c)
	provider := startDex(t, theirs)
	d := startDex(t, c.with("connectors", []section{oidcConnector(c, provider.issuer, nil)}))

	t.Run("S2-05 login and refresh", func(t *testing.T) {
		tokens := d.mustLogin(t, "provider")
		for range 3 {
			wantClaims(t, tokens, administrator)
			next := d.mustRefresh(t, tokens.RefreshToken)
			if next.status != http.StatusOK || next.RefreshToken == tokens.RefreshToken {
				t.Fatalf("refresh: status %d, error %q", next.status, next.Error)
			}
			tokens = next
		}
	})
	t.Run("S2-05 devices at once", func(t *testing.T) { testDevicesAtOnce(t, d) })

	left, stays := d.mustLogin(t, "provider").RefreshToken, d.mustLogin(t, "provider").RefreshToken
	provider.stop(t)
	t.Run("S2-05 the provider is down", func(t *testing.T) {
		answer := d.mustRefresh(t, left)
		if answer.status != http.StatusServiceUnavailable || answer.Error != "temporarily_unavailable" {
			t.Errorf("refresh: status %d, error %q", answer.status, answer.Error)
		}
	})
	provider = startDex(t, theirs)
	t.Run("S2-05 the provider is back", func(t *testing.T) {
		answer := d.mustRefresh(t, left) // with the token that failed before
		if answer.status != http.StatusOK {
			t.Fatalf("refresh: status %d, error %q", answer.status, answer.Error)
		}
		wantClaims(t, answer, administrator)
	})
	provider.stop(t)
	startDex(t, theirs.with("staticPasswords", []section{}))
	t.Run("S2-05 the user is gone", func(t *testing.T) { wantRefused(t, "the token of a user who is gone", d.mustRefresh(t, stays)) })
}

// testDevicesAtOnce refreshes several logins of a user concurrently. They share the provider's refresh token, which can be
// used only once.
func testDevicesAtOnce(t *testing.T, d *dex) {
	tokens := make([]string, 6)
	for i := range tokens {
		tokens[i] = d.mustLogin(t, "provider").RefreshToken
	}
	for round := range 3 {
		err := crowd(t.Context(), len(tokens), func(ctx context.Context, i int) error {
			answer, err := d.refresh(ctx, tokens[i])
			if err != nil {
				return err
			}
			if answer.status != http.StatusOK {
				return fmt.Errorf("round %d, device %d: status %d, error %q", round, i, answer.status, answer.Error)
			}
			tokens[i] = answer.RefreshToken
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestProviderThatIsDownAtTheStart shows that it affects only its own users, and only while it is down.
func TestProviderThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent()
	theirs := newProvider(t, c)
	c.with("connectors", []section{{"type": "mockCallback", "id": "mock", "name": "Example"}, oidcConnector(c, theirs.issuer, nil)})
	d := startDex(t, c)
	t.Run("S1-68 it is down", func(t *testing.T) {
		d.eventuallySays(t, "/metrics", `dex_connector_up{connector="provider",type="oidc"} 0`)
		if got := d.choices(t)["provider"]; !strings.HasSuffix(got, "Not answering at the moment") {
			t.Errorf("the link to it says %q", got)
		}
		d.mustLogin(t, "mock")
		p, err := newVisitor(d.transport).get(t.Context(), d.authURL("/auth/provider", nil))
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, p, "temporarily_unavailable")
		d.eventuallyLogs(t, "connector fails")
	})
	startDex(t, theirs)
	t.Run("S1-68 it recovers", func(t *testing.T) {
		d.eventuallySays(t, "/metrics", `dex_connector_up{connector="provider",type="oidc"} 1`)
		wantClaims(t, d.mustLogin(t, "provider"), administrator)
		if got := d.choices(t)["provider"]; got != "Log in with Provider" {
			t.Errorf("the link to it says %q", got)
		}
	})
}

// TestProviderRefusals shows what happens to logins that fail at the provider.
func TestProviderRefusals(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent().withReuseInterval("0s") // to ask at each refresh
	theirs := newProvider(t, c)
	provider := startDex(t, theirs)
	var connectors []section
	for id, more := range map[string]section{
		"members": {"allowedGroups": []string{"team-a"}}, "others": {"allowedGroups": []string{"team-b"}},
		"wrong-secret": {"clientSecret": "wrong"}, "wrong-callback": {"redirectURI": c.endpoint("/elsewhere")}, "consent": {},
	} {
		connector := oidcConnector(c, provider.issuer, more)
		connector["id"] = id
		connectors = append(connectors, connector)
	}
	d := startDex(t, c.with("connectors", connectors))

	member := d.mustLogin(t, "members")
	t.Run("S2-05 members of a group", func(t *testing.T) {
		if got := member.claims(t).Groups; !slices.Equal(got, []string{"team-a"}) {
			t.Errorf("groups %q", got)
		}
		if member = d.mustRefresh(t, member.RefreshToken); member.status != http.StatusOK {
			t.Errorf("refresh: status %d, error %q", member.status, member.Error)
		}
	})
	t.Run("S2-05 members of no group that may log in", func(t *testing.T) {
		wantPage(t, d.visitProvider(t, "others", "approve"), http.StatusForbidden, "You are not in a group that may log in here.")
	})
	t.Run("S2-05 the user does not consent", func(t *testing.T) {
		if p := d.visitProvider(t, "consent", "rejected"); p.answer.Get("error") != "access_denied" || p.answer.Get("state") == "" {
			t.Errorf("status %d at %s, the application is told %v", p.status, p.url, p.answer)
		}
	})
	t.Run("S2-05 the provider does not know us", func(t *testing.T) {
		wantFailure(t, d.visitProvider(t, "wrong-secret", "approve"), "server_error")
		d.eventuallyLogs(t, "the provider answers 401 invalid_client")
	})
	t.Run("S2-05 another callback", func(t *testing.T) {
		p, err := newVisitor(d.transport).get(t.Context(), d.authURL("/auth/wrong-callback", nil))
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, p, "server_error")
		d.eventuallyLogs(t, "redirectURI is")
	})

	provider.stop(t)
	theirs.root["staticPasswords"].([]section)[0]["groups"] = []string{"team-b"}
	startDex(t, theirs)
	t.Run("S2-05 members who have left their group", func(t *testing.T) {
		wantRefused(t, "the token of a user who has left the group", d.mustRefresh(t, member.RefreshToken))
		d.mustLogin(t, "others")
	})
}

// visitProvider logs in at the provider, and gives consent if asked.
func (d *dex) visitProvider(t *testing.T, connector, consent string) *page {
	t.Helper()
	v := newVisitor(d.transport)
	p, err := v.get(t.Context(), d.authURL("/auth/"+connector, nil))
	if err == nil {
		p, err = v.enterPassword(t.Context(), p, adminEmail, adminPassword)
	}
	if err == nil {
		p, err = v.answerConsent(t.Context(), p, consent)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// eventuallyLogs waits until the log has a text: the server's output takes a moment to arrive.
func (d *dex) eventuallyLogs(t *testing.T, text string) {
	t.Helper()
	eventually(t, patience, "the log says "+text, func() bool { return strings.Contains(d.log.String(), text) })
}

// wantFailure expects a login that ends at the application, which is told only whether trying again helps.
func wantFailure(t *testing.T, p *page, code string) {
	t.Helper()
	delete(p.answer, "iss")
	want := url.Values{"error": {code}, "error_description": {map[string]string{
		"server_error":            "The identity source can't be used: it, or the settings of its connector, must be fixed. Trying again won't help.",
		"temporarily_unavailable": "The identity source can't be reached at the moment; try again later.",
	}[code]}, "state": {"some state"}}
	if diff := cmp.Diff(want, p.answer); diff != "" {
		t.Errorf("the application is told (-want +got):\n%s", diff)
	}
}
