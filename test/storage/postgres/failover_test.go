package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/postgres"
	"dex/test/servers"
)

// A store whose server became read-only must find the one that took its place.
func TestConnectionsToAStandbyAreLeft(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	open(t, c) // creates the tables
	admin(t, "postgres", "ALTER DATABASE "+c.Database+" SET default_transaction_read_only = on")
	s := open(t, c)
	for range 2 {
		_, err := s.Create(t.Context(), store.Record{Kind: "refresh", Key: "a"})
		if err == nil || !strings.Contains(err.Error(), "the server is a standby") {
			t.Fatalf("Create: got error %v", err)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	admin(t, "postgres", "ALTER DATABASE "+c.Database+" RESET default_transaction_read_only")
	create(t, s, "refresh", "a")
	create(t, s, "client", "a")
}

// Of several hosts the writable one is used, in whatever order they are.
func TestStandbyAmongSeveralHosts(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	open(t, c)
	admin(t, "postgres", "ALTER DATABASE "+c.Database+" SET default_transaction_read_only = on")
	c.Host = "127.0.0.1,localhost"
	if _, err := tryOpen(t, c); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("Open where no server can be written to: got error %v", err)
	}
	admin(t, "postgres", "ALTER DATABASE "+c.Database+" RESET default_transaction_read_only")
	create(t, open(t, c), "client", "a")
}

// A pooler may give us a connection to a server that doesn't know our prepared statements.
func TestForgottenStatements(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.MaxOpenConns = 1
	s := open(t, c)
	for _, key := range []string{"a", "b"} {
		create(t, s, "client", key)
		if _, err := s.Get(t.Context(), "client", key); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Query(t.Context(), "DEALLOCATE ALL"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), "client", "a"); err != nil {
		t.Errorf("Get: %v", err)
	}
	create(t, s, "client", "c")
}

// through makes a configuration go through a relay.
func through(t *testing.T, c *postgres.Config) *servers.Relay {
	t.Helper()
	r, err := servers.NewRelay(t.Context(), int(c.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	c.Port = uint16(r.Port)
	return r
}

// An operation must not spend its time on connections that a network or a server has silently dropped.
func TestDeadConnectionsAreReplacedWithinAnOperation(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	network := through(t, &c)
	c.MaxOpenConns = 3
	s := open(t, c)
	var sleeping sync.WaitGroup
	for range c.MaxOpenConns {
		sleeping.Go(func() {
			if _, _, err := s.Query(t.Context(), "SELECT count(pg_sleep(0.3))"); err != nil {
				t.Error(err)
			}
		})
	}
	sleeping.Wait()
	time.Sleep(1500 * time.Millisecond) // the pool checks connections that were idle for a second
	network.Freeze()
	create(t, s, "client", "a")
	if _, err := s.Get(t.Context(), "client", "a"); err != nil {
		t.Errorf("Get: %v", err)
	}
}

func TestPoolThatKeepsNoConnections(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.MaxOpenConns, c.MaxIdleConns, c.ConnMaxLifetime = -1, -1, -1
	s := open(t, c)
	for _, key := range []string{"a", "b", "c"} {
		create(t, s, "refresh", key)
	}
	eventually(t, "no connection is kept", func() bool { return connections(t, c) == 0 })
}

// prepare does every kind of write once, so that the next write is sent at once.
func prepare(t *testing.T, s store.Store, kind string) {
	t.Helper()
	eventually(t, "the store works", func() bool { return s.Ping(t.Context()) == nil })
	r := store.Record{Kind: kind, Key: "prepare"}
	var err error
	if r.Revision, err = s.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), r.Kind, r.Key, ""); err != nil {
		t.Fatal(err)
	}
}

// A write whose answer is lost may have happened. Its error must not say that another's record was in the way.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"client", "refresh"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			observer := open(t, c)
			network := through(t, &c)
			c.MaxOpenConns = 1
			s := open(t, c)
			r := store.Record{Kind: kind, Key: "a", Data: []byte("first")}
			for _, step := range []struct {
				name string
				call func(r store.Record) error
				done func(found store.Record, err error) bool
			}{
				{"Create", func(r store.Record) error { _, err := s.Create(t.Context(), r); return err },
					func(_ store.Record, err error) bool { return err == nil }},
				{"Replace", func(r store.Record) error { _, err := s.Replace(t.Context(), r); return err },
					func(found store.Record, err error) bool { return err == nil && string(found.Data) == "second" }},
				{"Delete", func(r store.Record) error { return s.Delete(t.Context(), r.Kind, r.Key, "") },
					func(_ store.Record, err error) bool { return errors.Is(err, store.ErrNotFound) }},
			} {
				prepare(t, s, kind)
				network.Mute(true)
				failure, given := make(chan error), r
				go func() { failure <- step.call(given) }()
				eventually(t, step.name+" was done", func() bool {
					found, err := observer.Get(t.Context(), r.Kind, r.Key)
					r.Revision, r.Data = found.Revision, []byte("second")
					return step.done(found, err)
				})
				network.Mute(false)
				network.Cut()
				err := <-failure
				if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrConflict) {
					t.Errorf("%s: got error %v", step.name, err)
				}
			}
		})
	}
}

// A write that waits for a lock must not happen long after its caller has left: by then the record may be a different one.
func TestWriteEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	s := open(t, c)
	create(t, s, "refresh", "a")
	tx, err := connect(t, c.Database).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM dex_record FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Delete(ctx, "refresh", "a", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Delete: got error %v", err)
	}
	eventually(t, "the server has given up the statement", func() bool {
		return len(rows(t, "postgres", "SELECT query FROM pg_stat_activity WHERE state = 'active' AND usename = '"+c.User+"'")) == 0
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if _, err := s.Get(t.Context(), "refresh", "a"); err != nil {
		t.Errorf("Get: %v", err)
	}
}
