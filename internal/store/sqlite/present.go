package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
)

// A presence watches over the file of a database. Its connections go on with a file that was removed or replaced, and
// what they write is gone with the last of them.
type presence struct {
	path   string      // empty for a database in memory
	opened os.FileInfo // of the file that is open
	lost   atomic.Pointer[error]
}

// begin remembers which file was opened.
func (p *presence) begin(l location) (err error) {
	if p.path = l.path; p.path != "" {
		p.opened, err = os.Stat(p.path)
	}
	return err
}

// look finds out whether the file is still there.
func (p *presence) look() error {
	if p.path == "" {
		return nil
	}
	err := p.find()
	if err == nil {
		p.lost.Store(nil)
	} else {
		p.lost.Store(&err)
	}
	return err
}

func (p *presence) find() error {
	now, err := os.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the database %s was removed while it is in use; put it back, or restart Dex", p.path)
	case err != nil:
		return fmt.Errorf("the database can't be looked at: %w", err)
	case !os.SameFile(p.opened, now):
		return fmt.Errorf("the database %s was replaced by another file while it is in use; restart Dex", p.path)
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

// warnOfReaders warns of a file that every user of the machine can read: it holds the signing keys.
func (l location) warnOfReaders(ctx context.Context, log *slog.Logger) {
	const othersRead, othersWrite, othersEnter = 0o004, 0o002, 0o001
	if l.inMemory() {
		return
	}
	file, err := os.Stat(l.path)
	if err != nil || file.Mode().Perm()&(othersRead|othersWrite) == 0 {
		return
	}
	if dir, err := os.Stat(filepath.Dir(l.path)); err == nil && dir.Mode().Perm()&othersEnter == 0 {
		return // nobody else comes to it
	}
	log.WarnContext(ctx, "every user of this machine can read or write the SQLite database, which holds the signing keys",
		"database", l.path, "mode", fmt.Sprintf("%04o", file.Mode().Perm()), "cure", "chmod 600 "+l.path+"*")
}
