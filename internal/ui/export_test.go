package ui_test

import (
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/internal/ui"
)

// A directory that was exported looks like the built-in pages.
func TestExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "web")
	names, err := ui.Export(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if e.IsDir() {
			want = 0o755
		} else {
			written = append(written, strings.TrimPrefix(name, dir+"/"))
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
		return nil
	})
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(written))) {
		t.Errorf("said to be written: %v; are there: %v; %v", names, written, err)
	}

	exported, logs := newUI(t, ui.Config{Dir: dir, IssuerPath: "/dex"})
	builtin, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	if logs.Len() > 0 {
		t.Errorf("the log says %s", logs)
	}
	if needs := exported.PolicyNeeds(); len(needs) > 0 {
		t.Errorf("the default policy takes something from the built-in pages: %v", needs)
	}
	unversioned := func(page []byte) string {
		return regexp.MustCompile(`\?v=[0-9a-f]{16}`).ReplaceAllString(string(page), "")
	}
	for _, s := range builtin.Samples() {
		r := httptest.NewRequest("GET", "/dex/auth", nil)
		want, err := builtin.RenderSample(r, s.Template, s.Name)
		got, ownErr := exported.RenderSample(r, s.Template, s.Name)
		if err != nil || ownErr != nil || unversioned(got) != unversioned(want) {
			t.Errorf("%s, %s: %v, %v: the page is %s", s.Template, s.Name, err, ownErr, got)
		}
	}
	for _, theme := range []string{"auto", "dark", "light"} {
		exported, _ := newUI(t, ui.Config{Dir: dir, Theme: theme})
		builtin, _ := newUI(t, ui.Config{Theme: theme})
		for _, file := range []string{"styles.css", "logo.png", "logo.svg", "favicon.png"} {
			got, want := get(mount(exported), "/dex/theme/"+file), get(mount(builtin), "/dex/theme/"+file)
			if got.Code != want.Code || got.Body.String() != want.Body.String() {
				t.Errorf("theme %s: another %s", theme, file)
			}
		}
	}
}

func TestExportReplacesOnlyWhenToldTo(t *testing.T) {
	dir := webDir(t, map[string]string{"robots.txt": "mine", "notes": "mine"})
	if _, err := ui.Export(dir, false); !errors.Is(err, ui.ErrNotEmpty) {
		t.Errorf("a folder with something in it: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
	if _, err := ui.Export(dir, true); err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]bool{"robots.txt": false, "notes": true} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || (string(text) == "mine") != kept {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, bad := range []string{filepath.Join(dir, "notes"), filepath.Join(dir, "notes", "web")} {
		if _, err := ui.Export(bad, true); err == nil {
			t.Errorf("%s was written, below or instead of a file", bad)
		}
	}
}

// A link in the folder can't make an export write elsewhere.
func TestExportStaysInside(t *testing.T) {
	outside, dir := webDir(t, map[string]string{"templates/login.html": "theirs"}), t.TempDir()
	linkIn(t, dir, "templates", filepath.Join(outside, "templates"))
	linkIn(t, dir, "robots.txt", filepath.Join(outside, "templates", "login.html"))
	_, err := ui.Export(dir, true)
	if text, readErr := os.ReadFile(filepath.Join(outside, "templates", "login.html")); err == nil || readErr != nil || string(text) != "theirs" {
		t.Errorf("%v; %q, %v", err, text, readErr)
	}
}
