// Package etcd_test tests the storage in etcd with real servers.
package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dex/internal/store"
	"dex/internal/store/etcd"
	"dex/internal/store/storetest"
	_ "dex/internal/takeover" // declares the kinds of clients, keys and refresh tokens
	"dex/test/servers"
)

// patience is how long a test waits for something that must happen soon.
const patience = 30 * time.Second

// plain is a server without TLS and authentication, which no test stops.
var plain *servers.Etcd

func TestMain(m *testing.M) {
	status, err := startAndRun(m)
	if err == nil && status == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests of the storage in etcd:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func startAndRun(m *testing.M) (status int, err error) {
	if plain, err = servers.StartEtcd(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	return m.Run(), nil
}

// start starts a server that one test may stop.
func start(t *testing.T, options ...servers.EtcdOption) *servers.Etcd {
	t.Helper()
	server, err := servers.StartEtcd(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// fresh returns the settings for an unused namespace.
func fresh(t testing.TB, server *servers.Etcd) etcd.Config {
	t.Helper()
	n, err := server.NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return etcd.Config{
		Endpoints: []string{n.Endpoint}, Namespace: n.Namespace, Username: n.Username, Password: n.Password,
		SSL: etcd.SSL{CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile},
	}
}

func open(t testing.TB, config etcd.Config) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, fresh(t, plain)) })
}

func TestShared(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		config := fresh(t, plain)
		return open(t, config), open(t, config)
	})
}

func Benchmark(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, fresh(b, plain)) })
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not so after %v", what, patience)
}

func create(t *testing.T, s store.Store, records ...store.Record) (revision string) {
	t.Helper()
	for _, r := range records {
		var err error
		if revision, err = s.Create(t.Context(), r); err != nil {
			t.Fatalf("Create %q: %v", r.Key, err)
		}
	}
	return revision
}

func watch(t *testing.T, s store.Store) <-chan store.Change {
	t.Helper()
	changes, err := s.Watch(t.Context())
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	return changes
}

// wantChange reads changes until the given one comes.
func wantChange(t *testing.T, changes <-chan store.Change, want store.Change) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case got, open := <-changes:
			if !open {
				t.Fatal("the channel was closed")
			}
			if got == want {
				return
			}
		case <-end:
			t.Fatalf("no change %+v after %v", want, patience)
		}
	}
}

// wantNoAnswer expects an error that says nothing about a record.
func wantNoAnswer(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: got no error", what)
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrConflict):
		t.Errorf("%s: got error %v, which is an answer about a record", what, err)
	}
}
