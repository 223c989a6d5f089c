package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// A forwardAuth is what the guide's Middleware says. Traefik itself is not there: this does what its documentation says.
type forwardAuth struct {
	Address                  string
	AuthResponseHeaders      []string `yaml:"authResponseHeaders"`
	AddAuthCookiesToResponse []string `yaml:"addAuthCookiesToResponse"`
}

// guideMiddleware returns the guide's.
func guideMiddleware(t *testing.T) (f forwardAuth) {
	t.Helper()
	for _, block := range guideBlocks(t, "yaml") {
		if !strings.Contains(block, "kind: Middleware") {
			continue
		}
		var middleware struct {
			Spec struct {
				ForwardAuth forwardAuth `yaml:"forwardAuth"`
			}
		}
		if err := yaml.Unmarshal([]byte(strings.Split(block, "\n---\n")[0]), &middleware); err != nil {
			t.Fatal(err)
		}
		return middleware.Spec.ForwardAuth
	}
	t.Fatal("the guide has no Middleware")
	return f
}

// protect asks about each request first. The answer goes to the browser if it is no success.
func (f *forwardAuth) protect(t *testing.T, app http.Handler) http.Handler {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, f.Address, nil)
		if err != nil {
			t.Error(err)
			return
		}
		ask.Header = r.Header.Clone()
		for name, value := range map[string]string{
			"Method": r.Method, "Proto": "http", "Host": r.Host, "Uri": r.RequestURI, "For": "127.0.0.1",
		} {
			ask.Header.Set("X-Forwarded-"+name, value)
		}
		answer, err := client.Do(ask)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode/100 != 2 {
			for name, values := range answer.Header {
				w.Header()[name] = values
			}
			w.WriteHeader(answer.StatusCode)
			_, _ = io.Copy(w, answer.Body)
			return
		}
		for _, name := range f.AuthResponseHeaders {
			r.Header.Del(name)
			if value := answer.Header.Get(name); value != "" {
				r.Header.Set(name, value)
			}
		}
		for _, c := range answer.Cookies() {
			if slices.Contains(f.AddAuthCookiesToResponse, c.Name) {
				http.SetCookie(w, c)
			}
		}
		app.ServeHTTP(w, r)
	})
}

// TestOAuth2ProxyForwardAuth follows the guide for Traefik.
func TestOAuth2ProxyForwardAuth(t *testing.T) {
	t.Parallel()
	s := startGuardedSite(t, nil)
	front, back := s.free[0], s.free[1]
	p := runAuthProxy(t, "http://"+back, strings.Split(replaceAll(t, strings.Join(argsOf(t, guideDeployment(t)), "\n"), map[string]string{
		"https://dex.example.com/dex": s.issuer, "https://app.example.com": "http://" + front, "0.0.0.0:4180": back,
		"10.0.0.0/8": "127.0.0.1", "--cookie-refresh=1h": "--cookie-refresh=1s\n--cookie-secure=false",
	}), "\n"))
	p.waitReady(t)
	middleware := guideMiddleware(t)
	middleware.Address = replaceAll(t, middleware.Address, map[string]string{"http://oauth2-proxy.apps.svc.cluster.local": p.url})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, r.RequestURI, r.Header.Get("X-Auth-Request-Email"), r.Header.Get("X-Auth-Request-Groups"))
	})
	mux := http.NewServeMux()
	mux.Handle("/", middleware.protect(t, app))
	mux.Handle("/oauth2/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: back})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	listener, err := net.Listen("tcp", front)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })

	a := &arrival{visitor: newVisitor(newTransport(nil))}
	const page = "/report?week=4&of=a%26b"
	got := a.ask(t, "http://"+front+page)
	if want := page + " kilgore@kilgore.trout authors\n"; got.status != http.StatusOK || got.body != want {
		t.Fatalf("the visitor gets %d at %s: %s\n%s", got.status, got.url, got.body, p.log)
	}
	eventually(t, patience, "a refreshed session comes back", func() bool {
		return len(a.ask(t, "http://"+front+page).header.Values("Set-Cookie")) > 0
	})
	if len(s.gate.requests("refresh_token")) == 0 {
		t.Error("nothing was refreshed")
	}
}
