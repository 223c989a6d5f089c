package ui_test

import (
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dex/internal/ui"
)

// A palette has the colours of a scheme by custom property.
type palette map[string]string

var declaration = regexp.MustCompile(`(--dex-[a-z-]+): ([^v;][^;]*);`)

func colours(css string) palette {
	p := palette{}
	for _, m := range declaration.FindAllStringSubmatch(css, -1) {
		p[m[1]] = m[2]
	}
	return p
}

func stylesheet(t *testing.T, theme, target string) string {
	t.Helper()
	u, _ := newUI(t, ui.Config{Theme: theme})
	w := get(mount(u), target)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d", target, w.Code)
	}
	return w.Body.String()
}

func TestAutoThemeHasTheDarkPalette(t *testing.T) {
	dark, auto := colours(stylesheet(t, "dark", "/dex/theme/styles.css")), colours(stylesheet(t, "auto", "/dex/theme/styles.css"))
	light := colours(stylesheet(t, "light", "/dex/static/main.css"))
	if len(dark) < 15 || len(dark) != len(auto) {
		t.Errorf("%d colours in dark, %d in auto", len(dark), len(auto))
	}
	for name, colour := range dark {
		if auto[name] != colour {
			t.Errorf("%s is %s in dark, %s in auto", name, colour, auto[name])
		}
		if _, ok := light[name]; !ok {
			t.Errorf("%s has no light colour", name)
		}
	}
}

// WCAG 2.2, success criteria 1.4.3 (text, 4.5:1) and 1.4.11 (controls and icons, 3:1).
func TestContrast(t *testing.T) {
	if !strings.Contains(stylesheet(t, "auto", "/dex/static/img/ldap-icon.svg"), icon) {
		t.Fatal("icons have another colour")
	}
	for scheme, p := range map[string]palette{
		"light": colours(stylesheet(t, "light", "/dex/static/main.css")),
		"dark":  colours(stylesheet(t, "dark", "/dex/theme/styles.css")),
	} {
		p[icon] = icon
		checkContrast(t, scheme, p)
	}
}

// icon is the colour of icons: grey, as it suits all accents.
const icon = "#6a7488"

func checkContrast(t *testing.T, scheme string, p palette) {
	t.Helper()
	for _, pair := range []struct {
		ink, paper string
		least      float64
	}{
		{"--dex-fg", "--dex-bg", 4.5},
		{"--dex-fg", "--dex-surface", 4.5},
		{"--dex-fg", "--dex-hover", 4.5},
		{"--dex-fg", "--dex-control-bg", 4.5},
		{"--dex-fg", "--dex-tile", 4.5},
		{"--dex-fg-muted", "--dex-bg", 4.5},
		{"--dex-fg-muted", "--dex-surface", 4.5},
		{"--dex-fg-muted", "--dex-tile", 4.5},
		{"--dex-accent", "--dex-surface", 4.5},
		{"--dex-on-primary", "--dex-primary", 4.5},
		{"--dex-on-primary", "--dex-primary-hover", 4.5},
		{"--dex-error-fg", "--dex-error-bg", 4.5},
		{"--dex-good", "--dex-surface", 4.5},
		{"--dex-warn", "--dex-surface", 4.5},
		{"--dex-warn", "--dex-hover", 4.5},
		{"--dex-control-border", "--dex-surface", 3},
		{"--dex-control-border", "--dex-control-bg", 3},
		{"--dex-error-border", "--dex-control-bg", 3},
		{"--dex-error-border", "--dex-surface", 3},
		{"--dex-focus", "--dex-surface", 3},
		{"--dex-focus", "--dex-bg", 3},
		{"--dex-accent", "--dex-bg", 4.5},
		{"--dex-primary", "--dex-surface", 3},
		{icon, "--dex-tile", 3},
	} {
		if got := contrast(t, p[pair.ink], p[pair.paper]); got < pair.least {
			t.Errorf("%s: %s on %s is %.2f:1, want %v:1", scheme, pair.ink, pair.paper, got, pair.least)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of a colour like #1a2b3c, as WCAG defines it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 24)
	if err != nil || len(colour) != 7 {
		t.Fatalf("colour %q", colour)
	}
	linear := func(shift int) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}

// Themes override these classes, and templates made for upstream use them.
func TestClassContract(t *testing.T) {
	css := stylesheet(t, "auto", "/dex/static/main.css")
	for class := range strings.FieldsSeq(`
		theme-body theme-navbar theme-navbar__logo-wrap theme-navbar__logo theme-heading theme-panel theme-btn-provider
		theme-btn--primary theme-btn--success theme-form-row theme-form-input theme-form-label theme-link-back
		theme-remember-me dex-container dex-btn dex-btn-provider dex-btn-icon dex-btn-text dex-subtle-text dex-separator
		dex-list dex-error-box dex-home__actions dex-home__footer dex-identity dex-identity__name dex-identity__email
		dex-identity__state dex-identity__state--warn dex-facts dex-fact dex-fact__long dex-count dex-groups`) {
		if !regexp.MustCompile(`\.` + class + `[\s,:{>+]`).MatchString(css) {
			t.Errorf("no rule for .%s", class)
		}
	}
}

func TestEveryConnectorTypeHasAnIcon(t *testing.T) {
	css := stylesheet(t, "auto", "/dex/static/main.css")
	u, _ := newUI(t, ui.Config{})
	h := mount(u)
	for connector, file := range map[string]string{
		"local": "email", "ldap": "ldap", "saml": "saml", "samlExperimental": "saml", "github": "github", "gitlab": "gitlab",
		"gitea": "gitea", "google": "google", "microsoft": "microsoft", "linkedin": "linkedin", "oidc": "oidc",
		"oauth": "oauth", "bitbucket-cloud": "bitbucket", "atlassian-crowd": "atlassian-crowd", "keystone": "keystone",
		"authproxy": "authproxy", "openshift": "openshift", "mockCallback": "mock", "mockPassword": "mock",
	} {
		rule := regexp.MustCompile(`\.dex-btn-icon--` + connector + `[\s,][^}]*url\("img/` + file + `-icon\.svg\?v=[0-9a-f]{16}"\)`)
		if !rule.MatchString(css) {
			t.Errorf("no icon rule for %s", connector)
		}
	}
	for _, m := range regexp.MustCompile(`url\("([^"]+)"\)`).FindAllStringSubmatch(css, -1) {
		if w := get(h, "/dex/static/"+m[1]); w.Code != http.StatusOK {
			t.Errorf("main.css refers to %s: %d", m[1], w.Code)
		}
	}
}

// What is at the start of a line in one language is at its other end in another.
func TestDirectionsAreLogical(t *testing.T) {
	physical := regexp.MustCompile(`(?m)^\s*[a-z-]*(left|right)[a-z-]*:|:[^;{]*\b(left|right)\b[^;{]*;`)
	for _, target := range []string{"/dex/static/main.css", "/dex/theme/styles.css"} {
		if found := physical.FindString(stylesheet(t, "auto", target)); found != "" {
			t.Errorf("%s has %q", target, found)
		}
	}
}
