package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"dex/internal/connector/connectortest"
)

// TestHostedProviders signs somebody in at a fake of each hosted provider, by a browser, and shows them a page once they have left
// what lets them in.
func TestHostedProviders(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	app := "http://" + address
	c := newConfiguration(t).withoutConsent()
	c.with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{app + "/callback"}},
		{"id": publicClientID, "name": "Command Line", "public": true},
	})
	var connectors []section
	stages := map[string]connectortest.Stage{}
	for _, each := range connectortest.Cases() {
		stage := each.New(t)
		stage.RedirectURI = c.endpoint("/callback/" + each.Type)
		settings := maps.Clone(stage.Settings)
		settings["redirectURI"] = stage.RedirectURI
		connectors = append(connectors, section{"type": each.Type, "id": each.Type, "name": "The " + each.Type, "config": settings})
		stages[each.Type] = stage
	}
	startDex(t, c.with("connectors", connectors))
	startApp(t, c, app)
	for kind, stage := range stages {
		t.Run("S2-04 "+kind, func(t *testing.T) {
			b := newBrowser(t, chromedp.Flag("ignore-certificate-errors", true)) // some fakes have TLS, of an authority of their own
			choose := func(then string) {
				b.open(app)
				evaluate[bool](b, `document.querySelector('[name=extra_scopes][value=groups]').checked = true`)
				b.click("#login-button", loginChoice)
				b.follow("Log in with The "+kind, then)
			}
			choose("#claims")
			claims := claimsOf(t, b.text("#claims"))
			var groups []string
			if list, ok := claims["groups"].([]any); ok {
				for _, group := range list {
					groups = append(groups, group.(string))
				}
			}
			if !slices.Equal(groups, stage.Groups) || claims["name"] == nil || claims["email"] == nil {
				t.Errorf("the application gets %v, want the groups %q", claims, stage.Groups)
			}
			if stage.Leave == nil {
				return
			}
			stage.Mu.Lock()
			stage.Leave()
			stage.Mu.Unlock()
			choose("main h1")
			b.wantText("main", "may log in here")
		})
	}
}
