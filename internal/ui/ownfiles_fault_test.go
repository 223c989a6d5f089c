package ui_test

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/ui"
)

// linkIn makes a link in a directory.
func linkIn(t *testing.T, dir, name, target string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// A web directory with a link that leads outside stopped the start, and so did an absolute or a circular link.
var _ = faulttest.Add("N5", func(t *testing.T) {
	outside := webDir(t, map[string]string{
		"brand/logo.png": "logo", "brand/fonts/a.woff2": "font", "code.html": "their code", "acme/styles.css": "acme",
		"volume/..2026_01/robots.txt": "robots", "volume/..2026_02/robots.txt": "new robots",
	})
	linkIn(t, outside, "volume/..data", "..2026_01")
	linkIn(t, outside, "volume/robots.txt", "..data/robots.txt")
	linkIn(t, outside, "acme/logo.png", filepath.Join(outside, "brand", "logo.png"))

	dir := webDir(t, map[string]string{"static/own.css": "own", "shared/theme/x.css": "x"})
	linkIn(t, dir, "static/logo.png", filepath.Join(outside, "brand", "logo.png"))
	linkIn(t, dir, "static/brand", filepath.Join(outside, "brand"))
	linkIn(t, dir, "static/absolute.css", filepath.Join(dir, "static", "own.css"))
	linkIn(t, dir, "static/circle", "circle")
	linkIn(t, dir, "static/back", "..")
	linkIn(t, dir, "templates/oob.html", filepath.Join(outside, "code.html"))
	linkIn(t, dir, "themes/acme", filepath.Join(outside, "acme"))
	linkIn(t, dir, "robots.txt", filepath.Join(outside, "volume", "robots.txt"))
	// A folder of the directory's own, reached by a link, with a link that leads outside.
	linkIn(t, dir, "static/theme", "../shared/theme")
	linkIn(t, dir, "shared/theme/logo.png", filepath.Join(outside, "brand", "logo.png"))

	u, err := ui.New(ui.Config{Dir: dir, Theme: "acme", IssuerPath: "/dex"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("it doesn't start: %v", err)
	}
	h := mount(u)
	for target, want := range map[string]string{
		"/dex/static/own.css": "own", "/dex/static/logo.png": "logo", "/dex/static/brand/fonts/a.woff2": "font",
		"/dex/static/absolute.css": "own", "/dex/static/theme/x.css": "x", "/dex/static/theme/logo.png": "logo",
		"/dex/theme/styles.css": "acme", "/dex/theme/logo.png": "logo", "/dex/robots.txt": "robots",
	} {
		if w := get(h, target); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %q", target, w.Code, w.Body)
		}
	}
	for _, target := range []string{
		"/dex/static/circle", "/dex/static/brand", "/dex/static/brand/../../secret", "/dex/static/brand/fonts/nothing",
	} {
		if w := get(u.Static(), target); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %q", target, w.Code, w.Body)
		}
	}
	w := show(t, "/", func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{}) })
	if got := w.Body.String(); got != "their code" {
		t.Errorf("page is %q", got)
	}

	// The volume gets new contents.
	if err := os.Remove(filepath.Join(outside, "volume", "..data")); err != nil {
		t.Fatal(err)
	}
	linkIn(t, outside, "volume/..data", "..2026_02")
	if got := get(h, "/dex/robots.txt").Body.String(); got != "new robots" {
		t.Errorf("robots.txt is %q", got)
	}
})
