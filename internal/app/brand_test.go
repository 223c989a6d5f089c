package app_test

import (
	"regexp"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/federation"
)

func TestBrandIsChecked(t *testing.T) {
	for _, test := range []struct {
		frontend string
		want     string // in the report, after the file and the line
		fatal    bool
	}{
		{`{brand: {accent: "#0a7d55", name: Acme, logoURL: theme/logo.png, logoDarkURL: theme/logo.png}}`, "", false},
		{`{issuer: Acme, brand: {name: Acme}}`, "", false},
		{`{brand: {accent: "#ffd500"}}`, `frontend.brand.accent: #ffd500 can't be seen well on the light pages: its contrast with #ffffff is 1.42:1, and must be at least 3:1; the nearest tone that works is "#`, true},
		{`{theme: dark, brand: {accent: "#ffd500"}}`, "", false},
		{`{brand: {accent: "#0a7d55", accentDark: "#123"}}`, "frontend.brand.accentDark: #112233 can't be seen well on the dark pages", true},
		{`{brand: {accent: teal}}`, `frontend.brand.accent: "teal" is no colour; it must be one like "#0a7d55"`, true},
		{"\n  brand:\n    accent: #0a7d55", `frontend.brand.accent: has no value; quote colours, as in "#0a7d55"`, true},
		{`{brand: {accentDark: "#ffd500"}}`, "frontend.brand.accentDark: needs frontend.brand.accent", true},
		{`{issuer: Old, brand: {name: Acme}}`, "frontend.brand.name: replaces frontend.issuer; this one is used, and frontend.issuer on line", false},
		{`{logoURL: "https://a.example/x", brand: {logoURL: theme/logo.png}}`, "frontend.brand.logoURL: replaces frontend.logoURL; this one is used", false},
		{`{brand: {colour: "#ffd500"}}`, "frontend.brand.colour", false},
	} {
		yaml := configuration + "frontend: " + test.frontend + "\n"
		plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
		var about []string
		for line := range strings.Lines(app.Report(problems)) {
			if strings.Contains(line, "frontend") {
				about = append(about, line)
			}
		}
		report := strings.Join(about, "")
		if !strings.Contains(report, test.want) || (report == "") != (test.want == "") || (plan == nil) != test.fatal {
			t.Errorf("%s: %q, want %q", test.frontend, report, test.want)
		}
		if report != "" && !regexp.MustCompile(`test\.yaml:\d+:\d+: `).MatchString(report) {
			t.Errorf("%s: no line: %s", test.frontend, report)
		}
	}
}

func TestEveryTypeHasAnIcon(t *testing.T) {
	s := start(t, "")
	css := s.get("/dex/static/main.css").body
	for _, kind := range append(federation.Types(), federation.LocalID) {
		if !regexp.MustCompile(`\.dex-btn-icon--` + kind + `[\s,][^}]*url\("img/[a-z-]+\.svg`).MatchString(css) {
			t.Errorf("%s has no icon", kind)
		}
	}
}

func TestBrandOfPages(t *testing.T) {
	s := start(t, "frontend: {brand: {accent: \"#0a7d55\", name: Acme}}\n")
	page := s.get("/dex").body
	link := regexp.MustCompile(`/dex/theme/brand\.css\?v=[0-9a-f]+`).FindString(page)
	if link == "" || !strings.Contains(page, "Acme") {
		t.Fatal(page)
	}
	w := s.get(link)
	if !strings.Contains(w.body, "--dex-primary: #0a7d55;") || w.header.Get("Content-Type") != "text/css; charset=utf-8" ||
		!strings.Contains(w.header.Get("Cache-Control"), "immutable") {
		t.Errorf("%v\n%s", w.header, w.body)
	}
}
