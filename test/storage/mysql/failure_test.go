package mysql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/mysql"
)

// wantChange waits for a change of a whole kind.
func wantChange(t *testing.T, changes <-chan store.Change, kind string) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case c, open := <-changes:
			if !open {
				t.Fatal("the channel was closed")
			}
			if c.Kind == "" || c.Kind == kind {
				return
			}
		case <-end:
			t.Fatalf("no change of %s after %v", kind, patience)
		}
	}
}

func TestServerRestarts(t *testing.T) {
	for name, stop := range map[string]func() error{
		"Stop":  server.Stop,
		"Crash": func() error { server.Kill(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			config := newDatabase(t)
			a, b := open(t, config), open(t, config)
			changes, err := b.Watch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			create(t, a, store.Record{Kind: "client", Key: "before", Data: []byte("data")})
			wantChange(t, changes, "client")
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{"Ping": a.Ping(t.Context()), "Get": get(t, a, "client", "before")} {
				if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrClosed) {
					t.Errorf("%s without a server: got error %v", what, err)
				}
			}
			time.Sleep(2 * time.Second) // until the watching store has noticed
			if err := server.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			wantData(t, a, "client", "before", "data")
			wantData(t, b, "client", "before", "data")
			wantChange(t, changes, "") // whatever was missed
			create(t, a, store.Record{Kind: "client", Key: "after"})
			wantChange(t, changes, "client")
		})
	}
}

func get(t *testing.T, s store.Store, kind, key string) error {
	t.Helper()
	_, err := s.Get(t.Context(), kind, key)
	return err
}

// The server aborts our transaction in favour of another one, which has done more work: the write must be retried without its
// caller noticing.
func TestDeadlockIsTriedAgain(t *testing.T) {
	config := newDatabase(t)
	s := open(t, config)
	r := create(t, s, store.Record{Kind: "client", Key: "a", Data: []byte("old")})
	for i := range 50 {
		create(t, s, store.Record{Kind: "client", Key: fmt.Sprint("other", i)})
	}
	table := config.Database + ".dex_record"
	before := counter(t, "Innodb_deadlocks")
	tx := holding(t, "UPDATE "+table+" SET data = 'more work' WHERE `key` LIKE 'other%'",
		"SELECT * FROM "+config.Database+".dex_change WHERE kind = 'client' FOR UPDATE")
	replaced := make(chan error)
	go func() {
		r.Data = []byte("new")
		_, err := s.Replace(context.Background(), r)
		replaced <- err
	}()
	// Replace has the record and waits for the counter.
	within(t, patience, "Replace waits", func() bool { return counter(t, "Innodb_row_lock_current_waits") > 0 })
	if _, err := tx.ExecContext(t.Context(), "SELECT * FROM "+table+" WHERE `key` = 'a' FOR UPDATE"); err != nil {
		t.Fatalf("the server gave up the other transaction: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-replaced; err != nil {
		t.Errorf("Replace: %v", err)
	}
	if counter(t, "Innodb_deadlocks") == before {
		t.Error("there was no deadlock")
	}
	wantData(t, s, "client", "a", "new")
}

// If a lock is held for longer than the server waits, we wait again.
func TestLongLockIsWaitedFor(t *testing.T) {
	config := newDatabase(t)
	s := open(t, config)
	for _, kind := range []string{"client", "refresh"} {
		t.Run(kind, func(t *testing.T) {
			r := create(t, s, store.Record{Kind: kind, Key: "a", Data: []byte("old")})
			tx := holding(t, "SELECT * FROM "+config.Database+".dex_record WHERE `key` = 'a' FOR UPDATE")
			release := time.AfterFunc(3*time.Second, func() { _ = tx.Rollback() })
			defer release.Stop()
			began := time.Now()
			r.Data = []byte("new")
			if _, err := s.Replace(t.Context(), r); err != nil {
				t.Errorf("Replace: %v", err)
			}
			if time.Since(began) < 2*time.Second {
				t.Error("the record was not locked")
			}
			wantData(t, s, kind, "a", "new")
		})
	}
}

// Nobody waits for ever: neither a caller whose context ends, nor one whose context has no deadline, nor the server on behalf
// of a caller that has left.
func TestLockedTable(t *testing.T) {
	config := newDatabase(t)
	s := open(t, config)
	create(t, s, store.Record{Kind: "refresh", Key: "a", Data: []byte("data")})
	holding(t, "LOCK TABLES "+config.Database+".dex_record WRITE")
	var calling sync.WaitGroup
	calling.Go(func() {
		began := time.Now()
		_, err := s.Get(context.Background(), "refresh", "a")
		if took := time.Since(began); err == nil || took < 9*time.Second || took > 15*time.Second {
			t.Errorf("Get without a deadline: error %v after %v, want one after 10s", err, took)
		}
	})
	calling.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		_, err := s.Create(ctx, store.Record{Kind: "refresh", Key: "b"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Create with a deadline: %v", err)
		}
	})
	calling.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(300*time.Millisecond, cancel)
		if err := s.Delete(ctx, "client", "a", ""); !errors.Is(err, context.Canceled) {
			t.Errorf("Delete that is canceled: %v", err)
		}
	})
	calling.Wait()
	within(t, 5*time.Second, "no statement waits for the table any more", func() bool {
		var waiting int
		row := server.Admin().QueryRowContext(t.Context(),
			"SELECT COUNT(*) FROM information_schema.processlist WHERE user = ? AND state LIKE '%lock%'", config.User)
		if err := row.Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting == 0
	})
}

