package takeover_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	_ "modernc.org/sqlite"

	"dex/internal/takeover"
)

// Ids of the keys in the databases.
const (
	signingKeyID  = "signs"
	retiredKeyID  = "retired"
	expiredKeyID  = "expired"
	keyRotationAt = "2031-08-06T10:00:00.123456789Z"
)

var (
	signingKey = sync.OnceValue(func() jose.JSONWebKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return jose.JSONWebKey{Key: k, KeyID: signingKeyID, Algorithm: "RS256", Use: "sig"}
	})
	retiredKey = sync.OnceValue(func() jose.JSONWebKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return jose.JSONWebKey{Key: k.Public(), KeyID: retiredKeyID, Algorithm: "ES256", Use: "sig"}
	})
	retiredUntil = time.Now().Add(time.Hour).UTC().Truncate(time.Second)
)

// newDatabase makes a database of a text in testdata and returns its path.
func newDatabase(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	expired := retiredKey()
	expired.KeyID = expiredKeyID
	type verification struct {
		PublicKey jose.JSONWebKey `json:"publicKey"`
		Expiry    time.Time       `json:"expiry"`
	}
	filled := strings.NewReplacer(
		"{{signing_key}}", toJSON(t, signingKey()),
		"{{verification_keys}}", toJSON(t, []verification{
			{retiredKey(), retiredUntil}, {expired, time.Now().Add(-time.Second)},
		}),
	).Replace(string(text))
	path := filepath.Join(t.TempDir(), "dex.db")
	exec(t, path, filled)
	return path
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func openDatabase(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t testing.TB, path, text string, args ...any) {
	t.Helper()
	if _, err := openDatabase(t, path).ExecContext(context.Background(), text, args...); err != nil {
		t.Fatal(err)
	}
}

// source returns a reader of a database whose layout has been looked up.
func source(t testing.TB, path, layout string) takeover.Source {
	t.Helper()
	src := takeover.SQLite(openDatabase(t, path))
	if got, err := src.Layout(t.Context()); err != nil || got != layout {
		t.Fatalf("Layout: %q, %v, want %q", got, err, layout)
	}
	return src
}

// dump returns everything in the tables that are not ours, with the types of the values.
func dump(t testing.TB, path string) string {
	t.Helper()
	db := openDatabase(t, path)
	var out strings.Builder
	for _, table := range column(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'dex~_%' ESCAPE '~' ORDER BY name`) {
		fmt.Fprintln(&out, table, column(t, db, "SELECT sql FROM sqlite_master WHERE name = '"+table+"'"))
		var fields []string
		for _, c := range column(t, db, "SELECT name FROM pragma_table_info('"+table+"')") {
			fields = append(fields, fmt.Sprintf(`quote("%s")`, c))
		}
		for _, r := range column(t, db, "SELECT "+strings.Join(fields, " || ',' || ")+` FROM "`+table+`" ORDER BY rowid`) {
			fmt.Fprintln(&out, r)
		}
	}
	return out.String()
}

func column(t testing.TB, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// readable returns the entities that can be read, and the keys of the others.
func readable[T any](
	t testing.TB, read func(context.Context, string, func(takeover.Item[T]) error) error,
) (values []T, unreadable []string) {
	t.Helper()
	err := read(t.Context(), "", func(i takeover.Item[T]) error {
		if i.Err == nil {
			values = append(values, i.Value)
		} else {
			unreadable = append(unreadable, i.Key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values, unreadable
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return v.UTC()
}
