package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/sqlite"
)

func openAt(t *testing.T, file string, log *slog.Logger) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{File: file}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// The server went on in the void when its file was removed or replaced, and lost everything at its end.
var _ = faulttest.Add("O8", func(t *testing.T) {
	for name, hurt := range map[string]func(path string) error{
		"removed":  os.Remove,
		"replaced": func(path string) error { return errorsOf(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dex.db")
			s := openAt(t, path, slog.New(slog.DiscardHandler))
			if _, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "a"}); err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			aside := path + ".aside"
			if err := os.Link(path, aside); err != nil {
				t.Fatal(err)
			}
			if err := hurt(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("Ping: %v, want that the file was %s", err, name)
			}
			if _, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "b"}); err == nil {
				t.Error("it writes into the void")
			}
			if err := os.Rename(aside, path); err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping with the file back: %v", err)
			}
			if _, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "b"}); err != nil {
				t.Errorf("Create with the file back: %v", err)
			}
		})
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		t.Run(suffix+" removed", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dex.db")
			s := openAt(t, path, slog.New(slog.DiscardHandler))
			if err := os.Remove(path + suffix); err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), path+suffix+" was removed") {
				t.Errorf("Ping: %v", err)
			}
		})
	}
	t.Run("without a Ping", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "dex.db")
		s := openAt(t, path, slog.New(slog.DiscardHandler))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if err := s.Delete(t.Context(), "client", "a", ""); err != nil && strings.Contains(err.Error(), "removed") {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the writer has not noticed")
			}
		}
	})
})

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Writes waited three times as long as they were told to for another process, and those behind them once more.
var _ = faulttest.Add("O9", func(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dex.db")
	s := openAt(t, path+"?_busy_timeout=300", slog.New(slog.DiscardHandler))
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	// The lock is let go only when all of them have ended.
	var writing sync.WaitGroup
	for i := range 20 {
		writing.Go(func() {
			_, err := s.Create(context.Background(), store.Record{Kind: "code", Key: string(rune('a' + i))})
			if err == nil || !strings.Contains(err.Error(), "try again") {
				t.Errorf("Create: %v, want that it be tried again", err)
			}
		})
	}
	writing.Wait()
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), store.Record{Kind: "code", Key: "a"}); err != nil {
		t.Errorf("Create without the lock: %v", err)
	}
})

// Nobody was told that every user of the machine could read the signing keys.
var _ = faulttest.Add("R25", func(t *testing.T) {
	for name, c := range map[string]struct {
		file, dir os.FileMode
		warns     bool
	}{
		"ours":                         {0, 0o755, false},
		"for the group":                {0o640, 0o755, false},
		"for everybody":                {0o644, 0o755, true},
		"in a folder that nobody sees": {0o644, 0o700, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "dex.db")
			if c.file != 0 {
				if err := errorsOf(os.WriteFile(path, nil, c.file), os.Chmod(path, c.file)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(dir, c.dir); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			openAt(t, path, slog.New(slog.NewTextHandler(&log, nil)))
			inCheck := (&sqlite.Config{File: path}).WarnFiles()["file"]
			for where, text := range map[string]string{"log": log.String(), "check": inCheck} {
				if got := strings.Contains(text, "chmod 600 "+path) && strings.Contains(text, "mode is 0644"); got != c.warns {
					t.Errorf("the %s says: %s", where, text)
				}
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.file == 0 && info.Mode().Perm() != 0o600 {
				t.Errorf("our file has mode %v", info.Mode())
			}
		})
	}
})