func TestRecordsAreLargerThanTheServerTakes(t *testing.T) {
	setGlobal(t, "max_allowed_packet = 524288")
	var log bytes.Buffer
	s, err := mysql.Open(t.Context(), newDatabase(t), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if !strings.Contains(log.String(), "max_allowed_packet") {
		t.Errorf("the log does not warn: %s", log.String())
	}
	for _, kind := range []string{"client", "refresh"} {
		_, err = s.Create(t.Context(), store.Record{Kind: kind, Key: "a", Data: make([]byte, store.MaxData)})
		if err == nil || !strings.Contains(err.Error(), "raise its max_allowed_packet") {
			t.Errorf("Create: %v", err)
		}
		create(t, s, store.Record{Kind: kind, Key: "a", Data: []byte("data")})
		wantData(t, s, kind, "a", "data")
	}
}

// connections returns how many connections a user has.
func connections(t *testing.T, user string) (n int) {
	t.Helper()
	row := server.Admin().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", user)
	if err := row.Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBoundsOfThePool(t *testing.T) {
	config := newDatabase(t)
	config.MaxOpenConns, config.MaxIdleConns, config.ConnMaxLifetime = 5, 2, 3
	s := open(t, config)
	var calling sync.WaitGroup
	for range 20 {
		calling.Go(func() {
			if _, err := s.DB().ExecContext(t.Context(), "DO SLEEP(0.1)"); err != nil {
				t.Error(err)
			}
		})
	}
	within(t, patience, "there are 5 connections", func() bool { return connections(t, config.User) == 5 })
	most := 0
	for range 10 {
		most = max(most, connections(t, config.User))
	}
	if most != 5 {
		t.Errorf("there are up to %d connections, want 5", most)
	}
	calling.Wait()
	within(t, patience, "2 connections are kept", func() bool { return connections(t, config.User) == 2 })
	within(t, patience, "they end", func() bool { return connections(t, config.User) == 0 })
}

func TestConnectionsAreKeptByDefault(t *testing.T) {
	config := newDatabase(t)
	s := open(t, config)
	before := counter(t, "Connections")
	for range 50 {
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after := counter(t, "Connections")
	if looking := counter(t, "Connections") - after; after-before != looking {
		t.Errorf("%d connections were made for 50 operations", after-before-looking)
	}
}

func TestCloseEndsWhatOpenStarted(t *testing.T) {
	config := newDatabase(t)
	before := runtime.NumGoroutine()
	s, err := mysql.Open(t.Context(), config, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config.Password = "not-the-password"
	wantRefused(t, config)
	within(t, patience, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	within(t, patience, "no connection is left", func() bool { return connections(t, config.User) == 0 })
}
