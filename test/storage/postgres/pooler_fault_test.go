package postgres

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/postgres"
	"dex/internal/store/storetest"
	"dex/test/servers"
)

// pooled returns the configuration for a new database behind a pooler in transaction mode.
func pooled(t *testing.T) postgres.Config {
	t.Helper()
	db, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := servers.StartPgBouncer(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return postgres.Config{
		Host: "127.0.0.1", Port: uint16(b.Port), Database: db.Name, User: db.User, Password: db.Password,
		SSL: postgres.SSL{Mode: "disable"},
	}
}

// openLogging opens a store that is closed when the test ends, and returns its log too.
func openLogging(t *testing.T, c postgres.Config) (*postgres.Store, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s, err := postgres.Open(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, &log
}

// Behind PgBouncer in transaction mode every other request failed, because a statement was prepared on another connection.
var _ = faulttest.Add("O4", func(t *testing.T) {
	c := pooled(t)
	t.Run("shared", func(t *testing.T) {
		storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, c), open(t, c) })
	})
	t.Run("many at once", func(t *testing.T) {
		a, b := open(t, c), open(t, c)
		var writing sync.WaitGroup
		for i := range 200 {
			writing.Go(func() {
				s := []store.Store{a, b}[i%2]
				key := fmt.Sprint(i)
				if _, err := s.Create(t.Context(), store.Record{Kind: "code", Key: key}); err != nil {
					t.Errorf("Create: %v", err)
				}
				if _, err := s.Get(t.Context(), "code", key); err != nil {
					t.Errorf("Get: %v", err)
				}
			})
		}
		writing.Wait()
	})
})

// A role that may not call pg_notify, and an engine that lacks it, made the first signing key fail.
var _ = faulttest.Add("O13", func(t *testing.T) {
	t.Run("a role that may not notify", func(t *testing.T) {
		c := newConfig(t)
		admin, err := pgx.Connect(t.Context(), server.AdminDSN(c.Database))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = admin.Close(t.Context()) }()
		if _, err := admin.Exec(t.Context(),
			"REVOKE EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) FROM PUBLIC"); err != nil {
			t.Fatal(err)
		}
		a, log := openLogging(t, c)
		b, _ := openLogging(t, c)
		if !strings.Contains(log.String(), "pg_notify") || !strings.Contains(log.String(), "every second") {
			t.Errorf("the log is: %s", log)
		}
		wantSeen(t, a, b)
		storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, c), open(t, c) })
	})
	t.Run("notices that never come", func(t *testing.T) {
		c := pooled(t)
		a, log := openLogging(t, c)
		b, _ := openLogging(t, c)
		if !strings.Contains(log.String(), "not heard") {
			t.Errorf("the log is: %s", log)
		}
		wantSeen(t, a, b)
	})
	t.Run("one that polls and one that listens", func(t *testing.T) {
		behind := pooled(t)
		direct := behind
		direct.Port = uint16(server.Port)
		a, b := open(t, behind), open(t, direct)
		wantSeen(t, a, b)
		wantSeen(t, b, a)
	})
})

// wantSeen checks that one store is told of another's changes.
func wantSeen(t *testing.T, writer, watcher store.Store) {
	t.Helper()
	changes := watch(t, watcher)
	r := store.Record{Kind: "client", Key: fmt.Sprintf("%p", writer)}
	revision, err := writer.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, changes, "client")
	r.Revision = revision
	if _, err := writer.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	wantKind(t, changes, "client")
	if err := writer.Delete(t.Context(), r.Kind, r.Key, ""); err != nil {
		t.Fatal(err)
	}
	wantKind(t, changes, "client")
}

// wantKind waits for a change of a whole kind.
func wantKind(t *testing.T, changes <-chan store.Change, kind string) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case c, open := <-changes:
			if !open {
				t.Fatal("the channel was closed")
			}
			if c.Kind == kind || c.Kind == "" {
				return
			}
		case <-end:
			t.Fatalf("no change of %s after %v", kind, patience)
		}
	}
}
