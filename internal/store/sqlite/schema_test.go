package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/store"
)

// raw opens the database without this package.
func raw(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func TestOtherTablesAreLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	db := raw(t, file)
	exec(t, db, "CREATE TABLE client (id text PRIMARY KEY, secret text); INSERT INTO client VALUES ('app', 's')")
	exec(t, db, "PRAGMA user_version = 23")
	s := openFile(t, file)
	if err := creation(t.Context(), s, "a")(); err != nil {
		t.Fatalf("Create: %v", err)
	}
	var version, clients, others int
	err := errors.Join(
		db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version),
		db.QueryRowContext(t.Context(), "SELECT count(*) FROM client WHERE id = 'app' AND secret = 's'").Scan(&clients),
		db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_master
			WHERE name NOT LIKE 'dex\_%' ESCAPE '\' AND tbl_name <> 'dex_record' AND tbl_name <> 'client'`).Scan(&others),
	)
	if err != nil {
		t.Fatal(err)
	}
	if version != 23 || clients != 1 || others != 0 {
		t.Errorf("user_version is %d, %d clients, %d unknown tables", version, clients, others)
	}
}

func TestUnknownLayoutIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	if err := openFile(t, file).Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, raw(t, file), "UPDATE dex_schema SET version = 99")
	_, err := Open(t.Context(), Config{File: file}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("Open: got error %v", err)
	}
}

func TestManyOpenANewDatabaseAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	var opening sync.WaitGroup
	for range 8 {
		opening.Go(func() {
			s, err := Open(context.Background(), Config{File: file}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	opening.Wait()
}

func TestRecordsSurviveCloseAndTheLogIsRemoved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	s := openFile(t, file)
	r := store.Record{Kind: "k", Key: "a", Owner: "o", Expires: time.Now().Add(time.Hour), Data: []byte("data")}
	revision, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, err := os.Stat(file + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the write-ahead log is left: %v", err)
	}
	got, err := openFile(t, file).Get(t.Context(), "k", "a")
	if err != nil || got.Revision != revision || string(got.Data) != "data" {
		t.Errorf("Get: got %+v and error %v, want %+v", got, err, r)
	}
}

// Every statement must find its rows by an index, in its order.
func TestQueryPlans(t *testing.T) {
	s := openFile(t, "")
	for text, index := range map[string]string{
		getText:            "sqlite_autoindex_dex_record_1 (kind=? AND key=?)",
		listText:           "sqlite_autoindex_dex_record_1 (kind=? AND key>?)",
		listOwnerText:      "dex_record_owner (kind=? AND owner=? AND key>?)",
		replaceText:        "sqlite_autoindex_dex_record_1 (kind=? AND key=?)",
		deleteText:         "sqlite_autoindex_dex_record_1 (kind=? AND key=?)",
		deleteRevisionText: "sqlite_autoindex_dex_record_1 (kind=? AND key=?)",
		sweepText:          "dex_record_expires (kind=? AND expires<?)",
		expiredText:        "dex_record_expires (kind=? AND expires<?)",
		discardText:        "sqlite_autoindex_dex_record_1 (kind=? AND key=?)",
	} {
		plan := explain(t, s, text)
		if !strings.Contains(plan, index) || strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE FOR ORDER") {
			t.Errorf("%s\n%s\nwant index %s", text, plan, index)
		}
	}
}

func explain(t *testing.T, s *Store, text string) string {
	t.Helper()
	args := make([]any, strings.Count(text, "?"))
	rows, err := s.readerDB.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
