package ui_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"dex/internal/locale"
	"dex/internal/ui"
)

// typicalLogin is a choice of connectors for an application's request of the usual length.
func typicalLogin() ui.LoginPage {
	const request = "?client_id=grafana&code_challenge=n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg&code_challenge_method=S256" +
		"&nonce=6qUvoC2mPYqr0yZ0lT8q3w&redirect_uri=https%3A%2F%2Fgrafana.example.com%2Flogin%2Fgeneric_oauth" +
		"&response_type=code&scope=openid+profile+email+groups+offline_access&state=mXl2bV0yqzXbVZbKk1OJYk0l9Zs1n5H5cKzH1vQ3VdA%3D"
	p := ui.LoginPage{Client: "Grafana"}
	for _, kind := range []string{"ldap", "github", "google", "saml", "local"} {
		p.Connectors = append(p.Connectors, ui.ConnectorLink{ID: kind, Name: "Example " + kind, URL: "/dex/auth/" + kind + request, Type: kind})
	}
	return p
}

// manyLanguages are as many as are built in at most.
func manyLanguages(tb testing.TB) *locale.Catalog {
	tb.Helper()
	files := fstest.MapFS{}
	for _, tag := range strings.Fields("de fr es pt-BR it nl pl uk tr ja zh ko ar he") {
		text, err := json.Marshal(map[string]any{
			"name": "Language " + tag, "direction": "ltr", "months": strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12"), "time": "{day} {month} {year}, {time}",
		})
		if err != nil {
			tb.Fatal(err)
		}
		files[tag+".json"] = &fstest.MapFile{Data: text}
	}
	languages, err := locale.New(locale.Config{Messages: files})
	if err != nil {
		tb.Fatal(err)
	}
	return languages
}

func benchmarkPage(b *testing.B, cfg ui.Config, gzipped bool) {
	cfg.Languages, cfg.IssuerPath = manyLanguages(b), "/dex"
	u, _ := newUI(b, cfg)
	login := typicalLogin()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, login.Connectors[0].URL, nil)
	r.Header.Set("Accept-Language", "de-AT,de;q=0.9,en;q=0.5")
	if gzipped {
		r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	}
	w := &nowhere{header: http.Header{}}
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		clear(w.header)
		u.Login(w, r, login)
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime returns what the process has used so far: time goes by faster on a busy machine.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// nowhere discards an answer.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}

// BenchmarkLoginPage measures a choice of five connectors and 15 languages.
func BenchmarkLoginPage(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkPage(b, ui.Config{}, false) })
	b.Run("gzip", func(b *testing.B) { benchmarkPage(b, ui.Config{}, true) })
	b.Run("directory", func(b *testing.B) {
		benchmarkPage(b, ui.Config{Dir: webDir(b, map[string]string{"static/main.css": "a{}", "themes/light/styles.css": "b{}"})}, false)
	})
}

func unzipped(tb testing.TB, body []byte) string {
	tb.Helper()
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

var takesGzip = http.Header{"Accept-Encoding": {"gzip, deflate, br, zstd"}}

// One packet after another is what a slow phone waits for.
func TestWeight(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex", Languages: manyLanguages(t)})
	h := mount(u)
	page := fetch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.Login(w, r, typicalLogin()) }), http.MethodGet, "/dex/auth", takesGzip)
	if page.Body.Len() >= 6000 || page.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("the choice of connectors weighs %d bytes (%s)", page.Body.Len(), page.Header().Get("Content-Encoding"))
	}
	if size := get(h, "/dex/static/main.css").Body.Len(); size >= 20000 {
		t.Errorf("main.css has %d bytes", size)
	}
	if size := fetch(h, http.MethodGet, "/dex/static/main.css", takesGzip).Body.Len(); size >= 6000 {
		t.Errorf("main.css weighs %d bytes, compressed", size)
	}
}

// Pages that say something about somebody, or have a secret on them, are never compressed.
func TestCompressedPages(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex", Languages: manyLanguages(t)})
	for name, page := range allPages(u) {
		w := fetch(page.show, http.MethodGet, "/dex/auth", takesGzip)
		compressed := w.Header().Get("Content-Encoding") == "gzip"
		if want := strings.HasPrefix(name, "login") || strings.HasPrefix(name, "password"); compressed != want {
			t.Errorf("%s: compressed %v, want %v", name, compressed, want)
		}
		plain := fetch(page.show, http.MethodGet, "/dex/auth", nil)
		if plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed for whoever doesn't ask", name)
		}
		if compressed && (unzipped(t, w.Body.Bytes()) != plain.Body.String() || w.Header().Get("Vary") != "Accept-Encoding" ||
			w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) || w.Code != plain.Code) {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestCompressedFiles(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	h := mount(u)
	const css = "/dex/static/main.css"
	plain := get(h, css)
	for accept, want := range map[string]bool{
		"gzip": true, "br, GZIP": true, "gzip;q=0.5": true, "gzip; Q=1": true,
		"": false, "br": false, "identity": false, "gzip;q=0": false, "gzip; q=0.000": false, "gzip;q=x": false, "xgzip": false, "*": false,
	} {
		w := fetch(h, http.MethodGet, css, http.Header{"Accept-Encoding": {accept}})
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: %v", accept, w.Header())
		}
		if (w.Header().Get("ETag") == plain.Header().Get("ETag")) == want {
			t.Errorf("Accept-Encoding %q: ETag %s", accept, w.Header().Get("ETag"))
		}
	}
	packed := fetch(h, http.MethodGet, css, takesGzip)
	if unzipped(t, packed.Body.Bytes()) != plain.Body.String() || packed.Header().Get("Content-Length") != strconv.Itoa(packed.Body.Len()) ||
		packed.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%d bytes, %v", packed.Body.Len(), packed.Header())
	}
	again := fetch(h, http.MethodGet, css, http.Header{"Accept-Encoding": {"gzip"}, "If-None-Match": {packed.Header().Get("ETag")}})
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("again: %d, %d bytes", again.Code, again.Body.Len())
	}
	part := fetch(h, http.MethodGet, css, http.Header{"Accept-Encoding": {"gzip"}, "Range": {"bytes=0-9"}})
	if part.Code != http.StatusPartialContent || !bytes.Equal(part.Body.Bytes(), packed.Body.Bytes()[:10]) {
		t.Errorf("a part: %d, %d bytes", part.Code, part.Body.Len())
	}
	head := fetch(h, http.MethodHead, css, takesGzip)
	if head.Body.Len() != 0 || head.Header().Get("Content-Length") != packed.Header().Get("Content-Length") {
		t.Errorf("HEAD: %d bytes, %v", head.Body.Len(), head.Header())
	}
	if png := fetch(h, http.MethodGet, "/dex/theme/logo.png", takesGzip); png.Header().Get("Content-Encoding") != "" || png.Header().Get("Vary") != "" {
		t.Errorf("a picture: %v", png.Header())
	}
}
