package e2e

import (
	"database/sql"
	"encoding/json"
	"net/url"
	"testing"
	"time"
)

// TestSessionsAndTheirKeys shows that sessions outlive the keys that cookies are sealed with being renewed, and that without those
// keys their cookies are worth nothing.
func TestSessionsAndTheirKeys(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent().with("sessions", section{"absoluteLifetime": "720h", "validIfNotUsedFor": "720h"})
	d := startDex(t, c)
	v := newVisitor(d.transport)
	signedIn := func(want bool) {
		t.Helper()
		p, err := v.get(t.Context(), d.authURL("/auth", url.Values{"prompt": {"none"}}))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.answer.Get("code") != ""; got != want {
			t.Errorf("signed in %t, want %t: status %d, %v", got, want, p.status, p.answer)
		}
	}
	restart := func(statement string, args ...any) {
		t.Helper()
		d.stop(t)
		changeRecords(t, c, statement, args...)
		d = startDex(t, c)
		v.http.Transport = d.transport
	}
	signIn := func() {
		t.Helper()
		if _, err := v.signIn(t.Context(), d.authURL("/auth/local", url.Values{"prompt": {"login"}})); err != nil {
			t.Fatal(err)
		}
		signedIn(true)
	}
	signIn()

	old := sealingKeys(t, c)
	for i := range old {
		old[i]["created"] = time.Now().Add(-8 * 24 * time.Hour)
	}
	aged, err := json.Marshal(map[string]any{"keys": old})
	if err != nil {
		t.Fatal(err)
	}
	restart("UPDATE dex_record SET data = ? WHERE kind = CAST('seal' AS BLOB)", aged)
	if now := sealingKeys(t, c); len(now) != len(old)+1 {
		t.Fatalf("there are %d keys, want a new one beside %d", len(now), len(old))
	}
	signedIn(true)
	signIn()
	signedIn(true)

	restart("DELETE FROM dex_record WHERE kind = CAST('seal' AS BLOB)")
	signedIn(false)
	signIn()
}

// changeRecords changes the storage of a server that doesn't run.
func changeRecords(t *testing.T, c *configuration, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", c.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is left to write
	if done, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	} else if n, err := done.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d records have changed, want 1 (%v)", n, err)
	}
}

// sealingKeys returns the stored keys with which cookies are sealed.
func sealingKeys(t *testing.T, c *configuration) []map[string]any {
	t.Helper()
	db, err := sql.Open("sqlite", c.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read from
	var data []byte
	if err := db.QueryRowContext(t.Context(), "SELECT data FROM dex_record WHERE kind = CAST('seal' AS BLOB)").Scan(&data); err != nil {
		t.Fatal(err)
	}
	var ring struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(data, &ring); err != nil {
		t.Fatal(err)
	}
	return ring.Keys
}
