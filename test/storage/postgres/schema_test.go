package postgres

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dex/internal/store"
	"dex/internal/store/postgres"
)

// connect connects to a database, as the superuser.
func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.AdminDSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// admin runs statements in a database as the superuser.
func admin(t *testing.T, database, statements string) {
	t.Helper()
	conn := connect(t, database)
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rows returns the first column of a query's result, as text.
func rows(t *testing.T, database, query string) []string {
	t.Helper()
	conn := connect(t, database)
	found, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return texts
}

// use writes and reads a record of an announced and of an unannounced kind.
func use(t *testing.T, s store.Store) {
	t.Helper()
	for _, kind := range []string{"client", "refresh"} {
		r := store.Record{Kind: kind, Key: "a", Owner: "o", Expires: time.Now().Add(-time.Minute), Data: []byte("{}")}
		for range 2 { // the second replaces the first, which is expired
			if _, err := s.Create(t.Context(), r); err != nil {
				t.Fatalf("Create: %v", err)
			}
		}
		if n, err := s.Sweep(t.Context(), kind, time.Now(), 0); n != 1 || err != nil {
			t.Fatalf("Sweep: %d, %v", n, err)
		}
		r.Expires = time.Time{}
		var err error
		if r.Revision, err = s.Create(t.Context(), r); err != nil {
			t.Fatalf("Create: %v", err)
		}
		if _, err := s.Replace(t.Context(), r); err != nil {
			t.Fatalf("Replace: %v", err)
		}
		if page, err := s.List(t.Context(), kind, store.Query{Owner: "o"}); len(page) != 1 || err != nil {
			t.Fatalf("List: %d records, %v", len(page), err)
		}
		if err := s.Delete(t.Context(), kind, "a", ""); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
}

func TestManyReplicasOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	const replicas = 12
	start := make(chan struct{})
	var opening sync.WaitGroup
	for range replicas {
		opening.Go(func() {
			<-start
			s, err := postgres.Open(t.Context(), c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	close(start)
	opening.Wait()
	if got := rows(t, c.Database, "SELECT version::text FROM dex_schema"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the versions are %q", got)
	}
}

const (
	foreign = `
CREATE TABLE client (id text NOT NULL PRIMARY KEY, secret text NOT NULL, redirect_uris bytea NOT NULL);
CREATE TABLE migrations (num integer NOT NULL, at timestamptz NOT NULL);
INSERT INTO client VALUES ('gate', 'secret', '["https://gate.example/callback"]');
INSERT INTO migrations SELECT n, '2024-01-01' FROM generate_series(1, 13) n;
`
	foreignRows  = "SELECT client::text || xmin FROM client UNION ALL SELECT migrations::text || xmin FROM migrations ORDER BY 1"
	foreignNames = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace" +
		" AND relname NOT LIKE 'dex!_%' ESCAPE '!' ORDER BY 1"
)

func TestOtherTablesAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	admin(t, c.Database, "SET ROLE "+c.User+";"+foreign)
	before := [][]string{rows(t, c.Database, foreignNames), rows(t, c.Database, foreignRows)}
	s := open(t, c)
	use(t, s)
	for i, query := range []string{foreignNames, foreignRows} {
		if got := rows(t, c.Database, query); len(got) == 0 || !slices.Equal(got, before[i]) {
			t.Errorf("got %q, before it was %q", got, before[i])
		}
	}
	if secret := ask(t, s, "SELECT secret FROM client WHERE id = $1", "gate"); string(secret.([]byte)) != "secret" {
		t.Errorf("read %q with Query", secret)
	}
}

func TestRoleThatMayOnlyUseTheTables(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	worker := c
	worker.User += "_worker"
	admin(t, c.Database, "CREATE ROLE "+worker.User+" LOGIN PASSWORD '"+worker.Password+"'")
	_, err := tryOpen(t, worker)
	if err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "dex_record") {
		t.Errorf("Open without tables: got error %v", err)
	}
	open(t, c)
	admin(t, c.Database, "GRANT SELECT ON dex_schema TO "+worker.User+
		"; GRANT SELECT, INSERT, UPDATE, DELETE ON dex_record TO "+worker.User)
	use(t, open(t, worker))
}

func TestUnknownTables(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"UPDATE dex_schema SET version = 2": "version 2",
		"DELETE FROM dex_schema":            "empty",
	} {
		c := newConfig(t)
		if err := open(t, c).Close(); err != nil {
			t.Fatal(err)
		}
		admin(t, c.Database, change)
		if _, err := tryOpen(t, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %s: got error %v", change, err)
		}
	}
}
