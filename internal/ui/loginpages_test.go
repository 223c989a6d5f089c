package ui_test

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"dex/internal/ui"
)

func TestLoginHooks(t *testing.T) {
	u, _ := newUI(t, ui.Config{Issuer: "Acme"})
	doc := document(t, loginPage(u, ui.LoginPage{Client: "Grafana", Connectors: []ui.ConnectorLink{
		{ID: "a", Name: "Example", URL: "/dex/auth/a?state=1&scope=openid+email", Type: "mockCallback"},
		{ID: "b", Name: "Email", URL: "/dex/auth/local", Type: "local"},
	}}))
	links := byClass(doc, "theme-btn-provider")
	if len(links) != 2 {
		t.Fatalf("%d links, want 2", len(links))
	}
	link := links[0]
	if link.Data != "a" || !hasClass(link, "dex-btn") || !hasClass(link, "dex-btn-provider") {
		t.Errorf("link is <%s class=%q>", link.Data, attr(link, "class"))
	}
	if got := text(link); got != "Log in with Example" {
		t.Errorf("link says %q", got)
	}
	if got := attr(link, "href"); got != "/dex/auth/a?state=1&scope=openid+email" {
		t.Errorf("link leads to %q", got)
	}
	one(t, "icon", byClass(link, "dex-btn-icon--mockCallback"))
	one(t, "text", byClass(link, "dex-btn-text"))
	if got := text(one(t, "h1", tags(doc, "h1"))); got != "Log in to Acme" {
		t.Errorf("heading %q", got)
	}
	if !strings.Contains(text(doc), "to continue to Grafana") {
		t.Error("page doesn't name the application")
	}
	for _, class := range []string{"theme-body", "theme-navbar", "theme-navbar__logo", "dex-container", "theme-panel"} {
		one(t, class, byClass(doc, class))
	}
}

func TestPasswordHooks(t *testing.T) {
	const postURL = "/dex/auth/local/login?state=a%2Fb&back=%2Fdex"
	u, _ := newUI(t, ui.Config{})
	doc := document(t, passwordPage(u, http.StatusOK, ui.PasswordPage{
		PostURL: postURL, BackLink: "/dex/auth?x=1", UsernamePrompt: "Email Address", ShowRememberMe: true,
	}))
	form := one(t, "form", tags(one(t, "panel", byClass(doc, "theme-panel")), "form"))
	if attr(form, "method") != "post" || attr(form, "action") != postURL {
		t.Errorf("form %v", form.Attr)
	}
	for id, want := range map[string]map[string]string{
		"login":        {"name": "login", "type": "text", "autocomplete": "username", "inputmode": "email"},
		"password":     {"name": "password", "type": "password", "autocomplete": "current-password"},
		"remember_me":  {"name": "remember_me", "type": "checkbox", "value": "on"},
		"submit-login": {"type": "submit"},
	} {
		n := byID(t, form, id)
		for key, value := range want {
			if got := attr(n, key); got != value {
				t.Errorf("#%s: %s is %q, want %q", id, key, got, value)
			}
		}
	}
	if !hasAttr(byID(t, doc, "login"), "autofocus") || hasAttr(byID(t, doc, "password"), "autofocus") {
		t.Error("focus isn't on the empty username")
	}
	if hasAttr(byID(t, doc, "remember_me"), "checked") {
		t.Error("remember me is checked")
	}
	if n := byID(t, doc, "submit-login"); n.Data != "button" || !hasClass(n, "theme-btn--primary") {
		t.Errorf("submit-login is <%s %v>", n.Data, n.Attr)
	}
	if got := attr(tags(one(t, "back", byClass(doc, "theme-link-back")), "a")[0], "href"); got != "/dex/auth?x=1" {
		t.Errorf("back link leads to %q", got)
	}
	if n := find(doc, func(n *html.Node) bool { return attr(n, "id") == "login-error" }); len(n) != 0 {
		t.Error("an error is shown before the first attempt")
	}
}

