package mysql_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/mysql"
)

func tables(t *testing.T, database string) []string {
	t.Helper()
	rows, err := server.Admin().QueryContext(t.Context(),
		"SELECT table_name FROM information_schema.tables WHERE table_schema = ? ORDER BY table_name", database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestManyOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	config := newDatabase(t)
	var opening sync.WaitGroup
	for i := range 8 {
		opening.Go(func() {
			s, err := mysql.Open(context.Background(), config, quiet)
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			r := store.Record{Kind: "k", Key: fmt.Sprint(i)}
			if _, err := s.Create(context.Background(), r); err != nil {
				t.Errorf("Create: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	opening.Wait()
	page, err := open(t, config).List(t.Context(), "k", store.Query{})
	if err != nil || len(page) != 8 {
		t.Errorf("List: got %d records and error %v, want 8", len(page), err)
	}
}

// Another replica died while creating the tables, or is still creating them without the lock.
func TestHalfMadeTablesAreCompleted(t *testing.T) {
	config := newDatabase(t)
	if err := open(t, config).Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, "DELETE FROM "+config.Database+".dex_schema", "DROP TABLE "+config.Database+".dex_change")
	s := open(t, config)
	create(t, s, store.Record{Kind: "k", Key: "a", Data: []byte("data")})
	wantData(t, s, "k", "a", "data")
}

func TestOtherTablesAreLeftAlone(t *testing.T) {
	config := newDatabase(t)
	exec(t, "CREATE TABLE "+config.Database+".client (id varchar(384) PRIMARY KEY, secret text)",
		"INSERT INTO "+config.Database+".client VALUES ('app', 's')",
		"CREATE TABLE "+config.Database+".`keys` (id varchar(384) PRIMARY KEY)")
	var before, after int64
	checksum := func(sum *int64) {
		var table string
		row := server.Admin().QueryRowContext(t.Context(), "CHECKSUM TABLE "+config.Database+".client")
		if err := row.Scan(&table, sum); err != nil {
			t.Fatal(err)
		}
	}
	checksum(&before)
	s := open(t, config)
	r := create(t, s, store.Record{Kind: "client", Key: "app", Data: []byte("{}")})
	if err := s.Delete(t.Context(), "client", "app", r.Revision); err != nil {
		t.Errorf("Delete: %v", err)
	}
	checksum(&after)
	if before != after {
		t.Error("the table client has changed")
	}
	want := []string{"client", "dex_change", "dex_record", "dex_schema", "keys"}
	if got := tables(t, config.Database); !slices.Equal(got, want) {
		t.Errorf("the tables are %q, want %q", got, want)
	}
}

// If the tables exist, only rights on their rows are needed.
func TestUserWhoMayNotMakeTables(t *testing.T) {
	config := newDatabase(t)
	exec(t, "REVOKE ALL ON "+config.Database+".* FROM "+config.User,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON "+config.Database+".* TO "+config.User)
	wantRefused(t, config, "tables dex_*", "denied")
	exec(t, "GRANT ALL ON "+config.Database+".* TO "+config.User)
	if err := open(t, config).Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, "REVOKE ALL ON "+config.Database+".* FROM "+config.User,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON "+config.Database+".* TO "+config.User)
	s := open(t, config)
	create(t, s, store.Record{Kind: "k", Key: "a", Data: []byte("data")})
	wantData(t, s, "k", "a", "data")
}

func TestUnknownLayoutIsRefused(t *testing.T) {
	config := newDatabase(t)
	if err := open(t, config).Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, "UPDATE "+config.Database+".dex_schema SET version = 99")
	wantRefused(t, config, "version 99")
}

// The server is configured for case-insensitive comparison, which must not affect our tables.
func TestCollationOfTheDatabaseDoesNotMatter(t *testing.T) {
	config := newDatabase(t)
	s := open(t, config)
	var same bool
	if err := s.DB().QueryRowContext(t.Context(), "SELECT 'abc ' = 'ABC'").Scan(&same); err != nil || !same {
		t.Fatalf("the database compares with regard to case, which makes this test useless: %v", err)
	}
	for _, key := range []string{"abc", "ABC", "abc ", "äbc", "abc\x00"} {
		create(t, s, store.Record{Kind: "k", Key: key, Owner: key, Data: []byte(key)})
	}
	create(t, s, store.Record{Kind: "K", Key: "abc", Data: []byte("other kind")})
	wantData(t, s, "k", "abc", "abc")
	wantData(t, s, "K", "abc", "other kind")
	page, err := s.List(t.Context(), "k", store.Query{Owner: "ABC"})
	if err != nil || len(page) != 1 || page[0].Key != "ABC" {
		t.Errorf("List of an owner: got %v and error %v", page, err)
	}
}

func TestTimesOfOtherTablesAreReadable(t *testing.T) {
	config := newDatabase(t)
	table := config.Database + ".auth_request"
	tx := holding(t, "SET sql_mode = ''")
	for _, text := range []string{
		"CREATE TABLE " + table + " (id INT PRIMARY KEY, at DATETIME(3) NOT NULL)",
		"INSERT INTO " + table + " VALUES (1, '0000-00-00 00:00:00'), (2, '1000-01-01 00:00:00'), (3, '2024-02-29 12:30:45.678')",
	} {
		if _, err := tx.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	db := open(t, config).DB()
	for id, want := range map[int]time.Time{
		1: {},
		2: time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC),
		3: time.Date(2024, 2, 29, 12, 30, 45, 678_000_000, time.UTC),
	} {
		var at time.Time
		if err := db.QueryRowContext(t.Context(), "SELECT at FROM auth_request WHERE id = ?", id).Scan(&at); err != nil {
			t.Errorf("row %d: %v", id, err)
		}
		if !at.Equal(want) || at.Location() != time.UTC {
			t.Errorf("row %d: got %v, want %v", id, at, want)
		}
	}
}

// counter returns the sum of the server's counters whose names match.
func counter(t *testing.T, pattern string) (sum int) {
	t.Helper()
	rows, err := server.Admin().QueryContext(t.Context(), "SHOW GLOBAL STATUS LIKE '"+pattern+"'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return sum
}

// Every operation must find its rows by an index, in the index's order, however many others there are.
func TestEveryOperationReadsOnlyTheRowsItNeeds(t *testing.T) {
	s := open(t, newDatabase(t))
	const others = 3000
	fill(t, s, others)
	soon := time.Now().Add(time.Hour)
	r := create(t, s, store.Record{Kind: "lease", Key: "a", Owner: "me", Expires: soon, Data: []byte("{}")})
	gone := create(t, s, store.Record{Kind: "lease", Key: "gone", Expires: soon, Data: []byte("{}")})
	for name, call := range map[string]func() error{
		"Get":       func() error { _, err := s.Get(t.Context(), "lease", "a"); return err },
		"List":      func() error { _, err := s.List(t.Context(), "lease", store.Query{Limit: 5}); return err },
		"ListAfter": func() error { _, err := s.List(t.Context(), "lease", store.Query{After: "01", Limit: 5}); return err },
		"ListOwner": func() error { _, err := s.List(t.Context(), "lease", store.Query{Owner: "me", Limit: 5}); return err },
		"Create": func() error {
			_, err := s.Create(t.Context(), store.Record{Kind: "lease", Key: "b", Expires: soon})
			return err
		},
		"Replace": func() error { _, err := s.Replace(t.Context(), r); return err },
		"Delete":  func() error { return s.Delete(t.Context(), "lease", "0100", "") },
		"Sweep":   func() error { _, err := s.Sweep(t.Context(), "lease", time.Now(), 5); return err },
		"Expired": func() error { _, err := s.Expired(t.Context(), "lease", time.Now(), 5); return err },
		"Discard": func() error { _, err := s.Discard(t.Context(), "lease", []store.Record{gone}); return err },
	} {
		before := counter(t, "Handler_read%")
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		after := counter(t, "Handler_read%")
		overhead := counter(t, "Handler_read%") - after // of reading the counters
		if n := after - before - overhead; n > 60 {
			t.Errorf("%s: read %d rows of %d", name, n, others)
		}
	}
}

// fill creates records of a kind that is not announced. The first ten are expired.
func fill(t *testing.T, s store.Store, n int) {
	t.Helper()
	const writers = 8
	var filling sync.WaitGroup
	for w := range writers {
		filling.Go(func() {
			for i := w; i < n; i += writers {
				r := store.Record{Kind: "lease", Key: fmt.Sprintf("%04d", i), Owner: fmt.Sprint(i), Expires: time.Now()}
				if i >= 10 {
					r.Expires = r.Expires.Add(time.Hour)
				}
				if _, err := s.Create(t.Context(), r); err != nil {
					t.Errorf("Create: %v", err)
				}
			}
		})
	}
	filling.Wait()
}

// Writes of unannounced kinds are one statement, and those of announced kinds one transaction with two.
func TestStatementsOfAWrite(t *testing.T) {
	s := open(t, newDatabase(t))
	for kind, want := range map[string]int{"refresh": 1, "client": 4} {
		before := counter(t, `Com\_%`)
		create(t, s, store.Record{Kind: kind, Key: "a", Data: []byte(strings.Repeat("x", 1000))})
		after := counter(t, `Com\_%`)
		overhead := counter(t, `Com\_%`) - after // of reading the counters
		if got := after - before - overhead; got != want {
			t.Errorf("Create of kind %s: %d statements, want %d", kind, got, want)
		}
	}
}
