package ui_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"dex/internal/ui"
)

var suggestion = regexp.MustCompile(`the nearest tone that works is "(#[0-9a-f]{6})"`)

func TestAccentsThatCantBeSeen(t *testing.T) {
	for _, test := range []struct {
		brand       ui.Brand
		theme       string
		key, reason string // empty if it can be used
	}{
		{ui.Brand{Accent: "#0a7d55"}, "", "", ""},
		{ui.Brand{Accent: "#07d"}, "", "", ""},
		{ui.Brand{Accent: "#FFD500"}, "dark", "", ""},
		{ui.Brand{Accent: "#000080"}, "dark", "", ""}, // is made lighter
		{ui.Brand{Accent: "#000000"}, "auto", "", ""},
		{ui.Brand{Accent: "#0a7d55", AccentDark: "#FFD500"}, "", "", ""},
		{ui.Brand{Accent: "#ffd500"}, "", "accent", "#ffd500 can't be seen well on the light pages: its contrast with #ffffff is 1.42:1, and must be at least 3:1"},
		{ui.Brand{Accent: "#ffffff"}, "acme", "accent", "1.00:1"},
		{ui.Brand{Accent: "#0a7d55", AccentDark: "#000080"}, "", "accentDark", "the dark pages: its contrast with #191d25 is 1."},
		{ui.Brand{Accent: "green"}, "", "accent", `"green" is no colour; it must be one like "#0a7d55"`},
		{ui.Brand{Accent: "0a7d55"}, "", "accent", "is no colour"},
		{ui.Brand{Accent: "#0a7d555"}, "dark", "accent", "is no colour"},
		{ui.Brand{Accent: "#xyz"}, "", "accent", "is no colour"},
		{ui.Brand{Accent: "#+12345"}, "", "accent", "is no colour"},
		{ui.Brand{Accent: "#0a7d55", AccentDark: "red; }"}, "", "accentDark", "is no colour"},
	} {
		err := ui.CheckBrand(test.brand, test.theme)
		accent, _ := errors.AsType[*ui.AccentError](err)
		switch {
		case test.key == "" && err != nil:
			t.Errorf("%v: %v", test.brand, err)
		case test.key != "" && (accent == nil || accent.Key != test.key || !strings.Contains(accent.Reason, test.reason)):
			t.Errorf("%v: %v, want %s", test.brand, err, test.reason)
		}
		if _, err := ui.New(ui.Config{Brand: test.brand, Theme: builtInTheme(test.theme)}, slog.New(slog.DiscardHandler)); (err == nil) != (test.key == "") {
			t.Errorf("%v: New: %v", test.brand, err)
		}
	}
}

func builtInTheme(theme string) string {
	if theme == "acme" {
		return "light"
	}
	return theme
}

