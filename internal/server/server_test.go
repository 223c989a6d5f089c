package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"dex/internal/server"
	"dex/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer is a log that tests read while the program writes to it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return telemetry.NewLogger(b, "text", slog.LevelDebug, nil)
}

// options returns the least that New needs, for an issuer with the path given.
func options(path string) server.Options {
	return server.Options{
		Issuer: &url.URL{Scheme: "https", Host: "dex.example", Path: path}, Log: slog.New(slog.DiscardHandler), MaxBody: 1 << 20,
	}
}

// start serves the routes on a free port of this machine and returns the base URL.
func start(t *testing.T, opts server.Options, routes ...server.Route) string {
	t.Helper()
	s := httptest.NewServer(server.New(opts, routes))
	t.Cleanup(s.Close)
	return s.URL
}

// client doesn't follow redirects.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do sends a request without a body and returns the answer with its body read.
func do(t *testing.T, method, target string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	return send(t, client(t), req)
}

func send(t *testing.T, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	opts := options("/dex")
	opts.Headers = map[string]string{
		"X-Frame-Options":           "SAMEORIGIN",
		"strict-transport-security": "max-age=1000",
		"X-XSS-Protection":          "",
		"referrer-policy":           "",
	}
	base := start(t, opts,
		server.Route{Pattern: "/", Handler: text("home"), Methods: []string{"GET"}},
		server.Route{Pattern: "/panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })},
		server.Route{Pattern: "/static/{file...}", Handler: text("file"), Asset: true},
	)
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/dex", 200},
		{"GET", "/dex/", 308},
		{"POST", "/dex", 405},
		{"GET", "/dex/panic", 500},
		{"GET", "/dex/static/main.css", 200},
		{"GET", "/dex/nothing", 404},
		{"GET", "/dex//static/main.css", 404},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			resp, _ := do(t, tc.method, base+tc.path, nil)
			if resp.StatusCode != tc.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
			}
			for name, want := range map[string]string{
				"X-Frame-Options":              "SAMEORIGIN",
				"Strict-Transport-Security":    "max-age=1000",
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "",
				"X-Xss-Protection":             "",
				"Cross-Origin-Opener-Policy":   "",
				"Cross-Origin-Resource-Policy": "",
			} {
				if tc.status == http.StatusPermanentRedirect && name != "Strict-Transport-Security" {
					want = ""
				}
				if got := strings.Join(resp.Header.Values(name), "|"); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if tc.status == http.StatusPermanentRedirect {
				return // nobody sees a page
			}
			policy := resp.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "form-action") {
				t.Errorf("Content-Security-Policy: %q", policy)
			}
		})
	}
}

func TestHSTSOnlyWhenConfigured(t *testing.T) {
	base := start(t, options(""), server.Route{Pattern: "/", Handler: text("home")})
	resp, _ := do(t, "GET", base+"/", nil)
	if got := resp.Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("Strict-Transport-Security: %q", got)
	}
	if got := resp.Header.Get("X-Frame-Options"); got != "DENY" {
		t.Errorf("X-Frame-Options: %q", got)
	}
}

func TestHandlersOverruleHeadersOfTheirOwnAnswerOnly(t *testing.T) {
	base := start(t, options(""), server.Route{Pattern: "/", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "own" {
			w.Header().Add("X-Frame-Options", "second")
			w.Header().Set("Referrer-Policy", "origin")
		}
	})})
	resp, _ := do(t, "GET", base+"/?own", nil)
	if got := resp.Header.Values("X-Frame-Options"); len(got) != 2 || resp.Header.Get("Referrer-Policy") != "origin" {
		t.Errorf("overruled: %q", resp.Header)
	}
	resp, _ = do(t, "GET", base+"/", nil)
	if got := resp.Header.Values("X-Frame-Options"); len(got) != 1 || resp.Header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("the next answer: %q", resp.Header)
	}
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestRequestID(t *testing.T) {
	base := start(t, options(""), server.Route{Pattern: "/", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, telemetry.RequestID(r.Context()))
	})})
	forged := http.Header{"X-Request-Id": {"11111111-1111-4111-8111-111111111111"}}
	first, inside := do(t, "GET", base+"/", forged)
	id := first.Header.Get("X-Request-Id")
	if !uuid4.MatchString(id) || id == forged.Get("X-Request-Id") {
		t.Errorf("X-Request-Id %q is no fresh UUID", id)
	}
	if inside != id {
		t.Errorf("the handler saw %q, the client %q", inside, id)
	}
	second, _ := do(t, "GET", base+"/", nil)
	if second.Header.Get("X-Request-Id") == id {
		t.Error("two requests have one id")
	}
	missing, _ := do(t, "GET", base+"/missing", nil)
	if !uuid4.MatchString(missing.Header.Get("X-Request-Id")) {
		t.Error("a 404 has no id")
	}
}

