package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
)

// suffixes are those of the files of a database: itself, its write-ahead log, and the index into that, by which processes
// share it. A process that has a database open in WAL mode keeps all of them; other modes have the first alone.
var suffixes = []string{"", "-wal", "-shm"}

// A presence watches over the files of a database. Its connections go on with a file that was removed or replaced, and
// what they write is lost when the last of them ends.
type presence struct {
	opened []databaseFile // none for a database in memory
	lost   atomic.Pointer[error]
}

// A databaseFile is one as it was when the database was opened.
type databaseFile struct {
	path string
	info os.FileInfo
}

// begin remembers which files were opened.
func (p *presence) begin(l location) error {
	if l.inMemory() {
		return nil
	}
	for _, suffix := range suffixes {
		info, err := os.Stat(l.path + suffix)
		switch {
		case err == nil:
			p.opened = append(p.opened, databaseFile{l.path + suffix, info})
		case suffix == "" || !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// look finds out whether the files are still there.
func (p *presence) look() error {
	err := p.find()
	if err == nil {
		p.lost.Store(nil)
	} else {
		p.lost.Store(&err)
	}
	return err
}

func (p *presence) find() error {
	for _, f := range p.opened {
		now, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the database file %s was removed while it is in use; put it back, or restart Dex", f.path)
		case err != nil:
			return fmt.Errorf("the database file can't be examined: %w", err)
		case !os.SameFile(f.info, now):
			return fmt.Errorf("the database file %s was replaced by another while it is in use; restart Dex", f.path)
		}
	}
	return nil
}

// failure returns what the last look found.
func (p *presence) failure() error {
	if err := p.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// readers says that every user of the machine can read or write the file, and what to do about it; empty if that is not so.
func (l location) readers() string {
	const othersRead, othersWrite, othersEnter = 0o004, 0o002, 0o001
	if l.inMemory() {
		return ""
	}
	file, err := os.Stat(l.path)
	if err != nil || file.Mode().Perm()&(othersRead|othersWrite) == 0 {
		return ""
	}
	if dir, err := os.Stat(filepath.Dir(l.path)); err == nil && dir.Mode().Perm()&othersEnter == 0 {
		return "" // nobody else can reach it
	}
	return fmt.Sprintf("every user of this machine can read or write the SQLite database, which holds the signing keys: its mode is "+
		"%04o; run chmod 600 %s*", file.Mode().Perm(), l.path)
}

// WarnFiles returns what somebody should know about the files that the settings name, by key.
func (c *Config) WarnFiles() map[string]string {
	l, err := parseFile(c.File, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil // CheckFiles says so
	}
	return map[string]string{"file": l.readers()}
}
