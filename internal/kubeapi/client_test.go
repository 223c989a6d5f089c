package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var clients = Collection{Group: "dex.coreos.com", Version: "v1", Namespace: "ns", Resource: "oauth2clients"}

// An answering server answers each request with the next of its answers, and the last one for ever.
func answering(t *testing.T, answers ...http.HandlerFunc) (*Client, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		answers[min(n, len(answers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &Client{http: server.Client(), base: base, namespace: "ns", credentials: bearer("x")}, &asked
}

func status429(after string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

func plain(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"metadata":{"name":"a"}}`)
	}
}

func TestWhatIsSentAgain(t *testing.T) {
	t.Parallel()
	ok, broken := plain(http.StatusOK), plain(http.StatusServiceUnavailable)
	for name, c := range map[string]struct {
		method  string
		answers []http.HandlerFunc
		asked   int32
		code    int // of the error; 0 for none
	}{
		"read that the server is too busy for":  {http.MethodGet, []http.HandlerFunc{status429(""), status429("1"), ok}, 3, 0},
		"read that fails on the server":         {http.MethodGet, []http.HandlerFunc{broken, plain(500), ok}, 3, 0},
		"read that never works":                 {http.MethodGet, []http.HandlerFunc{broken}, tries, 503},
		"read that has to wait too long":        {http.MethodGet, []http.HandlerFunc{status429("3600"), ok}, 1, 429},
		"read that is forbidden":                {http.MethodGet, []http.HandlerFunc{plain(403), ok}, 1, 403},
		"write that the server did not begin":   {http.MethodPut, []http.HandlerFunc{status429("1"), ok}, 2, 0},
		"write that it may have begun":          {http.MethodPut, []http.HandlerFunc{status429(""), ok}, 1, 429},
		"write that failed":                     {http.MethodPut, []http.HandlerFunc{broken, ok}, 1, 503},
		"write that is redirected, as to login": {http.MethodPut, []http.HandlerFunc{plain(302), ok}, 1, 302},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, asked := answering(t, c.answers...)
			r, err := client.Object(c.method, clients, "a")
			if err != nil {
				t.Fatal(err)
			}
			var o map[string]any
			r.Decode = Into(&o)
			err = client.Send(t.Context(), r)
			if c.code == 0 && err != nil || c.code != 0 && !HasCode(err, c.code) {
				t.Errorf("got error %v, want status %d", err, c.code)
			}
			if asked.Load() != c.asked {
				t.Errorf("the server was asked %d times, want %d", asked.Load(), c.asked)
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	endless := func(begin string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, begin)
			for chunk := strings.Repeat("x", 1<<16); r.Context().Err() == nil; {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		}
	}
	c, _ := answering(t, endless(`{"a":"`))
	r, err := c.Object(http.MethodGet, clients, "a")
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	r.Decode = Into(&o)
	if err := c.Send(t.Context(), r); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("one object: got error %v", err)
	}
	for _, begin := range []string{`{"items":[{"a":"`, `{"`, `{"metadata":{"`} {
		c, _ = answering(t, endless(begin))
		_, err = c.Page(t.Context(), clients, PageQuery{Limit: 1}, nil)
		if err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("a list that begins with %s: got error %v", begin, err)
		}
	}
}

// TestSilentServer shows that a call ends by itself, and that its caller can tell that from the end of its own context.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := &Client{
			http: &http.Client{Transport: silent}, base: &url.URL{Scheme: "https", Host: "api.example"},
			namespace: "ns", credentials: bearer(""),
		}
		began := time.Now()
		err := c.Send(t.Context(), c.collection(clients, nil))
		if !errors.Is(err, ErrNoAnswer) || errors.Is(err, context.DeadlineExceeded) || time.Since(began) != requestTimeout {
			t.Errorf("got error %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Send(ctx, c.collection(clients, nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want that of the caller's context", err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoObjectWithoutName shows that no request for one object can become one for all of them.
func TestNoObjectWithoutName(t *testing.T) {
	c := &Client{base: &url.URL{Scheme: "https", Host: "api.example"}, namespace: "ns"}
	for _, name := range []string{"", ".", "..", "/", "a/..", "?", "#", "%", "A", strings.Repeat("a", 254)} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if r, err := c.Object(method, clients, name); !errors.Is(err, ErrBadName) || r.URL != "" {
				t.Errorf("%s %.10q: got %q, %v", method, name, r.URL, err)
			}
		}
	}
	r, err := c.Object(http.MethodDelete, clients, "a")
	if want := "https://api.example/apis/dex.coreos.com/v1/namespaces/ns/oauth2clients/a"; err != nil || r.URL != want {
		t.Errorf("got %q, %v; want %q", r.URL, err, want)
	}
}

// TestAbsence shows that only the server's word about the very object means that it is not there.
func TestAbsence(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"kind":"Status","code":404,"details":{"name":"a","kind":"oauth2clients"}}`: true,
		`{"kind":"Status","code":404,"details":{"name":"ns","kind":"namespaces"}}`:   false,
		`{"kind":"Status","code":404}`:                                               false,
		"404 page not found":                                                         false,
	} {
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, body)
		})
		r, err := c.Object(http.MethodGet, clients, "a")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), r); Absent(err, "a") != want || !HasCode(err, http.StatusNotFound) {
			t.Errorf("%s: got error %v", body, err)
		}
	}
}
