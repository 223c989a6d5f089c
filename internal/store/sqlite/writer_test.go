package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/store"
)

func openFile(t *testing.T, file string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{File: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// occupy makes the writer busy until release is called.
func occupy(t *testing.T, s *Store) (release func()) {
	t.Helper()
	started, free, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		_ = s.writer.submit(context.Background(), store.Change{}, func(context.Context, *statements) error {
			close(started)
			<-free
			return nil
		})
	}()
	<-started
	return func() {
		close(free)
		<-left
	}
}

// queued calls functions that write, each in a goroutine, and returns when all wait for the writer, with a function
// that waits for their errors.
func queued(t *testing.T, s *Store, writes ...func() error) (results func() []error) {
	t.Helper()
	before := len(s.writer.queue)
	errs := make([]error, len(writes))
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(writes)))
	for i, write := range writes {
		go func() {
			errs[i] = write()
			if left.Add(-1) == 0 {
				close(done)
			}
		}()
	}
	waitFor(t, func() bool { return len(s.writer.queue) == before+len(writes) })
	return func() []error {
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("the writes are not answered")
		}
		return errs
	}
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func creation(ctx context.Context, s *Store, key string) func() error {
	return func() error {
		_, err := s.Create(ctx, store.Record{Kind: "k", Key: key})
		return err
	}
}

func TestWhatWaitsIsCommittedTogether(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "dex.db"))
	release := occupy(t, s)
	// Readers see a commit at once, so if the first of two has no record for them while the second runs, the second is
	// in the same transaction.
	var early error
	results := queued(t, s, creation(t.Context(), s, "a"))
	second := queued(t, s, func() error {
		return s.writer.submit(t.Context(), store.Change{}, func(context.Context, *statements) error {
			_, early = s.Get(t.Context(), "k", "a")
			return nil
		})
	})
	release()
	for _, err := range append(results(), second()...) {
		if err != nil {
			t.Errorf("write: %v", err)
		}
	}
	if !errors.Is(early, store.ErrNotFound) {
		t.Errorf("Get before the commit: got error %v", early)
	}
	if _, err := s.Get(t.Context(), "k", "a"); err != nil {
		t.Errorf("Get after the commit: %v", err)
	}
}

func TestBadWriteFailsAlone(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "dex.db"))
	if err := creation(t.Context(), s, "taken")(); err != nil {
		t.Fatalf("Create: %v", err)
	}
	changes, err := s.Watch(t.Context())
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	bad := func() error {
		change := store.Change{Kind: "k", Key: "bad"}
		return s.writer.submit(t.Context(), change, func(ctx context.Context, do *statements) error {
			_, err := do.create.ExecContext(ctx, nil, nil, nil, nil, nil, nil, 0) // NOT NULL forbids it
			return err
		})
	}
	release := occupy(t, s)
	results := queued(t, s,
		creation(t.Context(), s, "a"), bad, creation(t.Context(), s, "taken"), creation(t.Context(), s, "b"))
	release()
	errs := results()
	if errs[0] != nil || errs[3] != nil {
		t.Errorf("the good writes failed: %v, %v", errs[0], errs[3])
	}
	if errs[1] == nil {
		t.Error("the bad write succeeded")
	}
	if !errors.Is(errs[2], store.ErrExists) {
		t.Errorf("Create of a taken key: %v", errs[2])
	}
	if n := len(changes); n != 2 {
		t.Fatalf("watchers heard of %d changes, want 2", n)
	}
	seen := map[store.Change]bool{<-changes: true, <-changes: true}
	if !seen[store.Change{Kind: "k", Key: "a"}] || !seen[store.Change{Kind: "k", Key: "b"}] {
		t.Errorf("watchers heard of %v", seen)
	}
}

func TestWriteOfACallerWhoLeftIsSkipped(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "dex.db"))
	ctx, cancel := context.WithCancel(t.Context())
	release := occupy(t, s)
	results := queued(t, s, creation(ctx, s, "a"), creation(t.Context(), s, "b"))
	cancel()
	release()
	errs := results()
	if !errors.Is(errs[0], context.Canceled) || errs[1] != nil {
		t.Errorf("got errors %v", errs)
	}
	if _, err := s.Get(t.Context(), "k", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of the skipped record: %v", err)
	}
}

func TestCallerDoesNotWaitForTheWriterLongerThanItsContext(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "dex.db"))
	defer occupy(t, s)()
	for range maxBatch + 1 { // the last does not even get into the queue
		ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		if err := creation(ctx, s, "a")(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Create: %v", err)
		}
		cancel()
	}
}

func TestCloseDrains(t *testing.T) {
	for range 10 { // the writer sees by chance first that it shall close, or first what is queued
		file := filepath.Join(t.TempDir(), "dex.db")
		s := openFile(t, file)
		release := occupy(t, s)
		var writes []func() error
		for i := range 10 {
			writes = append(writes, creation(t.Context(), s, fmt.Sprint(i)))
		}
		results := queued(t, s, writes...)
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		<-s.writer.closing
		release()
		for i, err := range results() {
			if err != nil {
				t.Errorf("Create %d: %v", i, err)
			}
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		page, err := openFile(t, file).List(t.Context(), "k", store.Query{})
		if err != nil || len(page) != len(writes) {
			t.Errorf("List: got %d records and error %v, want %d", len(page), err, len(writes))
		}
	}
}

// lock keeps the database locked, as another process would, until unlock is called.
func lock(t *testing.T, file string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	s := openFile(t, file+"?_busy_timeout=20")
	unlock := lock(t, file)
	if err := creation(t.Context(), s, "a")(); !isBusy(err) {
		t.Errorf("Create while the database is locked: %v", err)
	}
	unlock()
	if err := creation(t.Context(), s, "a")(); err != nil {
		t.Errorf("Create after the lock: %v", err)
	}
}

func TestShortLockIsWaitedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	s := openFile(t, file)
	unlock := lock(t, file)
	done := make(chan error)
	go func() { done <- creation(context.Background(), s, "a")() }()
	select {
	case err := <-done:
		t.Errorf("Create while the database is locked: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	if err := <-done; err != nil {
		t.Errorf("Create after the lock: %v", err)
	}
}
