package takeover_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx

	"dex/internal/store/memory"
	"dex/internal/store/mysql"
	"dex/internal/store/postgres"
	"dex/internal/store/sqlite"
	"dex/internal/takeover"
	"dex/test/upstream"
)

func TestSQLite(t *testing.T) {
	for _, l := range upstream.Layouts {
		t.Run(l.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dex.db")
			if err := upstream.SQLite(t.Context(), path, l); err != nil {
				t.Fatal(err)
			}
			s, err := sqlite.Open(t.Context(), sqlite.Config{File: path}, discard)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			takeOver(t, place{store: s, layout: l, source: takeover.SQLite(s.DB()), dump: func(t *testing.T) string {
				return dumpTables(t, s.DB(), `"`, "SELECT name FROM sqlite_master WHERE type = 'table'")
			}})
		})
	}
}

// openPostgres returns a store, and its database for other tables.
func openPostgres(t *testing.T) (*postgres.Store, *sql.DB) {
	t.Helper()
	db, err := postgresServer(t).NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(t.Context(), postgres.Config{
		Host: db.Host, Port: uint16(db.Port), Database: db.Name, User: db.User, Password: db.Password,
		SSL: postgres.SSL{Mode: "disable"},
	}, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	other, err := sql.Open("pgx", fmt.Sprintf("host=%s port=%d dbname=%s user=%s password=%s sslmode=disable",
		db.Host, db.Port, db.Name, db.User, db.Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return s, other
}

func TestPostgreSQL(t *testing.T) {
	for _, l := range upstream.Layouts {
		t.Run(l.String(), func(t *testing.T) {
			s, db := openPostgres(t)
			if err := upstream.PostgreSQL(t.Context(), db, l); err != nil {
				t.Fatal(err)
			}
			takeOver(t, place{store: s, layout: l, source: takeover.PostgreSQL(s.Query), dump: func(t *testing.T) string {
				return dumpTables(t, db, `"`, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
			}})
		})
	}
}

func openMySQL(t *testing.T) *mysql.Store {
	t.Helper()
	db, err := mariadbServer(t).NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := mysql.Open(t.Context(), mysql.Config{
		Host: db.Host, Port: uint16(db.Port), Database: db.Name, User: db.User, Password: db.Password,
		SSL: mysql.SSL{Mode: "false"},
	}, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestMySQL(t *testing.T) {
	for _, l := range upstream.Layouts {
		t.Run(l.String(), func(t *testing.T) {
			s := openMySQL(t)
			if err := upstream.MySQL(t.Context(), s.DB(), l); err != nil {
				t.Fatal(err)
			}
			takeOver(t, place{store: s, layout: l, source: takeover.MySQL(s.DB()), dump: func(t *testing.T) string {
				return dumpTables(t, s.DB(), "`", "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
			}})
		})
	}
}

// dumpTables returns the content of all tables that are not ours.
func dumpTables(t *testing.T, db *sql.DB, quote, names string) string {
	t.Helper()
	var out strings.Builder
	for _, table := range query(t, db, names+" ORDER BY 1") {
		if strings.HasPrefix(table, "dex_") {
			continue
		}
		fmt.Fprintln(&out, table)
		for _, row := range query(t, db, "SELECT * FROM "+quote+table+quote+" ORDER BY 1, 2") {
			fmt.Fprintln(&out, row)
		}
	}
	return out.String()
}

// query returns a query's rows, each as one text.
func query(t *testing.T, db *sql.DB, text string) (found []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, v := range values {
			if v.Valid {
				texts = append(texts, v.String)
				continue
			}
			texts = append(texts, "NULL")
		}
		found = append(found, strings.Join(texts, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func exec(t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, text string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// readAll returns how many offline sessions and refresh tokens a source has, each counted once.
func readAll(t *testing.T, src takeover.Source) (sessions, tokens int) {
	t.Helper()
	if _, err := src.Layout(t.Context()); err != nil {
		t.Fatal(err)
	}
	users, ids := map[string]bool{}, map[string]bool{}
	err := src.OfflineSessions(t.Context(), "", func(i takeover.Item[takeover.OfflineSession]) error {
		users[i.Value.UserID+"|"+i.Value.ConnectorID] = true
		return i.Err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = src.RefreshTokens(t.Context(), "", func(i takeover.Item[takeover.RefreshToken]) error {
		ids[i.Value.ID] = true
		return i.Err
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(users), len(ids)
}

// many is a number of rows that takes several pages.
const many = 1500

// A collation with an order other than that of the bytes leaves nothing out between two pages.
func TestPagesOfPostgreSQL(t *testing.T) {
	s, db := openPostgres(t)
	if err := upstream.PostgreSQL(t.Context(), db, upstream.Release); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `DELETE FROM offline_session`)
	exec(t, db, `DELETE FROM refresh_token`)
	exec(t, db, `ALTER TABLE offline_session ALTER user_id TYPE text COLLATE "en-x-icu", ALTER conn_id TYPE text COLLATE "en-x-icu"`)
	exec(t, db, `ALTER TABLE refresh_token ALTER id TYPE text COLLATE "en-x-icu"`)
	exec(t, db, `INSERT INTO offline_session SELECT CASE i % 3 WHEN 0 THEN 'user-' WHEN 1 THEN 'USER ' ELSE 'Üser' END || (i / 9),
		CASE i % 2 WHEN 0 THEN 'ldap' ELSE 'LDAP' END || (i / 3 % 3), '{}' FROM generate_series(1, $1::int) AS i`, many)
	exec(t, db, `INSERT INTO refresh_token (id, client_id, scopes, nonce, claims_user_id, claims_username, claims_email,
		claims_email_verified, claims_groups, connector_id)
		SELECT CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'A' ELSE 'á' END || (i / 3), '', '[]', '', '', '', '', true, '[]', ''
		FROM generate_series(1, $1::int) AS i`, many)
	wantSessions := len(query(t, db, "SELECT * FROM offline_session"))
	if sessions, tokens := readAll(t, takeover.PostgreSQL(s.Query)); sessions != wantSessions || tokens != many {
		t.Errorf("%d offline sessions and %d refresh tokens, want %d and %d", sessions, tokens, wantSessions, many)
	}
}

// Keys that the tables' collation takes for equal are on different pages.
func TestPagesOfMySQL(t *testing.T) {
	s := openMySQL(t)
	db := s.DB()
	if err := upstream.MySQL(t.Context(), db, upstream.Release); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `DELETE FROM offline_session`)
	exec(t, db, `DELETE FROM refresh_token`)
	for i := range many {
		user := []string{"user", "USER", "Üser"}[i%3]
		if i < many/2 {
			user += fmt.Sprint(i / 7)
		}
		exec(t, db, "INSERT INTO offline_session (user_id, conn_id, refresh) VALUES (?, ?, ?)", user, fmt.Sprintf("conn %d", i), "{}")
		exec(t, db, `INSERT INTO refresh_token (id, client_id, scopes, nonce, claims_user_id, claims_username, claims_email,
			claims_email_verified, claims_groups, connector_id) VALUES (?, '', '[]', '', '', '', '', true, '[]', '')`,
			[]string{"id", "ID", "ïd"}[i%3]+fmt.Sprint(i))
	}
	if sessions, tokens := readAll(t, takeover.MySQL(db)); sessions != many || tokens != many {
		t.Errorf("%d offline sessions and %d refresh tokens, want %d of each", sessions, tokens, many)
	}
}

// Old servers accepted invalid dates, and upstream has its own date for none.
func TestZeroDatesOfMySQL(t *testing.T) {
	s := openMySQL(t)
	if err := upstream.MySQL(t.Context(), s.DB(), upstream.Release); err != nil {
		t.Fatal(err)
	}
	conn, err := s.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "SET SESSION sql_mode = ''")
	exec(t, conn, "UPDATE refresh_token SET created_at = '0000-00-00 00:00:00', last_used = '1000-01-01 00:00:00'")
	exec(t, conn, "UPDATE `keys` SET next_rotation = '0000-00-00 00:00:00'")
	_ = conn.Close()
	src := takeover.MySQL(s.DB())
	if _, err := src.Layout(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = src.RefreshTokens(t.Context(), "", func(i takeover.Item[takeover.RefreshToken]) error {
		seen++
		if !i.Value.CreatedAt.IsZero() || !i.Value.LastUsed.IsZero() {
			t.Errorf("created %v and last used %v, want zero", i.Value.CreatedAt, i.Value.LastUsed)
		}
		return i.Err
	})
	if err != nil || seen != len(upstream.RefreshTokenIDs) {
		t.Errorf("%d refresh tokens, %v", seen, err)
	}
	if k, err := src.Keys(t.Context()); err != nil || !k.RotateAt.IsZero() {
		t.Errorf("rotation at %v, %v, want zero", k.RotateAt, err)
	}
}

// Upstream's tables are the ones that it would find itself.
func TestSearchPathOfPostgreSQL(t *testing.T) {
	s, db := openPostgres(t)
	exec(t, db, "CREATE SCHEMA elsewhere")
	for _, table := range []string{"client", "auth_request", "refresh_token"} {
		exec(t, db, "CREATE TABLE elsewhere."+table+" (id text)")
	}
	if layout, err := takeover.PostgreSQL(s.Query).Layout(t.Context()); err != nil || layout != "" {
		t.Errorf("Layout: %q, %v, want none: the tables are in a schema that is not searched", layout, err)
	}
}

// Each start looks for upstream's data.
func TestNothingOfUpstreams(t *testing.T) {
	postgres, _ := openPostgres(t)
	for name, src := range map[string]takeover.Source{
		"PostgreSQL": takeover.PostgreSQL(postgres.Query), "MySQL": takeover.MySQL(openMySQL(t).DB()),
	} {
		s := memory.New()
		if err := takeover.Run(t.Context(), src, target(s), discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := keys(t, s, "takeover"); got != nil {
			t.Errorf("%s: markers %q, want none", name, got)
		}
	}
}