// Whatever the accent, everything can be read with it, or with the tone that is suggested instead.
func TestContrastOfAccents(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	accents := []string{"#000000", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#808080", "#767676", "#3a60d8", "#fefefe"}
	for range 300 {
		accents = append(accents, fmt.Sprintf("#%06x", random.IntN(1<<24)))
	}
	builtin := map[string]palette{
		"light": colours(stylesheet(t, "light", "/dex/static/main.css")), "dark": colours(stylesheet(t, "dark", "/dex/theme/styles.css")),
	}
	for i, accent := range accents {
		if err := ui.CheckBrand(ui.Brand{Accent: accent}, ""); err != nil {
			better := suggestion.FindStringSubmatch(err.Error())
			if better == nil || ui.CheckBrand(ui.Brand{Accent: better[1]}, "") != nil {
				t.Errorf("%s: a bad suggestion: %v", accent, err)
				continue
			}
			accent = better[1]
		}
		if i%10 > 0 && i > 20 {
			continue // enough pages
		}
		u, _ := newUI(t, ui.Config{Brand: ui.Brand{Accent: accent}})
		inLight, inDark, ok := strings.Cut(get(mount(u), "/dex/theme/brand.css").Body.String(), "@media (prefers-color-scheme: dark)")
		if !ok {
			t.Fatal("no colours for the dark")
		}
		for scheme, css := range map[string]string{"light": inLight, "dark": inDark} {
			p := palette{icon: icon}
			for _, from := range []palette{builtin[scheme], colours(css)} {
				for name, colour := range from {
					p[name] = colour
				}
			}
			checkContrast(t, accent+", "+scheme, p)
			if got := contrast(t, p["--dex-primary"], p["--dex-surface"]); got < 3 {
				t.Errorf("%s, %s: buttons are %s, %.2f:1", accent, scheme, p["--dex-primary"], got)
			}
			if scheme == "light" && p["--dex-primary"] != accent {
				t.Errorf("%s became %s", accent, p["--dex-primary"])
			}
		}
	}
}

// The checks of accents know the colours of the built-in themes.
func TestAccentsAreCheckedAgainstTheThemes(t *testing.T) {
	u, _ := newUI(t, ui.Config{Theme: "light"})
	inLight := colours(get(mount(u), "/dex/static/main.css").Body.String())
	err := ui.CheckBrand(ui.Brand{Accent: "#ffffff"}, "")
	if err == nil || !strings.Contains(err.Error(), inLight["--dex-surface"]) {
		t.Errorf("%v, and the surface is %s", err, inLight["--dex-surface"])
	}
	inDark := colours(stylesheet(t, "dark", "/dex/theme/styles.css"))
	err = ui.CheckBrand(ui.Brand{Accent: "#000000", AccentDark: "#000000"}, "")
	if err == nil || !strings.Contains(err.Error(), inDark["--dex-surface"]) {
		t.Errorf("%v, and the surface is %s", err, inDark["--dex-surface"])
	}
}

func TestBrandStyles(t *testing.T) {
	const accent = "#0a7d55"
	own := func(css string) map[string]string { return map[string]string{"themes/acme/styles.css": css} }
	for name, test := range map[string]struct {
		theme       string
		files       map[string]string
		light, dark bool
	}{
		"auto":                    {"", nil, true, true},
		"light":                   {"light", nil, true, false},
		"dark":                    {"dark", nil, false, true},
		"own, light":              {"acme", own("body{color:black}"), true, false},
		"own, dark":               {"acme", own(":root{color-scheme: dark}"), false, true},
		"own, as browsers prefer": {"acme", own(":root{color-scheme: light dark} @media (prefers-color-scheme: dark){}"), true, true},
		"own, a comment":          {"acme", own("/* color-scheme: dark */"), true, false},
		"own, without styles":     {"acme", map[string]string{"themes/acme/logo.png": ""}, true, true},
		"upstream's dark":         {"dark", map[string]string{"themes/dark/styles.css": ".theme-body{}"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ui.Config{Theme: test.theme, Brand: ui.Brand{Accent: accent}, LogoURL: "https://a.example/l.svg", LogoDarkURL: "https://a.example/d,1.svg"}
			if test.files != nil {
				cfg.Dir = webDir(t, test.files)
			}
			u, _ := newUI(t, cfg)
			doc := document(t, u.NotFound)
			links := tags(doc, "link")
			target := attr(links[2], "href")
			w := get(http.StripPrefix("", u.Theme()), target)
			if !strings.HasPrefix(target, "/theme/brand.css?v=") || w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Fatalf("%s: %d %v", target, w.Code, w.Header())
			}
			css := w.Body.String()
			if got := strings.Contains(css, "--dex-primary: "+accent); got != test.light && test.light {
				t.Errorf("the accent is there: %v\n%s", got, css)
			}
			if got := strings.Contains(css, "prefers-color-scheme"); got != (test.light && test.dark) {
				t.Errorf("depends on the browser: %v\n%s", got, css)
			}
			img := one(t, "logo", tags(doc, "img"))
			if want := map[bool]string{true: "https://a.example/l.svg", false: "https://a.example/d,1.svg"}[test.light]; attr(img, "src") != want {
				t.Errorf("logo %s, want %s", attr(img, "src"), want)
			}
			sources := tags(doc, "source")
			if (len(sources) == 1) != (test.light && test.dark) || len(sources) == 1 && attr(sources[0], "srcset") != "https://a.example/d%2C1.svg" {
				t.Errorf("logos in the dark: %d", len(sources))
			}
		})
	}
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	if w := get(mount(u), "/dex/theme/brand.css"); w.Code != http.StatusNotFound || len(tags(document(t, u.NotFound), "link")) != 4 {
		t.Errorf("without an accent: %d", w.Code)
	}
}

func TestBuiltInLogoHasTheAccent(t *testing.T) {
	u, _ := newUI(t, ui.Config{Brand: ui.Brand{Accent: "#0a7d55"}})
	for _, name := range []string{"logo.svg", "favicon.svg"} {
		if svg := get(mount(u), "/dex/theme/"+name).Body.String(); !strings.Contains(svg, `fill="#0a7d55"`) || strings.Contains(svg, "#3a60d8") {
			t.Errorf("%s: %s", name, svg)
		}
	}
}

// A logo with dark letters can be seen in the dark.
func TestLogoInTheDark(t *testing.T) {
	const logo, data = "https://a.example/l.svg", "data:image/svg+xml;base64,AA,=="
	for _, test := range []struct {
		cfg    ui.Config
		plate  bool
		srcset string
	}{
		{ui.Config{}, false, ""},
		{ui.Config{LogoURL: logo}, true, ""},
		{ui.Config{LogoURL: logo, LogoDarkURL: logo}, false, logo},
		{ui.Config{LogoURL: logo, LogoDarkURL: data}, false, data},
		{ui.Config{LogoURL: logo, LogoDarkURL: "static/a b.svg"}, false, "/static/a%20b.svg"},
		{ui.Config{LogoDarkURL: logo, Theme: "dark"}, false, ""},
	} {
		u, _ := newUI(t, test.cfg)
		doc := document(t, u.NotFound)
		if got := len(byClass(doc, "dex-logo-plate")) == 1; got != test.plate {
			t.Errorf("%v: a plate: %v", test.cfg, got)
		}
		srcset := ""
		for _, source := range tags(doc, "source") {
			srcset = attr(source, "srcset")
		}
		if srcset != test.srcset {
			t.Errorf("%v: %q in the dark, want %q", test.cfg, srcset, test.srcset)
		}
	}
}
