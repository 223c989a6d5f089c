package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// The login page with many connectors filters them as the user types, and with one connector left, Enter chooses it.
func TestLoginPageSearch(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t)
	var connectors []section
	for i, name := range []string{"Alpha", "Beta", "Gamma", "Delta", "Über uns", strings.Repeat("Donaudampfschifffahrt", 6), "Eta", "Zeta"} {
		connectors = append(connectors, section{
			"type": "mockPassword", "id": fmt.Sprintf("m%d", i), "name": name, "config": section{"username": "u", "password": "p"},
			"logoURL": "static/img/oidc-icon.svg",
		})
	}
	c.with("connectors", connectors)
	d := startDex(t, c)
	s := newSurvey(t)
	s.open(d.authURL("/auth", nil))
	s.look("dex-login-search")
	search := func(text string) {
		evaluate[string](s.tab, `document.getElementById("search").value = ""`) // chromedp.Clear leaves search fields as they are
		s.fill("#search", text)
	}
	const shown = `[...document.querySelectorAll("#connectors > li")].filter((row) => row.checkVisibility()).map((row) => row.innerText.trim()).join("|")`
	for typed, want := range map[string]string{
		"ETA": "Log in with Beta|Log in with Eta|Log in with Zeta", "uber": "Log in with Über uns", "nobody": "", " über ": "Log in with Über uns",
	} {
		search(typed)
		if got := evaluate[string](s.tab, shown); got != want {
			t.Errorf("%q shows %q, want %q", typed, got, want)
		}
		if none := evaluate[string](s.tab, `document.getElementById("search-none").innerText`); (none == "") != (want != "") {
			t.Errorf("%q: the page says %q", typed, none)
		}
	}
	search("uber")
	s.press("\r", passwordForm)
}

// A page with the form of one connector and the buttons of others, for browsers that have logged in before.
func TestLoginPageWithForm(t *testing.T) {
	t.Parallel()
	d, app := startPrograms(t)
	s := newSurvey(t)
	s.open(app)
	s.click("#login-button", loginChoice)
	s.see(passwordForm)
	s.look("dex-login-form")
	s.follow("Log in with Example", approveButton)
	s.click(approveButton, "body")
	s.open(d.authURL("/auth", nil))
	s.see(".dex-last-used")
	s.look("dex-login-last-used")
	s.enterPassword(adminEmail, "not the password", "#login-error")
	s.follow("Log in another way", passwordForm)
	s.follow("Log in with Email", passwordForm)
	s.enterPassword(adminEmail, adminPassword, approveButton)
}
