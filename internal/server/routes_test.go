package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/server"
)

// ask sends a request line as it is, which http.Client would tidy up, and returns the answer.
func ask(t *testing.T, base, method, target string) (status int, location, body string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: dex.example\r\nConnection: close\r\n\r\n", method, target); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(b)
}

// show answers with the route's name and the value of its variable.
func show(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, name, r.PathValue("connector"), r.PathValue("file"))
	})
}

func TestPaths(t *testing.T) {
	routes := []server.Route{
		{Pattern: "/", Handler: show("home")},
		{Pattern: "/token", Handler: show("token")},
		{Pattern: "/auth", Handler: show("auth")},
		{Pattern: "/auth/{connector}", Handler: show("connector ")},
		{Pattern: "/auth/{connector}/login", Handler: show("login ")},
		{Pattern: "/static/{file...}", Handler: show("file "), Asset: true},
		{Pattern: "/theme/", Handler: show("theme"), Asset: true},
	}
	type answer struct {
		target string
		status int
		body   string // of a 200; the Location of a redirect
	}
	below := []answer{ // P, the issuer's path, is put before these
		{"/token", 200, "token"},
		{"/token?a=//b", 200, "token"},
		{"/token/", 404, ""},
		{"/Token", 404, ""},
		{"/%74oken", 404, ""},
		{"/token%2F", 404, ""},
		{"//token", 404, ""},
		{"/./token", 404, ""},
		{"/x/../token", 404, ""},
		{"/token/..", 404, ""},
		{"/%2e/token", 404, ""},
		{"/auth", 200, "auth"},
		{"/auth/", 404, ""},
		{"/auth//login", 404, ""},
		{"/auth/ldap", 200, "connector ldap"},
		{"/%61uth/ldap", 404, ""},
		{"/auth/ldap/", 404, ""},
		{"/auth/ldap/other", 404, ""},
		{"/auth/my%20ldap", 200, "connector my ldap"},
		{"/auth/a%2Fb", 200, "connector a/b"},
		{"/auth/a%252Fb", 200, "connector a%2Fb"},
		{"/auth/a%2Flogin", 200, "connector a/login"},
		{"/auth/%2e%2e", 404, ""},
		{"/auth/a+b", 200, "connector a+b"},
		{"/auth/a%2Fb/login", 200, "login a/b"},
		{"/auth/a/logi%6e", 404, ""},
		{"/static", 404, ""},
		{"/static/main.css", 200, "file main.css"},
		{"/static/img/a%20b.svg", 200, "file img/a b.svg"},
		{"/static/../token", 404, ""},
		{"/theme", 404, ""},
		{"/theme/styles.css", 200, "theme"},
		{"/healthz", 404, ""},
	}
	for _, issuer := range []struct {
		path  string // of the issuer
		base  string // of the routes
		extra []answer
	}{
		{"", "", []answer{{"/", 200, "home"}, {"//", 404, ""}}},
		{"/", "", []answer{{"/", 200, "home"}}},
		{"/dex", "/dex", []answer{
			{"/dex", 200, "home"},
			{"/dex/", 308, "/dex"},
			{"/dex/?a=b", 308, "/dex?a=b"},
			{"/dex//", 404, ""},
			{"/", 404, ""},
			{"/token", 404, ""},
			{"/dextoken", 404, ""},
			{"/%64ex/token", 404, ""},
		}},
		{"/a/./b//dex/", "/a/b/dex", []answer{{"/a/b/dex", 200, "home"}, {"/a/b/dex/", 308, "/a/b/dex"}, {"/a/b", 404, ""}}},
		{"/single sign-{on}", "/single%20sign-%7Bon%7D", []answer{{"/single%20sign-%7Bon%7D/", 308, "/single%20sign-%7Bon%7D"}}},
	} {
		opts := options(issuer.path)
		base := start(t, opts, routes...)
		answers := issuer.extra
		for _, a := range below {
			a.target = issuer.base + a.target
			answers = append(answers, a)
		}
		for _, want := range answers {
			t.Run(issuer.path+" "+want.target, func(t *testing.T) {
				status, location, body := ask(t, base, "GET", want.target)
				if status != want.status {
					t.Fatalf("status %d, want %d", status, want.status)
				}
				if status == 200 && body != want.body {
					t.Errorf("body %q, want %q", body, want.body)
				}
				if status == 308 && location != want.body || status != 308 && location != "" {
					t.Errorf("redirect to %q, want %q", location, want.body)
				}
			})
		}
	}
}

func TestEncodedIssuerPath(t *testing.T) {
	opts := options("")
	var err error
	if opts.Issuer, err = url.Parse("https://dex.example/caf%C3%A9%2Fdex"); err != nil {
		t.Fatal(err)
	}
	base := start(t, opts, server.Route{Pattern: "/token", Handler: show("token")})
	if status, _, body := ask(t, base, "GET", "/caf%C3%A9%2Fdex/token"); status != 200 || body != "token" {
		t.Errorf("%d %q", status, body)
	}
}

func TestTargetsThatAreNoPaths(t *testing.T) {
	base := start(t, options(""), server.Route{Pattern: "/", Handler: show("home")})
	for _, tc := range []struct {
		method, target string
		status         int
	}{
		{"GET", "http://elsewhere.example/", 200}, // absolute form, as to a proxy
		{"CONNECT", "elsewhere.example:443", 404},
	} {
		if status, _, _ := ask(t, base, tc.method, tc.target); status != tc.status {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.target, status, tc.status)
		}
	}
}

func TestNotFoundAndMethods(t *testing.T) {
	opts := options("")
	opts.NotFound = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "own page")
	})
	base := start(t, opts,
		server.Route{Pattern: "/keys", Handler: text("keys"), Methods: []string{"GET"}},
		server.Route{Pattern: "/any", Handler: text("any")},
		server.Route{Pattern: "/static/{file...}", Handler: text("file")},
	)
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/keys", 200, ""},
		{"HEAD", "/keys", 200, ""},
		{"POST", "/keys", 405, "GET, HEAD"},
		{"OPTIONS", "/keys", 405, "GET, HEAD"},
		{"FROBNICATE", "/keys", 405, "GET, HEAD"},
		{"DELETE", "/any", 200, ""},
		{"OPTIONS", "/any", 200, ""},
	} {
		resp, _ := do(t, tc.method, base+tc.path, nil)
		if resp.StatusCode != tc.status || resp.Header.Get("Allow") != tc.allow {
			t.Errorf("%s %s: %d, Allow %q", tc.method, tc.path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	for _, path := range []string{"/missing", "//keys", "/static", "/%6beys"} {
		if status, _, body := ask(t, base, "GET", path); status != 404 || body != "own page" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

func TestRootRoutes(t *testing.T) {
	const metadata = "/.well-known/oauth-authorization-server"
	base := start(t, options("/dex"),
		server.Route{Pattern: metadata, Handler: text("metadata")},
		server.Route{Pattern: metadata + "/dex", Root: true, Handler: text("metadata")},
	)
	for path, want := range map[string]int{
		metadata + "/dex": 200, "/dex" + metadata: 200, "/dex" + metadata + "/dex": 404, metadata: 404,
	} {
		if status, _, _ := ask(t, base, "GET", path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}

// Another application on the same host may have many cookies.
func TestManyCookies(t *testing.T) {
	h := server.New(options(""), []server.Route{{Pattern: "/auth", Handler: text("hello")}})
	r := httptest.NewRequest(http.MethodGet, "/auth", nil)
	for i := range 60 {
		r.AddCookie(&http.Cookie{Name: fmt.Sprintf("other_%d", i), Value: strings.Repeat("a", 4000)})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}
