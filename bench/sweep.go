package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"dex/internal/store"
	"dex/internal/store/sqlite"
)

const (
	sweepName = "sweep"
	// sweepPage is the server's.
	sweepPage = 500
	// lookEvery is how many records are handled between two looks at the memory.
	lookEvery = 1000
)

// A session is as large as one of the server's.
type session struct {
	ID     string    `json:"id"`
	User   string    `json:"user"`
	Ends   time.Time `json:"ends"`
	Filler string    `json:"filler"`
}

var sessions = store.Declare(store.Declaration[session]{
	Name: "benchsession", Quiet: true, OwnSweep: true,
	Owner:   func(s *session) string { return s.User },
	Expires: func(s *session) time.Time { return s.Ends },
})

// insertSessions creates as many expired sessions as it is told, a millisecond apart, and a tenth as many that live on.
const insertSessions = `
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[1]d)
INSERT INTO dex_record (kind, key, owner, expires, revision, data)
	SELECT CAST('benchsession' AS BLOB), CAST('session-' || i AS BLOB), CAST('user-' || (i %% 1000) AS BLOB),
		iif(i <= %[2]d, 1000000000000, 9000000000000) + i, i, CAST(json_object('id', 'session-' || i, 'user', 'user-' || (i %% 1000),
		'ends', '2001-09-09T01:46:40Z', 'filler', printf('%%.600c', 'x')) AS BLOB) FROM n;
`

// measureSweep prints what it takes to handle and remove expired sessions on SQLite: time, and the memory of this process.
func measureSweep(ctx context.Context, out io.Writer, number int) (err error) {
	dir, err := os.MkdirTemp("", "dex-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "dex.db")
	s, err := sqlite.Open(ctx, sqlite.Config{File: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := fillSessions(ctx, file, number); err != nil {
		return err
	}
	runtime.GC()
	before, err := residentBytes(os.Getpid())
	if err != nil {
		return err
	}
	cpuBefore, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	began, handled, highest := time.Now(), 0, before
	removed, err := store.Reap(ctx, store.In(s, sessions), began, sweepPage, func(context.Context, store.Entry[session]) error {
		if handled++; handled%lookEvery != 0 {
			return nil
		}
		resident, err := residentBytes(os.Getpid())
		highest = max(highest, resident)
		return err
	})
	took := time.Since(began)
	if err == nil && (removed != number || handled != number) {
		err = fmt.Errorf("%d of %d records were removed, and %d handled", removed, number, handled)
	}
	if err != nil {
		return err
	}
	cpu, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	runtime.GC()
	after, err := residentBytes(os.Getpid())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%d expired sessions on SQLite handled and removed in %.1f s with %.1f s of CPU, memory %s MiB before, %s highest, %s after\n",
		removed, took.Seconds(), (cpu - cpuBefore).Seconds(), mebibytes(before), mebibytes(highest), mebibytes(after))
	return err
}

func fillSessions(ctx context.Context, file string, number int) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(insertSessions, number+number/10, number))
	return errors.Join(err, db.Close())
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }
