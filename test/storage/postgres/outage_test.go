package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/postgres"
	"dex/internal/store/storetest"
)

const patience = 30 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not so after %v", what, patience)
}

func wantChange(t *testing.T, changes <-chan store.Change, want store.Change) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case c, open := <-changes:
			if !open {
				t.Fatal("the channel was closed")
			}
			if c == want {
				return
			}
		case <-end:
			t.Fatalf("no change %+v after %v", want, patience)
		}
	}
}

func watch(t *testing.T, s store.Store) <-chan store.Change {
	t.Helper()
	changes, err := s.Watch(t.Context())
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	return changes
}

func create(t *testing.T, s store.Store, kind, key string) {
	t.Helper()
	if _, err := s.Create(t.Context(), store.Record{Kind: kind, Key: key}); err != nil {
		t.Fatalf("Create %s: %v", key, err)
	}
}

// This test does not run in parallel with others, which need the server.
func TestServerRestarts(t *testing.T) {
	c := newConfig(t)
	a, b := open(t, c), open(t, c)
	changes := watch(t, b)
	create(t, a, "client", "before")
	wantChange(t, changes, store.Change{Kind: "client", Key: "before"})
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Get":    func() error { _, err := a.Get(t.Context(), "client", "before"); return err },
		"Create": func() error { _, err := a.Create(t.Context(), store.Record{Kind: "client", Key: "x"}); return err },
		"Delete": func() error { return a.Delete(t.Context(), "client", "before", "") },
		"Ping":   func() error { return a.Ping(t.Context()) },
	} {
		err := call()
		if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) ||
			strings.Contains(err.Error(), c.Password) {
			t.Errorf("%s while the server is stopped: got error %v", name, err)
		}
	}
	if err := a.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprint(c.Port)) {
		t.Errorf("Ping does not say which server is away: %v", err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get(t.Context(), "client", "before"); err != nil {
		t.Errorf("Get after the restart: %v", err)
	}
	create(t, a, "client", "after")
	wantChange(t, changes, store.Change{}) // for missed changes
	create(t, a, "client", "later")
	wantChange(t, changes, store.Change{Kind: "client", Key: "later"})
}

// Watching may begin while the server is down.
func TestWatchBeforeTheServerIsBack(t *testing.T) {
	c := newConfig(t)
	a, b := open(t, c), open(t, c)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	changes := watch(t, b)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantChange(t, changes, store.Change{})
	create(t, a, "client", "a")
	wantChange(t, changes, store.Change{Kind: "client", Key: "a"})
}

func TestConnectionsAreTerminated(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	a, b := open(t, c), open(t, c)
	changes := watch(t, b)
	create(t, a, "client", "a")
	wantChange(t, changes, store.Change{Kind: "client", Key: "a"})
	for i := range 5 {
		admin(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+c.Database+"'")
		if _, err := a.Get(t.Context(), "client", "a"); err != nil {
			t.Errorf("Get: %v", err)
		}
		if _, err := a.List(t.Context(), "client", store.Query{}); err != nil {
			t.Errorf("List: %v", err)
		}
		wantChange(t, changes, store.Change{})
		create(t, a, "client", fmt.Sprint(i))
		wantChange(t, changes, store.Change{Kind: "client", Key: fmt.Sprint(i)})
	}
}

// connections counts the connections to a database, except the tests' superuser's.
func connections(t *testing.T, c postgres.Config) int {
	t.Helper()
	return len(rows(t, "postgres", "SELECT pid::text FROM pg_stat_activity WHERE usename = '"+c.User+"'"))
}

func TestPoolKeepsItsLimits(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.MaxOpenConns, c.MaxIdleConns = 3, 1
	s := open(t, c)
	var stop atomic.Bool
	var working sync.WaitGroup
	for i := range 30 {
		working.Go(func() {
			for !stop.Load() {
				if _, err := s.Create(t.Context(), store.Record{Kind: "refresh", Key: fmt.Sprint(i)}); err != nil {
					t.Errorf("Create: %v", err)
					return
				}
				if err := s.Delete(t.Context(), "refresh", fmt.Sprint(i), ""); err != nil {
					t.Errorf("Delete: %v", err)
					return
				}
			}
		})
	}
	most := 0
	for range 20 {
		most = max(most, connections(t, c))
	}
	stop.Store(true)
	working.Wait()
	if most != c.MaxOpenConns {
		t.Errorf("there were up to %d connections, want %d", most, c.MaxOpenConns)
	}
	eventually(t, "one idle connection", func() bool { return connections(t, c) == c.MaxIdleConns })
}

func TestConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.MaxOpenConns, c.ConnMaxLifetime = 1, 1
	s := open(t, c)
	backend := func() any { return ask(t, s, "SELECT pg_backend_pid()") }
	first := backend()
	eventually(t, "another connection", func() bool { return backend() != first })
}

// If the database demands it, each statement is a serializable transaction, and would often fail.
func TestIsolationLevelOfTheDatabase(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	admin(t, "postgres", "ALTER DATABASE "+c.Database+" SET default_transaction_isolation = 'serializable'")
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, c), open(t, c) })
}

// occupy locks a record, like a transaction that does not end.
func occupy(t *testing.T, c postgres.Config, key string) {
	t.Helper()
	tx, err := connect(t, c.Database).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tag, err := tx.Exec(t.Context(), "UPDATE dex_record SET data = data WHERE key = $1", []byte(key))
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("lock: %v, %v", tag, err)
	}
}

func TestEndOfTheContextWhileTheServerWorks(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	s := open(t, c)
	create(t, s, "refresh", "a")
	occupy(t, c, "a")
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := s.Delete(ctx, "refresh", "a", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Delete: got error %v", err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := s.Delete(ctx, "refresh", "a", ""); !errors.Is(err, context.Canceled) {
			t.Errorf("Delete: got error %v", err)
		}
	}
	if _, err := s.Get(t.Context(), "refresh", "a"); err != nil { // readers don't wait for writers
		t.Errorf("Get: %v", err)
	}
	create(t, s, "refresh", "b")
}

func TestOperationsHaveATimeLimit(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	s := open(t, c)
	create(t, s, "refresh", "a")
	occupy(t, c, "a")
	start := time.Now()
	err := s.Delete(t.Context(), "refresh", "a", "")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprint(c.Port)) {
		t.Errorf("Delete: got error %v", err)
	}
	if waited := time.Since(start); waited > 20*time.Second {
		t.Errorf("failed after %v", waited)
	}
}

// Announcing a change takes a lock on the whole server, so logins do not announce.
func TestOnlyAnnouncedKindsAreTold(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	s := open(t, c)
	ear := connect(t, c.Database)
	if _, err := ear.Exec(t.Context(), "LISTEN dex_record"); err != nil {
		t.Fatal(err)
	}
	create(t, s, "refresh", "quiet")
	create(t, s, "client", "told")
	if _, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "told"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create again: %v", err) // changes nothing, so nothing is told
	}
	if err := s.Delete(t.Context(), "client", "told", ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		n, err := ear.WaitForNotification(ctx)
		cancel()
		if err != nil || n.Payload != "Y2xpZW50 dG9sZA" {
			t.Fatalf("heard %+v, error %v", n, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if n, err := ear.WaitForNotification(ctx); err == nil {
		t.Errorf("heard %+v too", n)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	c := newConfig(t)
	s, err := postgres.Open(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	watch(t, s)
	ask(t, s, "SELECT 1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no connection is left", func() bool { return connections(t, c) == 0 })
}
