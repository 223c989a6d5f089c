package app_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
)

// The default policy took styles and scripts from pages of the operator's without a word, and no header could be switched off.
var _ = faulttest.Add("N4", func(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"templates/oob.html": `<style>p{}</style>`, "static/main.css": `@import "https://fonts.example/css";`,
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	frontend := fmt.Sprintf("frontend: {dir: %q}\n", dir)
	warnings := []string{"templates/oob.html", "style-src 'unsafe-inline'", "static/main.css", "style-src https://fonts.example"}
	for name, test := range map[string]struct {
		headers string
		warned  bool
		want    string // the header
	}{
		"by default":    {"", true, "style-src 'self'"},
		"another":       {"{X-Frame-Options: SAMEORIGIN}", true, "script-src 'self'"},
		"null":          {"{Content-Security-Policy: null}", true, "font-src 'self'"},
		"one of theirs": {`{Content-Security-Policy: "style-src *"}`, false, "style-src *"},
		"none":          {`{Content-Security-Policy: ""}`, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := configuration + frontend
			if test.headers != "" {
				yaml = strings.Replace(yaml, "web: {", "web: {headers: "+test.headers+", ", 1)
			}
			plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
			if plan == nil {
				t.Fatal(app.Report(problems))
			}
			var log bytes.Buffer
			a, err := app.New(t.Context(), plan, app.Options{
				Log: slog.New(slog.NewTextHandler(&log, nil)), WrapStore: withKeys(t, plan, nil),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
			h := a.Handler()
			checked := plan.CheckFiles()
			for where, text := range map[string]string{"log": log.String(), "check": app.Report(checked)} {
				for _, warning := range warnings {
					if got := strings.Contains(text, warning) && strings.Contains(text, "web.headers.Content-Security-Policy"); got != test.warned {
						t.Errorf("%s warns of %s: %v\n%s", where, warning, got, text)
					}
				}
			}
			if checked.Fatal() {
				t.Errorf("check: %s", app.Report(checked))
			}
			values := (&server{t: t, handler: h}).get("/dex").header.Values("Content-Security-Policy")
			if got := strings.Join(values, "|"); !strings.Contains(got, test.want) || test.want == "" && len(values) > 0 {
				t.Errorf("the header is %q", values)
			}
		})
	}
})

// What the pages are held to is the policy that is sent (ui/policy.go).
func TestDefaultPolicy(t *testing.T) {
	policy := start(t, "").get("/dex").header.Get("Content-Security-Policy")
	const want = "default-src 'none'; style-src 'self'; img-src 'self' https: data:; font-src 'self'; script-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
	if policy != want {
		t.Errorf("the policy is %q: see to it that ui.permitted fits, and docs/configuration.md", policy)
	}
}
