package ui_test

import (
	"net/http"
	"strings"
	"testing"

	"dex/internal/ui"
)

// A failing source can still be chosen: it may have recovered since its last probe.
func TestFailingConnector(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	doc := document(t, loginPage(u, ui.LoginPage{Connectors: []ui.ConnectorLink{
		{ID: "a", Name: "Directory", URL: "/dex/auth/a", Type: "ldap", Failing: true},
		{ID: "b", Name: "Email", URL: "/dex/auth/local", Type: "local"},
	}}))
	links := byClass(doc, "theme-btn-provider")
	if len(links) != 2 {
		t.Fatalf("%d links, want 2", len(links))
	}
	// The note is a part of the link, so that screen readers read both together.
	if got := strings.Join(strings.Fields(text(links[0])), " "); got != "Log in with Directory Not answering at the moment" {
		t.Errorf("the failing one says %q", got)
	}
	if got := attr(links[0], "href"); got != "/dex/auth/a" {
		t.Errorf("the failing one leads to %q", got)
	}
	if got := text(links[1]); got != "Log in with Email" {
		t.Errorf("the other one says %q", got)
	}
	if got := strings.ToLower(text(one(t, "note", byClass(doc, "dex-btn-note")))); !strings.Contains(got, "not answering") {
		t.Errorf("the note is %q", got)
	}
}

// Templates made for upstream don't know about failing connectors.
func TestFailingConnectorOnUpstreamsTemplate(t *testing.T) {
	u, _ := newUI(t, ui.Config{Dir: webDir(t, map[string]string{
		"templates/login.html": `{{ range .Connectors }}<a href="{{ .URL }}">{{ .ID }} {{ .Name }} {{ .Type }}</a>{{ end }}`,
	})})
	w := show(t, "/dex/auth", loginPage(u, ui.LoginPage{Connectors: []ui.ConnectorLink{
		{ID: "a", Name: "A", URL: "/dex/auth/a", Type: "ldap", Failing: true},
	}}))
	if got := w.Body.String(); w.Code != http.StatusOK || got != `<a href="/dex/auth/a">a A ldap</a>` {
		t.Errorf("%d %s", w.Code, got)
	}
}
