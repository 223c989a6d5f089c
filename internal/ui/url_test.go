package ui_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"dex/internal/ui"
)

// customLink returns what a custom template gets from url at a request path.
func customLink(t *testing.T, issuerPath, reqPath, asset string) string {
	t.Helper()
	u, _ := newUI(t, ui.Config{
		Dir: webDir(t, map[string]string{
			"templates/error.html": `<img src="{{ url .ReqPath (extra "asset") }}">`,
		}),
		IssuerPath: issuerPath,
		Extra:      map[string]string{"asset": asset},
	})
	doc := documentAt(t, reqPath, errorPage(u, http.StatusBadRequest, ui.ErrorPage{}))
	return attr(one(t, "img", tags(doc, "img")), "src")
}

func TestURL(t *testing.T) {
	const png = "data:image/png;base64,iVBORw0KGgo="
	const svg = "data:image/svg+xml;utf8,%3Csvg%20xmlns='http://www.w3.org/2000/svg'/%3E"
	for _, test := range []struct{ issuerPath, reqPath, asset, want string }{
		{"/", "/auth", "/theme/main.css", "theme/main.css"},
		{"/dex", "/dex/auth", "/theme/main.css", "theme/main.css"},
		{"/dex", "/dex/auth/connector", "assets/css/main.css", "../assets/css/main.css"},
		{"/dex", "/dex", "static/main.css", "dex/static/main.css"},
		{"/dex/idp", "/dex/idp", "theme/styles.css", "dex/idp/theme/styles.css"},
		{"/", "/", "static/main.css", "static/main.css"},
		{"/dex", "/dex/auth/local/login", "static/main.css", "../../static/main.css"},
		{"/dex", "/dex/mfa/totp", "/theme/logo.png", "../theme/logo.png"},

		// Somebody else's assets.
		{"/dex", "/dex/auth/connector", "https://kubernetes.io/images/favicon.png", "https://kubernetes.io/images/favicon.png"},
		{"/dex", "/dex/device", "https://cdn.example/x.svg?v=1", "https://cdn.example/x.svg?v=1"},
		{"/dex", "/dex/device", "//cdn.example/x.svg", "//cdn.example/x.svg"},
		{"/dex", "/dex/device", png, png},
		{"/dex", "/dex/device", svg, strings.ReplaceAll(svg, "'", "%27")},

		// Where upstream's links are wrong.
		{"/dex", "/dex/", "static/main.css", "static/main.css"},
		{"/dex", "/dex/a/b/", "static/main.css", "../../static/main.css"},
		{"/dex", "/dex/static", "static/main.css", "static/main.css"},
		{"/dex", "/dex/static/x", "static/main.css", "main.css"},
		{"/dex", "/dex/static/x", "static", "../static"},
		{"/dex", "/else/where", "static/main.css", "../dex/static/main.css"},
		{"/dex", "/dexter", "static/main.css", "dex/static/main.css"},
		{"", "/auth", "theme/x.css?a=b/../c", "theme/x.css?a=b/../c"},
		{"/dex/", "/dex/auth/x", "../../theme/x.css", "../theme/x.css"},
	} {
		if got := customLink(t, test.issuerPath, test.reqPath, test.asset); got != test.want {
			t.Errorf("issuer %s: url %q %q = %q, want %q", test.issuerPath, test.reqPath, test.asset, got, test.want)
		}
	}
}

func TestURLRefusesOtherData(t *testing.T) {
	for _, asset := range []string{
		"javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "DATA:text/html;image/png,x", "vbscript:x",
	} {
		if got := customLink(t, "/dex", "/dex/auth", asset); got != "#ZgotmplZ" {
			t.Errorf("url %q = %q", asset, got)
		}
	}
}

// On our own pages every link works wherever the page is, odd paths included.
func TestBuiltInLinksAreRooted(t *testing.T) {
	for _, issuerPath := range []string{"", "/", "/dex", "/dex/idp"} {
		u, _ := newUI(t, ui.Config{IssuerPath: issuerPath})
		for _, reqPath := range []string{"/", "/dex", "/dex/idp", "/a/b/c/", "/auth/a%2Fb/login"} {
			doc := documentAt(t, reqPath, u.NotFound)
			links := append(tags(doc, "link"), tags(doc, "img")...)
			if len(links) < 5 {
				t.Fatalf("%d links", len(links))
			}
			for _, link := range links {
				u, err := url.Parse(attr(link, "href") + attr(link, "src"))
				if err != nil {
					t.Fatal(err)
				}
				dir := path.Dir(u.Path)
				root := strings.TrimSuffix(issuerPath, "/")
				if dir != root+"/static" && dir != root+"/theme" || u.Query().Get("v") == "" {
					t.Errorf("issuer %q, page %s: link %s", issuerPath, reqPath, u)
				}
			}
		}
	}
}

func TestLogo(t *testing.T) {
	for _, test := range []struct{ logoURL, want string }{
		{"", "/dex/theme/logo.svg"},
		{"theme/logo.png", "/dex/theme/logo.svg"}, // our own is sharper
		{"theme/acme.svg", "/dex/theme/acme.svg"},
		{"/static/img/acme.svg", "/dex/static/img/acme.svg"},
		{"https://cdn.example/acme.svg", "https://cdn.example/acme.svg"},
		{"//cdn.example/acme.svg", "//cdn.example/acme.svg"},
		{"data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="},
	} {
		u, _ := newUI(t, ui.Config{LogoURL: test.logoURL, Issuer: "Acme", IssuerPath: "/dex"})
		doc := document(t, u.NotFound)
		logo := one(t, "logo", byClass(doc, "theme-navbar__logo"))
		if got, _, _ := strings.Cut(attr(logo, "src"), "?"); got != test.want {
			t.Errorf("logoURL %q: src %q, want %q", test.logoURL, got, test.want)
		}
		// Either the image says the name or the text beside it does, not both.
		beside := text(one(t, "header", tags(doc, "header")))
		if attr(logo, "alt")+beside != "Acme" {
			t.Errorf("logoURL %q: alt %q beside %q", test.logoURL, attr(logo, "alt"), beside)
		}
	}
}

func TestLogoOfTheme(t *testing.T) {
	u, _ := newUI(t, ui.Config{Theme: "acme", Dir: webDir(t, map[string]string{
		"themes/acme/logo.png": "x", "themes/acme/favicon.png": "y",
	})})
	doc := document(t, u.NotFound)
	logo := one(t, "logo", byClass(doc, "theme-navbar__logo"))
	if !strings.HasPrefix(attr(logo, "src"), "/theme/logo.png?") {
		t.Errorf("logo %q", attr(logo, "src"))
	}
	for _, link := range tags(doc, "link") {
		if attr(link, "rel") == "icon" && !strings.HasPrefix(attr(link, "href"), "/theme/favicon.png?") {
			t.Errorf("our icon %q takes the place of the theme's", attr(link, "href"))
		}
	}
}

func TestLogoThatDoesNotExist(t *testing.T) {
	_, logs := newUI(t, ui.Config{LogoURL: "theme/lgoo.svg"})
	wantLog(t, logs, "WARN", "theme/lgoo.svg")
}
