package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/storetest"
)

// hasOwnerIndex looks into the file by itself.
func hasOwnerIndex(t *testing.T, file string) (found bool) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const text = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'dex_record_owner')"
	if err := db.QueryRowContext(t.Context(), text).Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

// The index of the owners costs more than half of the time of an import, so it is made at the end, however the import ends.
var _ = faulttest.Add("O2", func(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	s := store.WatchWrites(open(t, file)) // as the server wraps it
	cutOff := errors.New("cut off")
	err := store.Load(t.Context(), s, func(ctx context.Context) error {
		if hasOwnerIndex(t, file) {
			t.Error("the index of the owners is kept while records are loaded")
		}
		records := []store.Record{{Kind: storetest.Quiet.Name(), Key: "a", Owner: "jane", Data: []byte("{}")}, {Kind: storetest.Quiet.Name(), Key: "b", Data: []byte("{}")}}
		if err := store.CreateAll(ctx, s, records); err != nil {
			t.Error(err)
		}
		if page, err := s.List(ctx, storetest.Quiet.Name(), store.Query{Owner: "jane"}); err != nil || len(page) != 1 {
			t.Errorf("List by owner while records are loaded: %d records, error %v", len(page), err)
		}
		return cutOff
	})
	if !errors.Is(err, cutOff) {
		t.Errorf("Load: got error %v, want that of the work", err)
	}
	if !hasOwnerIndex(t, file) {
		t.Error("the index of the owners is missing after the load")
	}
	if page, err := s.List(t.Context(), storetest.Quiet.Name(), store.Query{Owner: "jane"}); err != nil || len(page) != 1 {
		t.Errorf("List by owner after the load: %d records, error %v", len(page), err)
	}
})

// A server that was killed while it imported makes the index at its next start.
var _ = faulttest.Add("O2", func(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	open(t, file)
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "DROP INDEX dex_record_owner"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, file)
	if !hasOwnerIndex(t, file) {
		t.Error("the index of the owners is still missing")
	}
})
