package ui_test

import (
	"net/http"
	"strings"
	"testing"

	"dex/internal/ui"
)

// oldStyles are the style sheets of a directory that was made for a release with fewer pages.
var oldStyles = map[string]string{
	"static/main.css":         ".dex-btn{color:red} .dex-container,.dex-error-box{} .dex-btn-icon--ldap{background:url(x.1)} /* .dex-lead */",
	"themes/light/styles.css": ".theme-body{} .theme-panel{background:#333} .theme-heading{}",
	"templates/header.html":   `<html><head><link rel="stylesheet" href="{{ url .ReqPath "static/main.css" }}"></head><body class="theme-body">`,
	"templates/footer.html":   `</body></html>`,
	"templates/login.html":    `{{ template "header.html" . }}<h1>theirs</h1>{{ template "footer.html" . }}`,
}

// The built-in pages stand beside the operator's, whose main.css doesn't know all of their classes.
func TestBuiltInPagesBesideOldStyles(t *testing.T) {
	u, _ := newUI(t, ui.Config{Dir: webDir(t, oldStyles), IssuerPath: "/dex"})
	const link = "/dex/static/fallback.css?v="
	theirs := tags(document(t, loginPage(u, ui.LoginPage{})), "link")
	if len(theirs) != 1 || attr(theirs[0], "href") != "static/main.css" {
		t.Errorf("their own page has %d links", len(theirs))
	}
	links := tags(document(t, u.NotFound), "link")
	if len(links) != 2 || !strings.HasPrefix(attr(links[1], "href"), link) {
		t.Fatalf("the built-in page has %d links", len(links))
	}
	w := get(mount(u), attr(links[1], "href"))
	css := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, lacks := range []string{
		"\n.dex-lead {", "\n.dex-choice {", "\n.dex-client .theme-heading {", "\n.theme-heading:has(+ .dex-lead) {", "\n.dex-request-id {",
		"\n.theme-form-input {", ".dex-btn-icon--github {", "\n[hidden] {", "--dex-fg: currentcolor;", ":where(:root) {",
	} {
		if !strings.Contains(css, lacks) {
			t.Errorf("it lacks %q", lacks)
		}
	}
	for _, theirs := range []string{
		"\n.dex-btn {", "\n.theme-panel {", "\n.theme-body {", "\n.dex-container {", "\n.theme-heading {", "\na {", "\n:root", "\n* {", ".dex-btn-icon--ldap {", "\n:focus-visible {", "#1a1f2b",
	} {
		if strings.Contains(css, theirs) {
			t.Errorf("it changes their %q", theirs)
		}
	}
	if strings.Count(css, "{") != strings.Count(css, "}") {
		t.Errorf("braces don't match:\n%s", css)
	}
}

// With a built-in theme, its colours count.
func TestBuiltInThemeBesideOldStyles(t *testing.T) {
	u, _ := newUI(t, ui.Config{Dir: webDir(t, map[string]string{"static/main.css": "a{}"})})
	css := get(mount(u), "/dex/static/fallback.css").Body.String()
	for _, want := range []string{":where(:root) {\n  --dex-bg: #f4f5f8;", "\n.theme-panel {", "\n@media (max-width: 30rem) {"} {
		if !strings.Contains(css, want) {
			t.Errorf("it lacks %q", want)
		}
	}
}

func TestNoFallbackWithoutNeed(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"built in": nil, "pages": {"templates/login.html": "x"}, "a theme": {"themes/acme/styles.css": ".dex-btn{}"},
	} {
		u, _ := newUI(t, ui.Config{Dir: webDir(t, files)})
		for _, link := range tags(document(t, u.NotFound), "link") {
			if strings.Contains(attr(link, "href"), "fallback") {
				t.Errorf("%s: a link to %s", name, attr(link, "href"))
			}
		}
		if w := get(mount(u), "/dex/static/fallback.css"); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// Icons are kept for long, like what links to them, unless they are the operator's.
func TestIconsHaveVersions(t *testing.T) {
	u, _ := newUI(t, ui.Config{Dir: webDir(t, map[string]string{"static/img/ldap-icon.svg": "<svg/>"})})
	css := get(mount(u), "/dex/static/main.css").Body.String()
	if !strings.Contains(css, `url("img/ldap-icon.svg")`) {
		t.Error("a link to the operator's icon doesn't show edits")
	}
	at := strings.Index(css, "img/github-icon.svg?v=")
	if at < 0 {
		t.Fatal("no version of the built-in icon")
	}
	link, _, _ := strings.Cut(css[at:], `"`)
	if w := get(mount(u), "/dex/static/"+link); !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %v", link, w.Header())
	}
}
