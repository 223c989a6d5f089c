package main

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var testTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// startApp serves the application for a fake provider and returns its base
// URL.
func startApp(t *testing.T, f *fakeProvider, flags ...string) string {
	t.Helper()
	return startAppAt(t, f, "/callback", flags...)
}

// startAppAt is startApp with another callback path.
func startAppAt(t *testing.T, f *fakeProvider, callback string, flags ...string) string {
	t.Helper()
	server, _ := buildApp(t, f, callback, flags...)
	server.Start()
	t.Cleanup(server.Close)
	return "http://" + server.Listener.Addr().String()
}

// buildApp returns the application and a server of it that is not started.
func buildApp(t *testing.T, f *fakeProvider, callback string, flags ...string) (*httptest.Server, *app) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	args := append([]string{"--issuer", f.issuer(), "--redirect-uri", base + callback}, flags...)
	opts, err := parseFlags(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newProviderClient(opts, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	p, err := discover(t.Context(), opts, client, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t.Context(), opts, p, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if server.Config.Handler, err = a.handler(); err != nil {
		t.Fatal(err)
	}
	return server, a
}

// testClock is a clock that tests move.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// browser keeps cookies and follows redirects, to the provider and back.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, base: base, client: &http.Client{Jar: jar}}
}

// page is a response with its body.
type page struct {
	t      *testing.T
	url    *url.URL
	status int
	header http.Header
	body   string
}

func (b *browser) get(path string) page {
	b.t.Helper()
	return b.send(http.MethodGet, path, nil, nil)
}

func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	return b.send(http.MethodPost, path, form, nil)
}

func (b *browser) send(method, path string, form url.Values, header http.Header) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{b.t, resp.Request.URL, resp.StatusCode, resp.Header, string(body)}
}

// stopAtRedirects makes the browser show redirects instead of following.
func (b *browser) stopAtRedirects() {
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

// signIn goes through a whole sign-in and expects it to work.
func (b *browser) signIn() page {
	b.t.Helper()
	p := b.post("/login", url.Values{})
	p.want(http.StatusOK, "/tokens")
	return p
}

func (p page) want(status int, path string) {
	p.t.Helper()
	if p.status != status || p.url.Path != path {
		p.t.Fatalf("got %d at %s, want %d at %s; error: %q", p.status, p.url.Path, status, path, p.text("error"))
	}
}

// wantError expects an error page that contains all of the texts.
func (p page) wantError(status int, says ...string) {
	p.t.Helper()
	message := p.text("error")
	if p.status != status || message == "" {
		p.t.Fatalf("got %d with error %q, want an error page with %d", p.status, message, status)
	}
	for _, word := range says {
		if !strings.Contains(message, word) {
			p.t.Errorf("error page says %q, want %q in it", message, word)
		}
	}
}

// text is the text inside the element with an id, without markup; empty if the
// element does not exist. It works only for elements that don't contain others
// of their own kind.
func (p page) text(id string) string {
	open := regexp.MustCompile(`<([a-z0-9]+)[^>]*\sid="` + regexp.QuoteMeta(id) + `"[^>]*>`)
	found := open.FindStringSubmatchIndex(p.body)
	if found == nil {
		return ""
	}
	element, inside := p.body[found[2]:found[3]], p.body[found[1]:]
	inside, _, _ = strings.Cut(inside, "</"+element+">")
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(inside, ""))
}

func (p page) has(id string) bool {
	return strings.Contains(p.body, ` id="`+id+`"`)
}
