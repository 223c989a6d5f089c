package app_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wantWays checks that a page leads on.
func wantWays(t *testing.T, a answer, ways ...string) {
	t.Helper()
	body := html.UnescapeString(a.body)
	for _, way := range append(ways, "Request ID:") {
		if !strings.Contains(body, way) {
			t.Errorf("the page doesn't lead on by %q: %s", way, body)
		}
	}
}

// Somebody who goes back to a login that has ended gets on: at the application, or by a fresh start.
func TestBackToALoginThatHasEnded(t *testing.T) {
	again := `href="/dex/auth?client_id=app&`
	home := []string{`href="https://app.test/"`, ">Go to <bdi>App</bdi><", ">Log in again<"}
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "")
		b := s.browser()
		form := b.passwordForm()
		consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
		b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
		for _, wait := range []time.Duration{0, time.Minute} { // the second click has gone
			time.Sleep(wait)
			wantWays(t, b.visit(consent).wantStatus(http.StatusBadRequest), append(home, again)...)
		}
		wantWays(t, b.visit(form).wantStatus(http.StatusBadRequest), append(home, again, "You have already finished this login.")...)
		wantWays(t, b.post(form, credentials()).wantStatus(http.StatusBadRequest), home...)

		stranger := s.browser().visit(form).wantStatus(http.StatusBadRequest)
		if strings.Contains(stranger.body, "app.test") || strings.Contains(stranger.body, "client_id") {
			t.Errorf("another browser is told of the login: %s", stranger.body)
		}
		time.Sleep(time.Hour)
		if a := b.visit(form).wantStatus(http.StatusBadRequest); strings.Contains(a.body, "app.test") {
			t.Errorf("the browser remembers for too long: %s", a.body)
		}
	})
	t.Run("denied", func(t *testing.T) {
		b := start(t, "").browser()
		form := b.passwordForm()
		consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
		b.post(consent, url.Values{"approval": {"rejected"}}).wantStatus(http.StatusSeeOther)
		wantWays(t, b.visit(form).wantStatus(http.StatusBadRequest), home...)
	})
}

// Somebody who has taken too long starts afresh, or lets the application know.
func TestBackToALoginThatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, "expiry: {authRequests: 10m}\n").browser()
		form := b.passwordForm()
		time.Sleep(11 * time.Minute)
		wantWays(t, b.visit(form).wantStatus(http.StatusBadRequest), "took too long", ">Log in again<", `href="/dex/auth?`, "error=access_denied")
	})
}

// The user had to go back to the application where another way to log in would have done.
func TestNoSuchWayToLogIn(t *testing.T) {
	s := start(t, "")
	for _, path := range []string{"/dex/auth/nowhere?" + request().Encode(), "/dex/auth/mock?" + request("client_id", "strict", "redirect_uri", "https://strict.test/cb").Encode()} {
		a := s.get(path)
		wantWays(t, a, ">Log in another way<", `href="/dex/auth?`, "error=access_denied")
		if a.status != http.StatusBadRequest && a.status != http.StatusForbidden {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
}

// Developers had to look into the log for what their application sent.
func TestPagesTellDevelopersWhatCame(t *testing.T) {
	s := start(t, "")
	long := "https://app.test/<b>" + strings.Repeat("x", 300)
	a := s.get(authPath("redirect_uri", long)).wantStatus(http.StatusBadRequest)
	wantWays(t, a, "For developers", "redirect_uri", long[:200]+"…", ">app<")
	_, told, _ := strings.Cut(a.body, "For developers")
	told, _, _ = strings.Cut(told, "</details>")
	if strings.Contains(a.body, "<b>") || strings.Contains(told, strings.Repeat("x", 200)) {
		t.Errorf("the address is not escaped, or too long: %s", a.body)
	}
	a = s.get(authPath("client_id", "no body\n\u202e")).wantStatus(http.StatusBadRequest)
	wantWays(t, a, "For developers", `no body\u{a}\u{202e}`)
}

// Unknown addresses and wrong methods are pages for people.
func TestPagesForUnknownAddresses(t *testing.T) {
	s := start(t, "")
	ask := func(method, path, accept string) answer {
		r := httptest.NewRequest(method, "http://dex.test"+path, nil)
		r.Header.Set("Accept", accept)
		return s.do(r)
	}
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, path := range []string{"/dex/nothing", "/dex/auth/a/b/c", "/elsewhere"} {
		a := ask(http.MethodGet, path, browser).wantStatus(http.StatusNotFound)
		if !strings.Contains(a.body, `href="/dex"`) || !strings.Contains(a.body, "Go to the start page") {
			t.Errorf("%s: the page leads nowhere: %s", path, a.body)
		}
		for _, accept := range []string{"", "*/*", "application/json"} {
			ask(http.MethodGet, path, accept).wantError(http.StatusNotFound, "invalid_request")
		}
	}
	for _, path := range []string{"/dex/device", "/dex/approval", "/dex"} {
		a := ask(http.MethodDelete, path, browser).wantStatus(http.StatusMethodNotAllowed)
		wantWays(t, a, `href="/dex"`, "Go to the start page")
	}
}
