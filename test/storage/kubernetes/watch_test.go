package kubernetes_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/client"
	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/store/storetest"
)

// wantChange reads changes until one covers the key.
func wantChange(t *testing.T, what string, changes <-chan store.Change, kind, key string) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case c, open := <-changes:
			if !open {
				t.Fatalf("%s: the channel was closed", what)
			}
			if c == (store.Change{}) || c == (store.Change{Kind: kind}) || c == (store.Change{Kind: kind, Key: key}) {
				return
			}
		case <-end:
			t.Fatalf("%s: no change of %s %s after %v", what, kind, key, patience)
		}
	}
}

func watch(t *testing.T, s store.Store) <-chan store.Change {
	t.Helper()
	changes, err := s.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// wantOnly checks that the next change is exactly the given one.
func wantOnly(t *testing.T, what string, changes <-chan store.Change, want store.Change) {
	t.Helper()
	select {
	case c := <-changes:
		if c != want {
			t.Errorf("%s: got the change %+v, want %+v", what, c, want)
		}
	case <-time.After(patience):
		t.Fatalf("%s: no change after %v", what, patience)
	}
}

// TestHandEditsAreSeen edits upstream's objects as people do with kubectl.
func TestHandEditsAreSeen(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	changes := watch(t, s)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "example-app"})
	wantOnly(t, "a client is made", changes, store.Change{Kind: "client", Key: "example-app"})
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["secret"] = "new" })
	wantOnly(t, "a client is edited", changes, store.Change{Kind: "client", Key: "example-app"})
	if _, err := server.Do(t.Context(), http.MethodDelete, path(n, "oauth2clients", exampleApp), nil); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, "a client is deleted", changes, store.Change{Kind: "client", Key: "example-app"})
	post(t, n, "passwords", "Password", admin, object{"email": "Admin@example.com"})
	wantOnly(t, "a user is made", changes, store.Change{Kind: "password", Key: "admin@example.com"})
	post(t, n, "connectors", "Connector", "ldap", object{"id": "ldap"})
	wantOnly(t, "a connector is made", changes, store.Change{Kind: "connector", Key: "ldap"})
	post(t, n, "signingkeies", "SigningKey", "openid-connect-keys", object{})
	wantOnly(t, "keys are made", changes, store.Change{Kind: "keys", Key: "openid-connect-keys"})
	post(t, n, "oauth2clients", "OAuth2Client", "misnamed", object{"id": "x"})
	wantOnly(t, "an object is made that is no record", changes, store.Change{Kind: "client"})
}

// TestLoginsAreNotAnnounced shows that a replica is not told of another one's logins, although they are in the same resource
// as records that it is told of.
func TestLoginsAreNotAnnounced(t *testing.T) {
	n := fresh(t)
	var watched atomic.Int64
	count := kubeapi.Transport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(r)
			if err == nil && isWatch(r) {
				answer.Body = &counted{answer.Body, &watched}
			}
			return answer, err
		})
	})
	a, b := open(t, config(n), quiet), open(t, config(n), quiet, count)
	changes := watch(t, b)
	large := strings.Repeat("x", 1<<16)
	for _, kind := range []string{storetest.Quiet.Name(), "lease", "refresh", "offline"} {
		create(t, a, kind, "a", large)
	}
	post(t, n, "authrequests", "AuthRequest", "upstreams", object{"clientID": large})
	create(t, a, "takeover", "a", 1)
	wantOnly(t, "another kind in the same resource", changes, store.Change{Kind: "takeover", Key: "a"})
	create(t, a, "seal", "a", 1)
	wantOnly(t, "our record beside the keys", changes, store.Change{Kind: "seal", Key: "a"})
	if sent := watched.Load(); sent > 1<<15 {
		t.Errorf("the server sent %d bytes, as if each login were watched", sent)
	}
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestWatchGoesOnAfterTheServer shows that watching continues after the server was down.
func TestWatchGoesOnAfterTheServer(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	changes := watch(t, s)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "example-app"})
	wantOnly(t, "before", changes, store.Change{Kind: "client", Key: "example-app"})
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(t.Context(), "client", "example-app")
	wantRefusal(t, "Get meanwhile", err)
	if err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("the error does not say which server can't be reached: %v", err)
	}
	wantRefusal(t, "Ping meanwhile", s.Ping(t.Context()))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["secret"] = "new" })
	wantChange(t, "after", changes, "client", "example-app")
	if _, err := s.Get(t.Context(), "client", "example-app"); err != nil {
		t.Errorf("Get after: %v", err)
	}
}

// TestWatchThatIsTooOld misses changes that the server has forgotten by the time the watch begins again.
func TestWatchThatIsTooOld(t *testing.T) {
	n := fresh(t)
	var down atomic.Bool
	var gone atomic.Int64
	outage := kubeapi.Transport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return nil, errors.New("no way to the server")
			}
			answer, err := next.RoundTrip(r)
			if err == nil && isWatch(r) {
				answer.Body = &searched{ReadCloser: answer.Body, text: `"code":410`, found: &gone}
			}
			return answer, err
		})
	})
	s := open(t, config(n), quiet, outage)
	changes := watch(t, s)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "example-app"})
	wantChange(t, "before", changes, "client", "example-app")
	down.Store(true)
	if err := errors.Join(server.Stop(), server.Start(t.Context())); err != nil { // which ends the watches
		t.Fatal(err)
	}
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["secret"] = "new" })
	if err := server.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	drain(changes)
	down.Store(false)
	wantChange(t, "what was missed", changes, "client", "example-app")
	if gone.Load() == 0 {
		t.Error("no watch was told that it is too old, which has shown nothing")
	}
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["secret"] = "newer" })
	wantChange(t, "afterwards", changes, "client", "example-app")
	edit(t, n, "oauth2clients", exampleApp, func(o object) { o["secret"] = "newest" })
	wantChange(t, "at last", changes, "client", "example-app")
}

// searched counts the reads of a body that have a text in them.
type searched struct {
	io.ReadCloser
	text  string
	found *atomic.Int64
}

func (s *searched) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if bytes.Contains(p[:n], []byte(s.text)) {
		s.found.Add(1)
	}
	return n, err
}

// TestWatchIsForbidden has roles made for upstream, which does not watch.
func TestWatchIsForbidden(t *testing.T) {
	n := fresh(t)
	if err := server.SetVerbs(t.Context(), n, "get", "list", "create", "update", "delete"); err != nil {
		t.Fatal(err)
	}
	logged := &lockedBuffer{}
	s := open(t, config(n), slog.New(slog.NewTextHandler(logged, nil)))
	changes := watch(t, s)
	wantChange(t, "the first look", changes, "client", "")
	table := store.In(s, client.Kind)
	if _, err := table.Create(t.Context(), "own", client.Client{ID: "own"}); err != nil {
		t.Fatal(err)
	}
	wantChange(t, "our own write", changes, "client", "own")
	drain(changes)
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "example-app"})
	wantChange(t, "the write of another", changes, "client", "example-app")
	for _, plural := range []string{"oauth2clients", "passwords", "connectors", "signingkeies", "authrequests"} {
		if count := strings.Count(logged.String(), "resource="+plural+".dex.coreos.com"); count != 1 {
			t.Errorf("%s: %d warnings, want one", plural, count)
		}
	}
}

// drain reads changes for a moment, such as those that the first polls of the other resources find.
func drain(changes <-chan store.Change) {
	for {
		select {
		case <-changes:
		case <-time.After(500 * time.Millisecond):
			return
		}
	}
}

// A lockedBuffer is a buffer for concurrent writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
