package sqlite

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A location is where the database is and how to open it, as Config.File says.
type location struct {
	path        string // empty for a database in memory
	mustExist   bool
	journal     string
	busyTimeout time.Duration
	secure      string // the value for PRAGMA secure_delete; empty leaves SQLite's default
}

func (l location) inMemory() bool { return l.path == "" }

// String names the database in messages.
func (l location) String() string {
	if l.inMemory() {
		return "in memory"
	}
	return l.path
}

// parseFile reads what may stand in Config.File: a path, ":memory:", nothing, or a "file:" URI. Both a path and a URI
// may carry parameters, in the spelling of SQLite and of the driver that most files of this kind were written for
// (mattn/go-sqlite3). Those that don't matter here, or would make the storage less safe, are ignored.
func parseFile(file string, log *slog.Logger) (location, error) {
	name, query, _ := strings.Cut(file, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return location{}, fmt.Errorf("parameters: %w", err)
	}
	if uri, ok := strings.CutPrefix(name, "file:"); ok {
		if name, err = uriPath(uri); err != nil {
			return location{}, err
		}
	}
	l := location{journal: "WAL", busyTimeout: 5 * time.Second}
	if err := l.apply(params, log); err != nil {
		return location{}, err
	}
	if name == "" || name == ":memory:" || params.Get("mode") == "memory" || params.Get("vfs") == "memdb" {
		l.journal = "MEMORY"
		return l, nil
	}
	if l.path, err = filepath.Abs(name); err != nil {
		return location{}, fmt.Errorf("path: %w", err)
	}
	return l, nil
}

// uriPath returns the path of a "file:" URI without its scheme: "dex.db", "/dex.db", "///dex.db", "//localhost/dex.db".
func uriPath(uri string) (string, error) {
	uri, _, _ = strings.Cut(uri, "#")
	if rest, ok := strings.CutPrefix(uri, "//"); ok {
		host, path, _ := strings.Cut(rest, "/")
		if host != "" && host != "localhost" {
			return "", fmt.Errorf("the URI names the host %q; write file:/path or file:///path", host)
		}
		uri = "/" + path
	}
	path, err := url.PathUnescape(uri)
	if err != nil {
		return "", fmt.Errorf("URI: %w", err)
	}
	return path, nil
}

// apply takes over the parameters that mean something here.
func (l *location) apply(params url.Values, log *slog.Logger) error {
	for _, name := range sortedKeys(params) {
		value := params.Get(name)
		used, err := l.set(name, value)
		if err != nil {
			return fmt.Errorf("parameter %s=%s: %w", name, value, err)
		}
		if !used {
			log.Debug("parameter of the SQLite file is ignored", "parameter", name)
		}
	}
	return nil
}

func (l *location) set(name, value string) (used bool, err error) {
	switch name {
	case "_busy_timeout", "_timeout":
		ms, err := strconv.Atoi(value)
		if err != nil || ms < 0 {
			return false, errors.New("want milliseconds")
		}
		l.busyTimeout = time.Duration(ms) * time.Millisecond
		return true, nil
	case "_journal_mode", "_journal":
		// Some network file systems lack the shared memory that WAL needs. MEMORY and OFF would lose the database in
		// a crash, so they are ignored.
		mode := strings.ToUpper(value)
		if !slices.Contains([]string{"WAL", "DELETE", "TRUNCATE", "PERSIST"}, mode) {
			return false, nil
		}
		l.journal = mode
		return true, nil
	case "_secure_delete":
		mode := strings.ToUpper(value)
		if !slices.Contains([]string{"0", "1", "OFF", "ON", "FALSE", "TRUE", "NO", "YES", "FAST"}, mode) {
			return false, nil
		}
		l.secure = mode
		return true, nil
	case "mode":
		if value == "ro" {
			return false, errors.New("the storage has to be written to")
		}
		l.mustExist = value == "rw"
		return true, nil
	}
	return false, nil
}

func sortedKeys(params url.Values) []string {
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// create makes an empty file, readable by its owner only, if there is none. A file that exists is not opened:
// closing it would drop the locks that another connection of this process holds on it.
func (l location) create() error {
	if l.inMemory() {
		return nil
	}
	if err := l.check(); err != nil || l.mustExist {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// check looks whether the file is there, or could be.
func (l location) check() error {
	dir := filepath.Dir(l.path)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory %s does not exist", dir)
	case err != nil:
		return fmt.Errorf("directory of the database: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	if info, err := os.Stat(l.path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, and must be a file", l.path)
	} else if l.mustExist {
		return err
	}
	return nil
}

// CheckFiles returns what is wrong with the files that the settings name, by key. Nothing is written.
func (c *Config) CheckFiles() map[string]error {
	l, err := parseFile(c.File, slog.New(slog.DiscardHandler))
	if err == nil && !l.inMemory() {
		err = l.check()
	}
	return map[string]error{"file": err}
}

// dsn returns a name under which the driver opens connections to the database. For one in memory each name is another
// database.
func (l location) dsn() string {
	pragmas := []string{
		fmt.Sprintf("busy_timeout(%d)", l.busyTimeout.Milliseconds()), // first: the others may meet a lock
		fmt.Sprintf("journal_mode(%s)", l.journal),
		"synchronous(FULL)",
		"cache_size(-2048)", // KiB for each connection
		"temp_store(MEMORY)",
		"trusted_schema(OFF)",
	}
	if l.secure != "" {
		pragmas = append(pragmas, fmt.Sprintf("secure_delete(%s)", l.secure))
	}
	query := url.Values{"_pragma": pragmas}
	path := l.path
	if l.inMemory() {
		// The memdb VFS shares a database between connections that name it by the same absolute path. Unlike
		// cache=shared, a connection that meets a lock waits for the busy timeout.
		path = "/dex-" + rand.Text()
		query.Set("vfs", "memdb")
	}
	uri := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	return uri.String()
}