func TestPanic(t *testing.T) {
	var log logBuffer
	opts := options("")
	opts.Log = log.logger()
	opts.Metrics = telemetry.NewMetrics("v")
	opts.ErrorPage = func(w http.ResponseWriter, r *http.Request, status int) {
		if r.URL.RawQuery == "page" {
			panic("the page, too")
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<p>sorry")
	}
	base := start(t, opts,
		server.Route{Pattern: "/early", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "half", Value: "done"})
			w.Header().Set("Content-Length", "5000")
			panic(errors.New("boom"))
		})},
		server.Route{Pattern: "/late", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
			panic("boom")
		})},
		server.Route{Pattern: "/abort", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		})},
	)

	resp, body := do(t, "GET", base+"/early?code=s3cret", nil)
	if resp.StatusCode != 500 || body != "<p>sorry" || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("before the answer: %d %q %q", resp.StatusCode, body, resp.Header)
	}
	for _, want := range []string{"err=boom", "server_test.go", "route=/early", "request_id=" + resp.Header.Get("X-Request-Id")} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("the log has the query:\n%s", log.String())
	}

	resp, body = do(t, "GET", base+"/early?page", nil)
	if resp.StatusCode != 500 || !strings.Contains(body, "Internal Server Error") {
		t.Errorf("when the page panics: %d %q", resp.StatusCode, body)
	}

	for _, path := range []string{"/late", "/abort"} {
		if err := getWhole(t, base+path); err == nil {
			t.Errorf("%s: the client took a broken answer for whole", path)
		}
	}
	if strings.Contains(log.String(), "abort Handler") {
		t.Errorf("an abort was logged:\n%s", log.String())
	}
}

// getWhole returns an error unless the whole answer came.
func getWhole(t *testing.T, target string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func TestMetricsOfRoutes(t *testing.T) {
	opts := options("/dex")
	opts.Metrics = telemetry.NewMetrics("v")
	base := start(t, opts,
		server.Route{Pattern: "/auth/{connector}", Handler: text("login")},
		server.Route{Pattern: "/panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })},
		server.Route{Pattern: "/static/{file...}", Handler: text("file"), Asset: true},
	)
	for _, path := range []string{"/auth/a", "/auth/b", "/panic", "/static/x", "/unknown"} {
		do(t, "GET", base+"/dex"+path, nil)
	}
	got := map[string]float64{}
	families, err := opts.Metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "http_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			var key []string
			for _, l := range m.GetLabel() {
				key = append(key, l.GetValue())
			}
			got[strings.Join(key, " ")] = m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{"200 /auth/{connector} get": 2, "500 /panic get": 1}
	if len(got) != len(want) {
		t.Errorf("http_requests_total: %v, want %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("http_requests_total %s: %v, want %v", k, got[k], v)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	opts := options("")
	opts.MaxBody = 1000
	called := make(chan struct{}, 10)
	base := start(t, opts, server.Route{Pattern: "/token", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		if err := r.ParseForm(); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})})
	for _, tc := range []struct {
		name    string
		size    int
		chunked bool
		status  int
		called  int
	}{
		{"allowed", 1000, false, 200, 1},
		{"announced", 1001, false, 413, 0},
		{"allowed in chunks", 1000, true, 200, 1},
		{"in chunks", 1001, true, 413, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var body io.Reader = strings.NewReader(strings.Repeat("a", tc.size))
			if tc.chunked {
				body = io.MultiReader(body) // hides the length
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/token", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, _ := send(t, client(t), req)
			if resp.StatusCode != tc.status || len(called) != tc.called {
				t.Errorf("status %d, handler called %d times; want %d, %d", resp.StatusCode, len(called), tc.status, tc.called)
			}
			if cutOff := tc.chunked && tc.status == 413; resp.Close != cutOff {
				t.Errorf("connection closed: %v, want %v", resp.Close, cutOff)
			}
			for range len(called) {
				<-called
			}
		})
	}
}

func TestContextReachesHandlers(t *testing.T) {
	type key struct{}
	h := server.New(options(""), []server.Route{{Pattern: "/", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(key{}) != "kept" || telemetry.ClientAddress(r.Context()) != "192.0.2.1" {
			w.WriteHeader(http.StatusTeapot)
		}
	})}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.WithValue(t.Context(), key{}, "kept"), "GET", "/", nil))
	if w.Code != 200 {
		t.Error("the context lost a value")
	}
}
