package ui_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/ui"
)

// mount serves a UI's files below /dex, without the prefix.
func mount(u *ui.UI) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/dex/static/", http.StripPrefix("/dex/static", u.Static()))
	mux.Handle("/dex/theme/", http.StripPrefix("/dex/theme", u.Theme()))
	mux.Handle("/dex/robots.txt", u.Robots())
	return mux
}

func fetch(h http.Handler, method, target string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for key, values := range header {
		r.Header[key] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	return fetch(h, http.MethodGet, target, nil)
}

func TestAssets(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	h := mount(u)
	for target, contentType := range map[string]string{
		"/dex/static/main.css":           "text/css; charset=utf-8",
		"/dex/static/img/email-icon.svg": "image/svg+xml",
		"/dex/theme/styles.css":          "text/css; charset=utf-8",
		"/dex/theme/logo.png":            "image/png",
		"/dex/theme/favicon.png":         "image/png",
		"/dex/theme/logo.svg":            "image/svg+xml",
		"/dex/robots.txt":                "text/plain; charset=utf-8",
	} {
		w := get(h, target)
		if w.Code != http.StatusOK || w.Body.Len() == 0 || w.Header().Get("Content-Type") != contentType {
			t.Errorf("%s: %d, %d bytes of %s", target, w.Code, w.Body.Len(), w.Header().Get("Content-Type"))
		}
		etag := w.Header().Get("ETag")
		if !strings.HasPrefix(etag, `"`) || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: ETag %s, Cache-Control %s", target, etag, w.Header().Get("Cache-Control"))
		}
		w = fetch(h, http.MethodGet, target, http.Header{"If-None-Match": {etag}})
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != etag {
			t.Errorf("%s: conditional request answered with %d, ETag %s", target, w.Code, w.Header().Get("ETag"))
		}
		if w = fetch(h, http.MethodHead, target, nil); w.Code != http.StatusOK {
			t.Errorf("%s: HEAD answered with %d", target, w.Code)
		}
	}
}

func TestAssetsByWholePath(t *testing.T) {
	for _, issuerPath := range []string{"", "/dex", "/dex/idp/"} {
		u, _ := newUI(t, ui.Config{IssuerPath: issuerPath})
		base := strings.TrimSuffix(issuerPath, "/")
		for path, want := range map[string]int{
			base + "/static/main.css":          http.StatusOK,
			base + "/static/img/ldap-icon.svg": http.StatusOK,
			base + "/static//main.css":         http.StatusNotFound,
			base + "/static/":                  http.StatusNotFound,
			base + "/static":                   http.StatusNotFound,
			base + "/staticmain.css":           http.StatusNotFound,
		} {
			if w := get(u.Static(), path); w.Code != want {
				t.Errorf("%s: %d, want %d", path, w.Code, want)
			}
		}
		if w := get(u.Theme(), base+"/theme/styles.css"); w.Code != http.StatusOK {
			t.Errorf("theme below %q: %d", base, w.Code)
		}
	}
}

func TestRobotsDisallowsEverything(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	if got := get(mount(u), "/dex/robots.txt").Body.String(); got != "User-agent: *\nDisallow: /\n" {
		t.Errorf("robots.txt says %q", got)
	}
}

func TestAssetVersions(t *testing.T) {
	const forever = "public, max-age=31536000, immutable"
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	h := mount(u)
	for _, link := range tags(document(t, u.NotFound), "link") {
		target := attr(link, "href")
		if w := get(h, target); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != forever {
			t.Errorf("%s: %d, Cache-Control %s", target, w.Code, w.Header().Get("Cache-Control"))
		}
		// An old page of another version must not pin the new file under the old name.
		target = strings.ReplaceAll(target, "?v=", "?v=0")
		if w := get(h, target); w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: Cache-Control %s", target, w.Header().Get("Cache-Control"))
		}
	}
}

func TestEditsShowWithoutRestart(t *testing.T) {
	dir := webDir(t, map[string]string{"static/main.css": "a{}"})
	u, _ := newUI(t, ui.Config{Dir: dir, IssuerPath: "/dex"})
	h := mount(u)
	stylesheet := func() string { return attr(tags(document(t, u.NotFound), "link")[0], "href") }
	before, etag := stylesheet(), get(h, "/dex/static/main.css").Header().Get("ETag")

	file := filepath.Join(dir, "static", "main.css")
	writeFile(t, file, "b{}")
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	w := fetch(h, http.MethodGet, "/dex/static/main.css", http.Header{"If-None-Match": {etag}})
	if w.Code != http.StatusOK || w.Body.String() != "b{}" {
		t.Errorf("after the edit: %d %q", w.Code, w.Body)
	}
	if stylesheet() == before {
		t.Error("pages link to the old version")
	}

	writeFile(t, filepath.Join(dir, "static", "new.txt"), "new")
	if w := get(h, "/dex/static/new.txt"); w.Body.String() != "new" {
		t.Errorf("new file: %d %q", w.Code, w.Body)
	}
}

func TestRefusedAssets(t *testing.T) {
	dir := webDir(t, map[string]string{
		"templates/secret.html": "secret", "static/x/y.css": "y", "themes/acme/styles.css": "s", "secret.txt": "secret",
	})
	u, logs := newUI(t, ui.Config{Dir: dir, Theme: "acme"})
	logs.Reset()
	static, theme := u.Static(), u.Theme()
	for _, path := range []string{
		"", "/", "/img", "/img/", "/x", "/x/", "/missing.css", "/main.css/", "//main.css", "/./main.css",
		"/../secret.txt", "/x/../../secret.txt", "/../templates/secret.html", "/..%2f..%2fsecret.txt", "/..", "/../",
		`/..\secret.txt`, "/main.css\x00", "/\x00", "/x/y.css/z", "/" + strings.Repeat("x", 300), "/../../../../../../../../etc/passwd", "/themes/acme/styles.css",
	} {
		for name, h := range map[string]http.Handler{"static": static, "theme": theme} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL.Path = path
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s %q: %d %q", name, path, w.Code, w.Body)
			}
		}
	}
	if logs.Len() > 0 {
		t.Errorf("strangers fill the log: %s", logs)
	}
	w := fetch(mount(u), http.MethodPost, "/dex/static/main.css", nil)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}
