package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver
)

// TestStrangersWriteNothing shows that beginning a login writes nothing to the database, however often it is done.
func TestStrangersWriteNothing(t *testing.T) {
	t.Parallel()
	const strangers = 10_000
	d := startDex(t, newConfiguration(t))
	before := d.stored(t)
	client := &http.Client{
		Transport:     d.transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	err := crowd(t.Context(), strangers, func(ctx context.Context, i int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet,
			d.authURL("/auth/local", url.Values{"nonce": {fmt.Sprint(i)}}), nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // only read from
		if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || !strings.Contains(to, "/auth/local/login?") {
			return fmt.Errorf("request %d: status %d to %q", i, resp.StatusCode, to)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// On a slow machine the server's own sweep may run meanwhile and leave a lease. A write for each stranger would take a page
	// of the log each.
	after := d.stored(t)
	if grown := after.bytes - before.bytes; after.rows != before.rows || after.revisions != before.revisions || grown > 100*strangers {
		t.Errorf("%d strangers changed the database to %d rows, %d bytes; before it had %d rows, %d bytes",
			strangers, after.rows, after.bytes, before.rows, before.bytes)
	}

	// Check the comparison itself: it must see a completed login.
	d.mustLogin(t, "mock")
	if completed := d.stored(t); completed.revisions == after.revisions {
		t.Error("a complete login left no trace: the comparison sees nothing")
	}
}

// A footprint is what the storage has written.
type footprint struct {
	rows      int
	revisions string // of all records except leases; a row that changes gets a new one
	bytes     int64  // of the file and its write-ahead log
}

// stored reads the server's database directly.
func (c *configuration) stored(t *testing.T) footprint {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+c.database+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read from
	var f footprint
	const count = "SELECT count(*), coalesce(group_concat(revision ORDER BY revision), '') FROM dex_record" +
		" WHERE kind <> CAST('lease' AS BLOB)"
	if err := db.QueryRowContext(t.Context(), count).Scan(&f.rows, &f.revisions); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{c.database, c.database + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		f.bytes += info.Size()
	}
	return f
}
