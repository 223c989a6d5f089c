package sqlite

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
)

func TestParseFile(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defaults := location{journal: "WAL", busyTimeout: 5 * time.Second}
	at := func(path string, change ...func(*location)) location {
		l := defaults
		l.path = path
		for _, c := range change {
			c(&l)
		}
		return l
	}
	inMemory := location{journal: "MEMORY", busyTimeout: 5 * time.Second}
	for file, want := range map[string]location{
		"":                                  inMemory,
		":memory:":                          inMemory,
		":memory:?_fk=1":                    inMemory,
		"file::memory:":                     inMemory,
		"file::memory:?cache=shared":        inMemory,
		"file:dex?mode=memory&cache=shared": inMemory,
		"file:/dex?vfs=memdb":               inMemory,

		"dex.db":                         at(here + "/dex.db"),
		"./dex.db":                       at(here + "/dex.db"),
		"/var/dex/dex.db":                at("/var/dex/dex.db"),
		"/var/dex/100%25 #1.db":          at("/var/dex/100%25 #1.db"),
		"file:dex.db":                    at(here + "/dex.db"),
		"file:/var/dex/dex.db":           at("/var/dex/dex.db"),
		"file:///var/dex/dex.db":         at("/var/dex/dex.db"),
		"file://localhost/var/dex.db":    at("/var/dex.db"),
		"file:/var/100%25%20%231%3f":     at("/var/100% #1?"),
		"file:/var/dex.db#fragment":      at("/var/dex.db"),
		"/dex.db?cache=shared&_fk=on":    at("/dex.db"),
		"/dex.db?_journal_mode=wal":      at("/dex.db"),
		"/dex.db?_journal_mode=OFF":      at("/dex.db"),
		"/dex.db?_journal=MEMORY":        at("/dex.db"),
		"/dex.db?_synchronous=OFF":       at("/dex.db"),
		"/dex.db?_pragma=synchronous(0)": at("/dex.db"),
		"/dex.db?_secure_delete=bogus":   at("/dex.db"),
		"/dex.db?nolock=1&immutable=1&_locking_mode=EXCLUSIVE&_mutex=no&_loc=auto": at("/dex.db"),

		"/dex.db?_journal_mode=delete":      at("/dex.db", func(l *location) { l.journal = "DELETE" }),
		"file:/dex.db?_journal=TRUNCATE":    at("/dex.db", func(l *location) { l.journal = "TRUNCATE" }),
		"file:/dex.db?_busy_timeout=250":    at("/dex.db", func(l *location) { l.busyTimeout = 250 * time.Millisecond }),
		"/dex.db?_timeout=0":                at("/dex.db", func(l *location) { l.busyTimeout = 0 }),
		"/dex.db?_secure_delete=fast":       at("/dex.db", func(l *location) { l.secure = "FAST" }),
		"file:/dex.db?mode=rwc&_txlock=zzz": at("/dex.db"),
		"file:/dex.db?mode=rw":              at("/dex.db", func(l *location) { l.mustExist = true }),
	} {
		got, err := parseFile(file, slog.New(slog.DiscardHandler))
		if err != nil || got != want {
			t.Errorf("%q: got %+v and error %v, want %+v", file, got, err, want)
		}
	}
}

func TestParseFileRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"file://server/share/dex.db":  `host "server"`,
		"file:/dex.db?mode=ro":        "written",
		"file:/dex%zz.db":             "zz",
		"/dex.db?_busy_timeout=5s":    "milliseconds",
		"/dex.db?_busy_timeout=-1":    "milliseconds",
		"/dex.db?_journal=wal&%zz=zz": "parameters",
	} {
		_, err := parseFile(file, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one with %q", file, err, want)
		}
	}
}

func TestIgnoredParametersAreLoggedWithoutTheirValues(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if _, err := parseFile("/dex.db?_fk=1&_auth_pass=secret&_journal=WAL", log); err != nil {
		t.Fatalf("parseFile: %v", err)
	}
	text := out.String()
	for _, name := range []string{"_fk", "_auth_pass"} {
		if !strings.Contains(text, "parameter="+name) {
			t.Errorf("%s is not in the log:\n%s", name, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "_journal") {
		t.Errorf("the log tells too much:\n%s", text)
	}
}

func TestFileIsPrivateAndLeftAloneOnceThere(t *testing.T) {
	dir := t.TempDir()
	mode := func(file string) os.FileMode {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	fresh, old := filepath.Join(dir, "fresh.db"), filepath.Join(dir, "old.db")
	openFile(t, fresh)
	if got := mode(fresh); got != 0o600 {
		t.Errorf("mode of a new database: %v", got)
	}
	if got := mode(fresh + "-wal"); got != 0o600 {
		t.Errorf("mode of its log: %v", got)
	}
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(old, 0o640); err != nil {
		t.Fatal(err)
	}
	openFile(t, old)
	if got := mode(old); got != 0o640 {
		t.Errorf("mode of a database that was there: %v", got)
	}
}

func TestFileNamesWithOddCharacters(t *testing.T) {
	for _, name := range []string{"a b.db", "100%41.db", "#1.db", "ü.db", "a&b=c;d.db"} {
		file := filepath.Join(t.TempDir(), name)
		openFile(t, file)
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "missing", "dex.db"): "the directory " + filepath.Join(dir, "missing") + " does not exist",
		filepath.Join(garbage, "dex.db"):        garbage,
		garbage:                                 "not a database",
		dir:                                     dir,
		"file:" + filepath.Join(dir, "x") + "?mode=rw": "no such file",
		"file:/dex.db?mode=ro":                         "mode=ro",
	} {
		s, err := Open(t.Context(), Config{File: file}, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one with %q", file, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); err == nil {
		t.Error("the missing directory was made")
	}
}

func TestStoresInMemoryAreApart(t *testing.T) {
	for _, file := range []string{"", ":memory:", "file::memory:?cache=shared"} {
		a, b := openFile(t, file), openFile(t, file)
		if err := creation(t.Context(), a, "a")(); err != nil {
			t.Errorf("%q: %v", file, err)
		}
		if page, err := b.List(t.Context(), "k", store.Query{}); err != nil || len(page) != 0 {
			t.Errorf("%q: the other store has %d records, error %v", file, len(page), err)
		}
	}
}
