package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"dex/internal/store"
	"dex/internal/store/sqlite"
	"dex/internal/store/storetest"
)

func open(t testing.TB, file string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{File: file}, slog.New(slog.DiscardHandler))
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
	for name, file := range map[string]func(t *testing.T) string{
		"File":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "dex.db") },
		"Memory": func(*testing.T) string { return ":memory:" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) store.Store { return open(t, file(t)) })
		})
	}
}

func TestShared(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"WAL", "DELETE"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
				file := filepath.Join(t.TempDir(), "dex.db") + "?_journal=" + journal
				return open(t, file), open(t, file)
			})
		})
	}
}
