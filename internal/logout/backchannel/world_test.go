package backchannel_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/logout/backchannel"
	"dex/internal/outbound"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

var quiet = slog.New(slog.DiscardHandler)

// A world is a storage, the replicas that share it, and the applications that they tell.
type world struct {
	*testing.T
	store   store.Store
	keys    *signing.Local
	clients []*client.Client
	events  events

	mu      sync.Mutex
	answers map[string]func(*http.Request) (int, error) // by host; without one it is 200
	got     []received
}

// received is a logout token that an application got.
type received struct {
	Host    string `json:"-"`
	At      time.Time
	Subject string `json:"sub"`
	Client  string `json:"aud"`
	TokenID string `json:"jti"`
	Session string `json:"sid"`
	Issued  int64  `json:"iat"`
}

type events struct {
	mu  sync.Mutex
	all []event.Event
}

func (e *events) Emit(_ context.Context, one event.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

// of returns the events of a type.
func of[T event.Event](e *events) (found []T) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.all {
		if typed, ok := one.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func newWorld(t *testing.T, clients ...string) *world {
	t.Helper()
	w := &world{T: t, store: memory.New(), answers: map[string]func(*http.Request) (int, error){}}
	for _, id := range clients {
		w.clients = append(w.clients, &client.Client{ID: id, BackchannelLogoutURI: "https://" + id + ".test/logout?a=b"})
	}
	var err error
	if w.keys, err = signing.Open(t.Context(), w.store, signing.Config{
		Algorithm: signing.ES256, RotationPeriod: time.Hour, TokenLifetime: time.Hour,
	}, quiet, event.Discard); err != nil {
		t.Fatal(err)
	}
	return w
}

// replica begins a replica with a storage of its own making, or the world's. Its end waits for it.
func (w *world) replica(s store.Store) (q *backchannel.Queue, end func()) {
	w.Helper()
	clients := client.NewRegistry(w.clients, s, limit.NewSet(), quiet)
	q = backchannel.New(backchannel.Config{
		Store: s, Minter: &token.Minter{Issuer: "https://dex.test", Signer: w.keys}, Events: &w.events, Log: quiet,
		Settings: func() backchannel.Settings {
			return backchannel.Settings{Clients: clients, Guard: outbound.NewGuard([]string{"inside.test"})}
		},
	})
	q.SendBy(func(_ *outbound.Guard, r *http.Request) (*http.Response, error) { return w.receive(r) })
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	running.Go(func() { q.Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.Cleanup(end)
	return q, end
}

// receive is what applications do.
func (w *world) receive(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	answer := w.answers[r.URL.Host]
	w.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		var err error
		if status, err = answer(r); err != nil {
			return nil, err
		}
	}
	if err := r.ParseForm(); err != nil {
		w.Error(err)
	}
	got := received{Host: r.URL.Host, At: time.Now()}
	parts := strings.Split(r.PostForm.Get("logout_token"), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err = errors.Join(err, json.Unmarshal(payload, &got)); err != nil {
		w.Error(err)
	}
	if status == http.StatusOK {
		w.mu.Lock()
		w.got = append(w.got, got)
		w.mu.Unlock()
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

func (w *world) answer(host string, by func(*http.Request) (int, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[host] = by
}

// down is the answer of a receiver that nobody can connect to.
func down(*http.Request) (int, error) { return 0, errors.New("connection refused") }

// hang is the answer of a receiver that never answers.
func hang(r *http.Request) (int, error) { <-r.Context().Done(); return 0, r.Context().Err() }

func (w *world) end(q *backchannel.Queue, session string, clients ...string) {
	w.Helper()
	if err := q.Add(w.Context(), backchannel.Ended{SessionID: session, Subject: "jane", ClientIDs: clients}); err != nil {
		w.Fatal(err)
	}
}

// delivered returns what applications got so far.
func (w *world) delivered() []received {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// waiting returns how many deliveries the storage has.
func (w *world) waiting() int {
	w.Helper()
	all, err := w.store.List(w.Context(), backchannel.Kind, store.Query{})
	if err != nil {
		w.Fatal(err)
	}
	return len(all)
}

var errDead = errors.New("the storage can't be reached")

// mortal is the storage of a process that may die.
type mortal struct {
	store.Store
	dead atomic.Bool
}

func (m *mortal) fails() error {
	if m.dead.Load() {
		return errDead
	}
	return nil
}

func (m *mortal) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if err := m.fails(); err != nil {
		return store.Record{}, err
	}
	return m.Store.Get(ctx, kind, key)
}

func (m *mortal) Create(ctx context.Context, r store.Record) (string, error) {
	if err := m.fails(); err != nil {
		return "", err
	}
	return m.Store.Create(ctx, r)
}

func (m *mortal) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := m.fails(); err != nil {
		return "", err
	}
	return m.Store.Replace(ctx, r)
}

func (m *mortal) Delete(ctx context.Context, kind, key, revision string) error {
	if err := m.fails(); err != nil {
		return err
	}
	return m.Store.Delete(ctx, kind, key, revision)
}

func (m *mortal) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	if err := m.fails(); err != nil {
		return nil, err
	}
	return m.Store.List(ctx, kind, q)
}
