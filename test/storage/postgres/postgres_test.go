// Package postgres tests the PostgreSQL storage against a server.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"dex/internal/store"
	"dex/internal/store/postgres"
	"dex/internal/store/storetest"
	_ "dex/internal/takeover" // declares the kinds of clients, keys and refresh tokens
	"dex/test/servers"
)

// server is the one that all tests share.
var server *servers.Postgres

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if server, err = servers.StartPostgres(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Close(), goleak.Find()) }()
	return m.Run(), nil
}

// newConfig returns the configuration for a new database.
func newConfig(t testing.TB) postgres.Config {
	t.Helper()
	db, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return postgres.Config{
		Host: db.Host, Port: uint16(db.Port), Database: db.Name, User: db.User, Password: db.Password,
		SSL: postgres.SSL{Mode: "disable"},
	}
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, c postgres.Config) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), c, slog.New(slog.DiscardHandler))
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
	t.Parallel()
	c := newConfig(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, c) })
}

func TestShared(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, c), open(t, c) })
}

func Benchmark(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, newConfig(b)) })
}
