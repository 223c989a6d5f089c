// Package mysql_test checks the MySQL backend against the contract of stores, with a MariaDB server that is as strict as
// MySQL 8, and tests what is specific to this backend.
package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/mysql"
	"dex/internal/store/storetest"
	_ "dex/internal/takeover" // declares the kinds of clients, keys and refresh tokens
	"dex/test/servers"
)

// patience is how long a test waits for something that must happen soon.
const patience = 30 * time.Second

var server *servers.MariaDB

func TestMain(m *testing.M) {
	status, err := runWithServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func runWithServer(m *testing.M) (status int, err error) {
	if server, err = servers.StartMariaDB(context.Background()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return m.Run(), nil
}

var quiet = slog.New(slog.DiscardHandler)

// newDatabase returns the settings for a fresh database.
func newDatabase(t testing.TB) mysql.Config {
	t.Helper()
	db, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return mysql.Config{
		Host: db.Host, Port: uint16(db.Port), Database: db.Name, User: db.User, Password: db.Password,
		SSL: mysql.SSL{Mode: "false"},
	}
}

func open(t testing.TB, config mysql.Config) *mysql.Store {
	t.Helper()
	s, err := mysql.Open(t.Context(), config, quiet)
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

// exec runs statements as root.
func exec(t testing.TB, statements ...string) {
	t.Helper()
	if err := server.Exec(t.Context(), statements...); err != nil {
		t.Fatalf("%q: %v", statements, err)
	}
}

// setGlobal sets variables of the server, "name = value", until the test ends.
func setGlobal(t *testing.T, variables ...string) {
	t.Helper()
	for _, v := range variables {
		name, _, _ := strings.Cut(v, " ")
		var before string
		if err := server.Admin().QueryRowContext(t.Context(), "SELECT @@GLOBAL."+name).Scan(&before); err != nil {
			t.Fatal(err)
		}
		exec(t, "SET GLOBAL "+v)
		if strings.Trim(before, "0123456789") != "" || before == "" {
			before = "'" + before + "'"
		}
		t.Cleanup(func() {
			if err := server.Exec(context.Background(), "SET GLOBAL "+name+" = "+before); err != nil {
				t.Errorf("set %s back: %v", name, err)
			}
		})
	}
}

// holding begins a transaction as root, runs statements in it, and returns it. It ends with the test, and locks only the rows
// that it selects.
func holding(t *testing.T, statements ...string) *sql.Tx {
	t.Helper()
	tx, err := server.Admin().BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	for _, text := range statements {
		if _, err := tx.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return tx
}

// within waits until a condition is true.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after %v", what, limit)
		}
	}
}

// create stores a record and returns it with its revision.
func create(t *testing.T, s store.Store, r store.Record) store.Record {
	t.Helper()
	var err error
	if r.Revision, err = s.Create(t.Context(), r); err != nil {
		t.Fatalf("Create: %v", err)
	}
	return r
}

func wantData(t *testing.T, s store.Store, kind, key, data string) {
	t.Helper()
	r, err := s.Get(t.Context(), kind, key)
	if err != nil || string(r.Data) != data {
		t.Errorf("Get %s %s: got %.40q and error %v, want %.40q", kind, key, r.Data, err, data)
	}
}

func TestConformance(t *testing.T) {
	config := newDatabase(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, config) })
}

// The server's defaults are as bad as possible: our connections must not use them.
func TestConformanceOnAServerWithOtherDefaults(t *testing.T) {
	setGlobal(t, "tx_isolation = 'SERIALIZABLE'", "autocommit = 0", "init_connect = 'SET NAMES gbk'",
		"sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'")
	config := newDatabase(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, config) })
}

func TestShared(t *testing.T) {
	config := newDatabase(t)
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) { return open(t, config), open(t, config) })
}

func Benchmark(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, newDatabase(b)) })
}
