package kubernetes_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"dex/internal/kubeapi"
)

// A transport implements kubeapi.Transport.
type transport func(http.RoundTripper) http.RoundTripper

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// CloseIdleConnections does nothing: there is nothing to close.
func (f roundTripper) CloseIdleConnections() {}

// collectionPath and objectPath match the paths that roles in a namespace can allow.
var (
	collectionPath = regexp.MustCompile(`^/apis/dex\.coreos\.com/v1/namespaces/[-a-z0-9]+/[a-z0-9]+$`)
	objectPath     = regexp.MustCompile(`^/apis/dex\.coreos\.com/v1/namespaces/[-a-z0-9]+/[a-z0-9]+/[a-z0-9][-.a-z0-9]*$`)
)

// allowedRequests fails the test at a request that the documented roles don't allow, or that writes to a whole collection.
func allowedRequests(t *testing.T) transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			path := r.URL.EscapedPath()
			allowed := false
			switch r.Method {
			case http.MethodPost:
				allowed = collectionPath.MatchString(path) ||
					path == "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
			case http.MethodGet:
				allowed = collectionPath.MatchString(path) || objectPath.MatchString(path)
			case http.MethodPut, http.MethodDelete:
				allowed = objectPath.MatchString(path)
			}
			if !allowed {
				t.Errorf("request %s %s", r.Method, path)
			}
			return next.RoundTrip(r)
		})
	}
}

// A recorder keeps the requests, except watches.
type recorder struct {
	mu       sync.Mutex
	requests []string
}

func (rec *recorder) option() kubeapi.Option {
	return kubeapi.Transport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !isWatch(r) {
				rec.mu.Lock()
				rec.requests = append(rec.requests, r.Method+" "+describe(r))
				rec.mu.Unlock()
			}
			return next.RoundTrip(r)
		})
	})
}

func isWatch(r *http.Request) bool { return r.URL.Query().Has("watch") }

// describe returns the part of a path after the namespace, with a star instead of a name, and marks continued lists.
func describe(r *http.Request) string {
	_, rest, _ := strings.Cut(r.URL.Path, "/namespaces/")
	_, rest, _ = strings.Cut(rest, "/")
	resource, _, one := strings.Cut(rest, "/")
	switch {
	case one:
		return resource + "/*"
	case r.URL.Query().Has("continue"):
		return resource + " on"
	}
	return resource
}

// take returns the requests since the last call.
func (rec *recorder) take() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	requests := rec.requests
	rec.requests = nil
	return requests
}

// want checks the requests since the last call of take or want.
func (rec *recorder) want(t *testing.T, what string, requests ...string) {
	t.Helper()
	if got := rec.take(); !slices.Equal(got, requests) {
		t.Errorf("%s: %d requests, %q; want %q", what, len(got), got, requests)
	}
}
