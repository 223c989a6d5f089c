package ui_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"dex/internal/ui"
)

func logoutPage(u *ui.UI, p ui.LogoutPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Logout(w, r, p) }
}

func accountsPage(u *ui.UI, p ui.AccountsPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Accounts(w, r, p) }
}

func frontchannelPage(u *ui.UI, p ui.FrontchannelPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Frontchannel(w, r, p) }
}

// ids returns how many elements have an id.
func ids(doc *html.Node, id string) int {
	return len(find(doc, func(n *html.Node) bool { return attr(n, "id") == id }))
}

func TestAccounts(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	doc := document(t, accountsPage(u, ui.AccountsPage{
		Client: "Grafana", AnotherURL: "/dex/auth?prompt=login",
		Accounts: []ui.Account{
			{Name: "jane", Email: "jane@example.com", Connector: "LDAP", URL: "/dex/auth?account=1", LastUsed: true},
			{Email: "bob@example.com", URL: "/dex/auth?account=2"},
		},
	}))
	for _, want := range []string{"Choose an account", "to continue to Grafana"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
	links := tags(byID(t, doc, "accounts"), "a")
	for i, want := range []struct{ to, says string }{
		{"/dex/auth?account=1", "J jane jane@example.com with LDAP Last used account"},
		{"/dex/auth?account=2", "B bob@example.com"},
		{"/dex/auth?prompt=login", "Use another account"},
	} {
		if attr(links[i], "href") != want.to || text(links[i]) != want.says {
			t.Errorf("link %d leads to %s and says %q", i, attr(links[i], "href"), text(links[i]))
		}
	}
	checkPolicy(t, doc)
}

func TestLogoutQuestion(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	p := ui.LogoutPage{
		ShowConfirmation: true, PostURL: "/dex/logout", User: ui.Account{Name: "jane", Email: "jane@example.com", Connector: "LDAP"},
		Fields: []ui.FormField{{Name: "state", Value: "a b"}},
	}
	doc := document(t, logoutPage(u, p))
	form := enclosing(byID(t, doc, "submit-logout"), "form")
	if attr(form, "method") != "post" || attr(form, "action") != "/dex/logout" {
		t.Errorf("the form is %v", form.Attr)
	}
	if field := one(t, "field", tags(form, "input")); attr(field, "name") != "state" || attr(field, "value") != "a b" || attr(field, "type") != "hidden" {
		t.Errorf("the field is %v", field.Attr)
	}
	if !strings.Contains(text(doc), "Logged in as jane jane@example.com with LDAP") || len(tags(form, "button")) != 1 {
		t.Errorf("the page says %q", text(doc))
	}

	p.Others = []ui.Account{{Name: "bob"}}
	doc = document(t, logoutPage(u, p))
	if all := byID(t, doc, "submit-logout-all"); attr(all, "name") != "all" || attr(all, "value") != "1" {
		t.Errorf("the button for all accounts is %v", all.Attr)
	}
	if one := byID(t, doc, "submit-logout"); hasAttr(one, "name") || text(one) != "Log out of this account" {
		t.Errorf("the button for one account is %v and says %q", one.Attr, text(one))
	}
	if !strings.Contains(text(doc), "Other accounts in this browser bob") {
		t.Errorf("the page says %q", text(doc))
	}
}

func TestLoggedOut(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	for name, test := range map[string]struct {
		page         ui.LogoutPage
		says, silent string
	}{
		"all is closed": {ui.LogoutPage{LoggedOut: true}, "You’re logged out You can close this page.", "still"},
		"an application": {
			ui.LogoutPage{LoggedOut: true, StillOpen: []string{"Files", "Chat"}},
			"You may still be logged in to: Files Chat On a shared computer", "You can close this page",
		},
		"the source":      {ui.LogoutPage{LoggedOut: true, SourceName: "GitHub"}, "You’re still logged in at GitHub. On a shared computer", "You may still"},
		"another account": {ui.LogoutPage{LoggedOut: true, Others: []ui.Account{{Name: "bob"}}}, "Still logged in here bob", "On a shared computer"},
		"a named way":     {ui.LogoutPage{LoggedOut: true, BackURL: "https://app.test/", App: "Wiki"}, "Go to Wiki", "Back to"},
		"a way":           {ui.LogoutPage{LoggedOut: true, BackURL: "https://app.test/"}, "Back to the application", "Go to"},
		"no session":      {ui.LogoutPage{SourceName: "GitHub"}, "There was nothing to log out of.", "GitHub"},
	} {
		doc := document(t, logoutPage(u, test.page))
		if got := text(doc); !strings.Contains(got, test.says) || strings.Contains(got, test.silent) {
			t.Errorf("%s: the page says %q", name, got)
		}
		if ids(doc, "language") != 0 {
			t.Errorf("%s: the page can be shown again in another language, though it would say something else", name)
		}
	}
	for back, shown := range map[string]bool{"https://app.test/": true, "app:/out": true, "javascript:alert(1)": false, "": false} {
		doc := document(t, logoutPage(u, ui.LogoutPage{LoggedOut: true, BackURL: back}))
		if shows := ids(doc, "back") == 1 && attr(byID(t, doc, "back"), "href") == back; shows != shown {
			t.Errorf("that %q is a way back is %v", back, shows)
		}
	}
}

func TestFrontchannel(t *testing.T) {
	const byDefault = "default-src 'none'; script-src 'self'; frame-ancestors 'none'"
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	p := ui.FrontchannelPage{
		NextURL: "https://app.test/out?a=b;c",
		Frames: []ui.Frame{
			{URL: "https://wiki.test:8443/logout?iss=x&sid=1", Client: "Wiki"}, {URL: "https://wiki.test:8443/other", Client: "Wiki 2"},
			{URL: "javascript:alert(1)"}, {URL: "data:text/html,x"}, {URL: "https://a;script-src/x"}, {URL: "//other.test/x"},
		},
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Security-Policy", byDefault)
	frontchannelPage(u, p).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dex/logout", nil))
	if got, want := w.Header().Get("Content-Security-Policy"), byDefault+"; frame-src https://wiki.test:8443"; got != want {
		t.Errorf("the policy is %q, want %q", got, want)
	}
	if got := w.Header().Get("Refresh"); got != "5; url=https://app.test/out?a=b;c" {
		t.Errorf("without JavaScript the page leads on by %q", got)
	}
	doc, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	checkPolicy(t, doc)
	if next := byID(t, doc, "next"); attr(next, "href") != p.NextURL {
		t.Errorf("the page leads on to %v", next.Attr)
	}
	frames := tags(doc, "iframe")
	if len(frames) != 2 {
		t.Fatalf("%d frames", len(frames))
	}
	for key, want := range map[string]string{
		"src": p.Frames[0].URL, "title": "Wiki", "sandbox": "allow-scripts allow-same-origin", "aria-hidden": "true", "tabindex": "-1",
	} {
		if got := attr(frames[0], key); got != want {
			t.Errorf("%s of the frame is %q, want %q", key, got, want)
		}
	}

	script := ui.FrontchannelPage{NextURL: "javascript:alert(1)", Frames: p.Frames}
	w = httptest.NewRecorder()
	frontchannelPage(u, script).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dex/logout", nil))
	if len(w.Header().Values("Refresh"))+len(w.Header().Values("Content-Security-Policy")) != 0 || strings.Contains(w.Body.String(), "alert") {
		t.Errorf("the page leads on to a script, or has a policy that the operator switched off: %v %s", w.Header(), w.Body)
	}
}

// The operator's policy keeps what it says about frames.
func TestFrontchannelPolicies(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	p := ui.FrontchannelPage{NextURL: "/x", Frames: []ui.Frame{{URL: "https://b.test/x"}, {URL: "http://a.test/x"}}}
	for policy, want := range map[string]string{
		"default-src 'self'":                          "default-src 'self'; frame-src 'self' http://a.test https://b.test",
		"frame-src 'none' ; default-src *":            " frame-src http://a.test https://b.test; default-src *",
		"default-src 'self'; Frame-Src https://c.tv;": "default-src 'self'; frame-src https://c.tv http://a.test https://b.test;",
		"child-src 'self'; default-src 'none'":        "child-src 'self'; default-src 'none'; frame-src 'self' http://a.test https://b.test",
		"script-src 'self'":                           "script-src 'self'",
		"frame-src *, default-src 'none'":             " frame-src * http://a.test https://b.test, default-src 'none'; frame-src http://a.test https://b.test",
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Security-Policy", policy)
		frontchannelPage(u, p).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/logout", nil))
		if got := w.Header().Get("Content-Security-Policy"); got != want {
			t.Errorf("%q became %q, want %q", policy, got, want)
		}
	}
}

// Applications anywhere can show the page in a frame; all else about it is as strict as can be.
func TestCheckSession(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	w := httptest.NewRecorder()
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("Content-Security-Policy", "default-src *; frame-ancestors 'none'")
	u.CheckSession(w, httptest.NewRequest(http.MethodGet, "/dex/session/check", nil), ui.CheckSessionPage{Cookie: `dex_state"><b>`})
	policy := w.Header().Get("Content-Security-Policy")
	if strings.Contains(policy, "frame-ancestors") || !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") ||
		len(w.Header().Values("X-Frame-Options")) != 0 || w.Header().Get("Cache-Control") != "no-store" ||
		w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Code != http.StatusOK {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	doc, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	script := one(t, "script", tags(doc, "script"))
	if attr(script, "data-cookie") != `dex_state"><b>` || get(mount(u), attr(script, "src")).Code != http.StatusOK {
		t.Errorf("the script is %v", script.Attr)
	}
	checkPolicy(t, doc)
}
