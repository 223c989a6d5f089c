package preview_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"dex/internal/locale"
	"dex/internal/preview"
	"dex/internal/ui"
)

// A site is a running preview.
type site struct {
	t      *testing.T
	url    string
	client *http.Client
	dir    string
}

// newSite previews a directory; edit changes the settings.
func newSite(t *testing.T, files map[string]string, edit func(*preview.Settings)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	for name, text := range files {
		s.write(name, text)
	}
	read := func() (preview.Settings, error) {
		languages, err := locale.New(locale.Config{Messages: fstest.MapFS{"dv.json": {Data: []byte(
			`{"name": "Aa", "direction": "rtl", "months": ["1","2","3","4","5","6","7","8","9","10","11","12"], "time": "{year}",
			"messages": {"Password": "PASSWORD"}}`)}}})
		settings := preview.Settings{Pages: ui.Config{Dir: s.dir, Languages: languages}, Watched: ui.Files(s.dir)}
		if edit != nil {
			edit(&settings)
		}
		return settings, err
	}
	server := httptest.NewServer(preview.New(read, slog.New(slog.NewTextHandler(t.Output(), nil))))
	t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// do sends a request, and returns the answer with its body.
func (s *site) do(method, path string, edit ...func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range edit {
		e(r)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // was read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

// get returns a page that must have a status.
func (s *site) get(path string, status int) string {
	s.t.Helper()
	resp, body := s.do(http.MethodGet, path)
	if resp.StatusCode != status {
		s.t.Fatalf("%s: status %d, want %d\n%s", path, resp.StatusCode, status, body)
	}
	return body
}

var pageLink = regexp.MustCompile(`href="(/[^"/]+/[^"/]+/page/[^"]+)"`)

// links returns the addresses of all pages on the list at an address.
func (s *site) links(index string) []string {
	s.t.Helper()
	var found []string
	for _, m := range pageLink.FindAllStringSubmatch(s.get(index, http.StatusOK), -1) {
		found = append(found, m[1])
	}
	return found
}

// Every page is there in each theme and language, with its files.
func TestEveryPage(t *testing.T) {
	s := newSite(t, map[string]string{"themes/my own/styles.css": "mine{}"}, nil)
	resp, _ := s.do(http.MethodGet, "/", func(r *http.Request) { r.Header.Set("Accept-Language", "dv") })
	if got := resp.Header.Get("Location"); got != "/auto/dv/" {
		t.Fatalf("it begins at %s", got)
	}
	index, seen := s.get("/auto/dv/", http.StatusOK), map[string]bool{}
	for _, variable := range []string{"<code>.UsernamePrompt</code></li>", "<code>.Connectors</code>, with <code>", " <code>.URL</code>"} {
		if !strings.Contains(index, variable) {
			t.Errorf("the list has no variable %s", variable)
		}
	}
	if strings.Contains(index, "<code>.ReqPath</code>") {
		t.Error("the list has what all pages have, for each")
	}
	for _, base := range []string{"/auto/dv/", "/dark/dv/", "/light/dv/", "/my%20own/dv/", "/auto/en/", "/auto/dv/"} {
		if !strings.Contains(index, `href="`+base+`"`) {
			t.Errorf("the list doesn't lead to %s", base)
		}
		pages := s.links(base)
		if len(pages) < 20 {
			t.Fatalf("%s has only %v", base, pages)
		}
		for _, page := range pages {
			body := s.get(page, http.StatusOK)
			if lang := strings.Split(base, "/")[2]; !strings.Contains(body, `<html lang="`+lang+`"`) {
				t.Errorf("%s is not in %s", page, lang)
			}
			if n := strings.Count(body, "/_preview/reload.js"); n != 1 {
				t.Errorf("%s has the script %d times", page, n)
			}
			for _, asset := range regexp.MustCompile(`(?:src|href)="(/[^"]*/(?:static|theme)/[^"]*)"`).FindAllStringSubmatch(body, -1) {
				if !seen[asset[1]] {
					s.get(asset[1], http.StatusOK)
				}
				seen[asset[1]] = true
			}
		}
	}
	if got := s.get("/my%20own/en/theme/styles.css", http.StatusOK); got != "mine{}" {
		t.Errorf("the theme's style is %s", got)
	}
	for _, file := range []string{"reload.js", "preview.css"} {
		s.get("/_preview/"+file, http.StatusOK)
	}
	for path, status := range map[string]int{
		"/no/en/": 404, "/auto/tlh/": 404, "/auto/en/page/login.html/nothing": 404, "/auto/en/page/nothing/everything": 404, "/_preview/": 404,
		"/_preview/..%2fpreview.go": 400, "/_preview/broken.html": 404, "/auto/en/static/": 404, "/auth?client_id=x": 404, "/auto/en/page/header.html/x": 404,
	} {
		s.get(path, status)
	}
}

// A mistake is shown instead of the page that has it, and the page is back when it is mended.
func TestMistakes(t *testing.T) {
	s := newSite(t, map[string]string{"templates/oob.html": "<p>\n{{ .Cod }}"}, nil)
	const broken, other = "/auto/en/page/oob.html/code", "/auto/en/page/device_success.html/connected"
	for _, path := range []string{broken, "/auto/en/"} {
		status := http.StatusOK
		if path == broken {
			status = http.StatusInternalServerError
		}
		body := s.get(path, status)
		if !strings.Contains(body, "oob.html:2") || !strings.Contains(body, "did you mean .Code?") || !strings.Contains(body, "/_preview/reload.js") {
			t.Errorf("%s doesn't say where the mistake is:\n%s", path, body)
		}
	}
	s.get(other, http.StatusOK)

	version := s.get("/_preview/version", http.StatusOK)
	s.write("templates/oob.html", "<p>\n\n{{ if }}")
	if body := s.get(other, http.StatusInternalServerError); !strings.Contains(body, "oob.html:3") || !strings.Contains(body, s.dir) {
		t.Errorf("what isn't a template: %s", body)
	}
	s.write("templates/oob.html", "mended {{ .Code }}")
	if body := s.get(broken, http.StatusOK); !strings.Contains(body, "mended ") {
		t.Errorf("the page is %s", body)
	}
	if s.get("/_preview/version", http.StatusOK) == version {
		t.Error("the version is the same")
	}
}

// The version is another whenever anything of the pages is.
func TestVersion(t *testing.T) {
	s := newSite(t, map[string]string{"static/main.css": "a{}", "node_modules/x/y.js": "1"}, nil)
	version := func() string { return s.get("/_preview/version", http.StatusOK) }
	seen := map[string]bool{version(): true}
	for _, change := range []struct {
		name, text string
		changed    bool
	}{
		{"static/main.css", "b{}", true}, {"static/main.css", "b{}", false}, {"static/img/logo.png", strings.Repeat("x", 300<<10), true},
		{"static/img/logo.png", strings.Repeat("x", 301<<10), true}, {"robots.txt", "x", true}, {"templates/oob.html", "x", true},
		{"themes/a/styles.css", "", true}, {"node_modules/x/y.js", "2", false},
	} {
		s.write(change.name, change.text)
		if v := version(); seen[v] == change.changed {
			t.Errorf("%s: changed is not %t", change.name, change.changed)
		} else {
			seen[v] = true
		}
	}
	if err := os.Symlink("..", filepath.Join(s.dir, "static", "back")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(s.dir, "static", "again")); err != nil {
		t.Fatal(err)
	}
	if first, second := version(), version(); first != second {
		t.Error("links that lead back have no version")
	}
}

// Pages have the headers of the server, and the list says what the policy takes from them.
func TestPolicy(t *testing.T) {
	const own = "style-src 'self' 'unsafe-inline'"
	for name, test := range map[string]struct {
		headers map[string]string
		want    string
		warned  bool
	}{
		"default": {nil, "default-src 'none'; style-src 'self'", true},
		"another": {map[string]string{"Content-Security-Policy": own}, own, false},
	} {
		s := newSite(t, map[string]string{"templates/oob.html": "<style>p{}</style>"}, func(settings *preview.Settings) { settings.Headers = test.headers })
		resp, _ := s.do(http.MethodGet, "/auto/en/page/oob.html/code")
		if got := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: the policy is %q", name, got)
		}
		if got := strings.Contains(s.get("/auto/en/", http.StatusOK), "style-src &#39;unsafe-inline&#39;"); got != test.warned {
			t.Errorf("%s: that the list warns is %t", name, got)
		}
	}
}

// Forms leave their page where it is, the choice of a language stays at the page, and what came from a stranger is text.
func TestWaysOut(t *testing.T) {
	s := newSite(t, nil, nil)
	for _, name := range []string{"form_post.js", "logout_frames.js"} {
		if script := s.get("/auto/en/static/"+name, http.StatusOK); strings.Contains(script, "submit()") || strings.Contains(script, "location") {
			t.Errorf("a page leaves at once: %s", script)
		}
	}
	resp, body := s.do(http.MethodPost, "/auth/sample/login?state=1")
	if resp.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("a form: %d %s", resp.StatusCode, body)
	}
	for back, want := range map[string]string{
		"/auto/en/page/oob.html/code": "/auto/dv/page/oob.html/code", "/auto/en/": "/auto/dv/", "/auth": "", "https://evil.test/auto/en/": "/auto/dv/", "//evil.test": "",
	} {
		resp, _ := s.do(http.MethodGet, "/auto/en/language?"+url.Values{"to": {"dv"}, "back": {back}}.Encode())
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("the language of %s: to %q, want %q", back, got, want)
		}
	}
	resp, _ = s.do(http.MethodGet, "/auto/en/language?to=//evil.test&back=/auto/en/x")
	if got := resp.Header.Get("Location"); !strings.HasPrefix(got, "/auto/") {
		t.Errorf("a language leads to %s", got)
	}
	// The theme and the language in an address may be anything.
	for _, path := range []string{"/%2Fevil.test/en/language?to=dv&back=/%252Fevil.test/en/x", "/%5Cevil.test/en/language?to=dv&back=/%255Cevil.test/en/x"} {
		resp, _ := s.do(http.MethodGet, path)
		if got := resp.Header.Get("Location"); strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`) {
			t.Errorf("%s leads to %s", path, got)
		}
	}
	if body := s.get("/%3Cscript%3E", http.StatusNotFound); strings.Contains(body, "<script>") {
		t.Errorf("the address is markup: %s", body)
	}
}

// A name of a stranger's that leads to this machine opens nothing.
func TestNamesOfStrangers(t *testing.T) {
	s := newSite(t, nil, nil)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:5557": 200, "LOCALHOST": 200, "dex.localhost:1": 200, "127.0.0.1:5557": 200, "[::1]:5557": 200, "127.0.0.2": 200,
		"evil.test": 421, "evil.test:5557": 421, "localhost.evil.test": 421, "192.0.2.1": 421,
	} {
		resp, _ := s.do(http.MethodGet, "/auto/en/", func(r *http.Request) { r.Host = host })
		if resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", host, resp.StatusCode, status)
		}
	}
}