func TestPasswordFailed(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	for name, p := range map[string]ui.PasswordPage{
		"Login failed":      {Username: "jane", Invalid: true},
		"Too many attempts": {Username: "jane", Message: "Too many attempts."},
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(t, passwordPage(u, http.StatusUnauthorized, p))
			box := byID(t, doc, "login-error")
			if !strings.HasPrefix(text(box), name) {
				t.Errorf("box says %q", text(box))
			}
			if attr(box, "role") != "alert" || !hasClass(box, "dex-error-box") || hasClass(box, "dex-notice") == p.Invalid {
				t.Errorf("box %v", box.Attr)
			}
			for _, id := range []string{"login", "password"} {
				if got := attr(byID(t, doc, id), "aria-describedby"); got != "login-error" {
					t.Errorf("#%s is described by %q", id, got)
				}
				if wrong := attr(byID(t, doc, id), "aria-invalid") == "true"; wrong != p.Invalid {
					t.Errorf("that #%s is wrong is %v: only what was typed can be", id, wrong)
				}
			}
			if got := attr(byID(t, doc, "login"), "value"); got != "jane" {
				t.Errorf("username %q", got)
			}
			if !hasAttr(byID(t, doc, "password"), "autofocus") || hasAttr(byID(t, doc, "login"), "autofocus") {
				t.Error("focus isn't on the password")
			}
			if len(byClass(doc, "theme-link-back")) != 0 || len(byClass(doc, "theme-remember-me")) != 0 {
				t.Error("page offers what it was not given")
			}
		})
	}
}

// A source that fails is told of on its form, and nothing is marked as wrong.
func TestPasswordFormOfFailingSource(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	doc := document(t, passwordPage(u, http.StatusOK, ui.PasswordPage{Failing: true}))
	notice := one(t, "notice", byClass(doc, "dex-notice"))
	if !strings.Contains(text(notice), "not answering") || attr(notice, "role") != "status" || hasClass(notice, "dex-error-box") {
		t.Errorf("notice %q %v", text(notice), notice.Attr)
	}
	if hasAttr(byID(t, doc, "login"), "aria-invalid") || len(byClass(doc, "dex-error-box")) != 0 {
		t.Error("the fields are marked as wrong")
	}
}

// Where the operator's own page has no place for the form of a connector, none is begun.
func TestShowsForms(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                 true,
		"{{ range .Connectors }}{{ end }}": false,
		"{{ with .Form }}{{ .PostURL }}{{ end }}":                     true,
		"{{ range .Connectors }}{{ with $.Form }}x{{ end }}{{ end }}": true,
	} {
		cfg := ui.Config{}
		if text != "" {
			cfg.Dir = webDir(t, map[string]string{"templates/login.html": text})
		}
		if u, _ := newUI(t, cfg); u.ShowsForms() != want {
			t.Errorf("%q: shows forms: %v, want %v", text, u.ShowsForms(), want)
		}
	}
}

// The pages are whole without JavaScript; what scripts need for more is in the page, in its language.
func TestScriptsOnlyAdd(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	doc := document(t, passwordPage(u, http.StatusOK, ui.PasswordPage{PostURL: "/x"}))
	if buttons := tags(one(t, "panel", byClass(doc, "theme-panel")), "button"); len(buttons) != 1 || attr(byID(t, doc, "password"), "data-show-label") != "Show password" {
		t.Errorf("%d buttons, the field is %v", len(buttons), byID(t, doc, "password").Attr)
	}
	doc = document(t, func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{Code: "abc"}) })
	if code := byID(t, doc, "code"); attr(code, "data-copy") != "Copy" || attr(code, "data-copied") != "Copied" ||
		len(tags(one(t, "panel", byClass(doc, "theme-panel")), "button")) != 0 {
		t.Errorf("the code is %v", code.Attr)
	}
	h := mount(u)
	for _, script := range tags(doc, "script") {
		if w := get(h, attr(script, "src")); w.Code != http.StatusOK {
			t.Errorf("%s: %d", attr(script, "src"), w.Code)
		}
	}
}
