// Package sqlite keeps records in a SQLite database: a file of its own, or one with other tables in it, which it
// leaves alone. Several processes on one machine may share the file.
//
// One connection writes and a few others read; see writer for why. In WAL mode readers and the writer don't wait for
// each other.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	driver "modernc.org/sqlite"

	"dex/internal/store"
	"dex/internal/store/watch"
)

// Config says where the database is.
type Config struct {
	// File is the path of the database, a "file:" URI, or ":memory:". Empty means a private database that is gone when
	// the store is closed.
	File string `key:"file"`
}

// A Store is a store.Store in a SQLite database. Make one with Open.
type Store struct {
	location location
	log      *slog.Logger

	writerDB, readerDB *sql.DB
	writer             *writer
	read               *readStatements
	changes            watch.Hub
	file               presence
	closeOnce          sync.Once
	closeErr           error
}

var _ store.Store = (*Store)(nil)

// Open opens the database, and makes the file and its tables where they are missing.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	l, err := parseFile(config.File, log)
	if err != nil {
		return nil, fmt.Errorf("SQLite file: %w", err)
	}
	for deadline := time.Now().Add(l.busyTimeout); ; {
		s := &Store{location: l, log: log}
		err := s.open(ctx)
		if err == nil {
			if warning := l.readers(); warning != "" {
				log.WarnContext(ctx, warning)
			}
			go s.writer.loop(context.WithoutCancel(ctx))
			return s, nil
		}
		closeErr := s.closeDatabases()
		// While others open or close a new database too, SQLite has moments at which it does not wait for them.
		if !isBusy(err) || time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("open SQLite database %s: %w", l, err), closeErr)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(openPause):
		}
	}
}

// openPause is how long to wait before a database that others open too is tried again.
const openPause = 20 * time.Millisecond

func (s *Store) open(ctx context.Context) error {
	if err := s.location.create(); err != nil {
		return err
	}
	connector, err := driver.NewConnector(s.location.dsn())
	if err != nil {
		return err
	}
	s.writerDB, s.readerDB = sql.OpenDB(connector), sql.OpenDB(connector)
	s.writerDB.SetMaxOpenConns(1)
	// On two processors, four readers did no more reads a second than two, and each may hold 2 MiB of pages.
	readers := min(4, max(2, runtime.GOMAXPROCS(0)))
	s.readerDB.SetMaxOpenConns(readers)
	s.readerDB.SetMaxIdleConns(readers)
	if err := s.openWriter(ctx); err != nil {
		return err
	}
	if s.read, err = prepareReads(ctx, s.readerDB); err != nil {
		return err
	}
	return s.file.begin(s.location)
}

func (s *Store) openWriter(ctx context.Context) error {
	conn, err := s.writerDB.Conn(ctx)
	if err != nil {
		return err
	}
	s.writer = &writer{
		conn:     conn,
		do:       new(statements),
		changes:  &s.changes,
		file:     &s.file,
		patience: s.location.busyTimeout,
		log:      s.log,
		queue:    make(chan *write, maxBatch),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if err := s.checkJournal(ctx, conn); err != nil {
		return err
	}
	if err := migrate(ctx, conn); err != nil {
		return fmt.Errorf("make tables: %w", err)
	}
	if err := prepare(ctx, conn, s.writer.do.texts()); err != nil {
		return err
	}
	s.writer.dataVersion, err = readDataVersion(ctx, s.writer.do)
	return err
}

// checkJournal warns when the database has another journal than it was asked for, which SQLite does not call an error.
func (s *Store) checkJournal(ctx context.Context, conn *sql.Conn) error {
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fmt.Errorf("journal mode: %w", err)
	}
	if !strings.EqualFold(mode, s.location.journal) {
		s.log.Warn("SQLite could not set the journal mode of the database", "database", s.location.String(),
			"wanted", s.location.journal, "is", mode)
	}
	return nil
}

// Get is part of store.Store.
func (s *Store) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	// A read of one record is over in some microseconds. Database/sql and the driver would each start a goroutine to
	// look after the context meanwhile, which would cost half as much again.
	ctx = context.WithoutCancel(ctx)
	r := store.Record{Kind: kind, Key: key}
	if err := scan(s.read.get.QueryRowContext(ctx, []byte(kind), []byte(key), nowMillis()), &r); err != nil {
		return store.Record{}, s.readError(ctx, err)
	}
	return r, nil
}

// Create is part of store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (string, error) {
	return s.put(ctx, r, createRecord)
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	return s.put(ctx, r, replaceRecord)
}

// A put is createRecord or replaceRecord.
type put func(ctx context.Context, do *statements, r store.Record, revision, now int64) error

func (s *Store) put(ctx context.Context, r store.Record, put put) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	// The writer may come to it after the caller has left and changed its data. Not nil, which would be bound as NULL.
	r.Data = append([]byte{}, r.Data...)
	revision := newRevision()
	err := s.writer.submit(ctx, store.Change{Kind: r.Kind, Key: r.Key}, func(ctx context.Context, do *statements) error {
		return put(ctx, do, r, revision, nowMillis())
	})
	if err != nil {
		return "", err
	}
	return formatRevision(revision), nil
}

// CreateAll is part of store.Bulk.
func (s *Store) CreateAll(ctx context.Context, records []store.Record) error {
	return s.writer.submit(ctx, store.Change{}, func(ctx context.Context, do *statements) error {
		for _, r := range records {
			if r.Data == nil {
				r.Data = []byte{} // nil would be NULL
			}
			err := createRecord(ctx, do, r, newRevision(), nowMillis())
			if err != nil && !errors.Is(err, store.ErrExists) {
				return err
			}
		}
		return nil
	})
}

// Load is part of store.Loader. Owners are hashes, so each record changes another page of their index: to make the index
// once, at the end, takes less than half the time.
func (s *Store) Load(ctx context.Context, work func(context.Context) error) error {
	if err := s.schema(ctx, dropOwnerIndex); err != nil {
		return err
	}
	err := work(ctx)
	return errors.Join(err, s.makeOwnerIndex(context.WithoutCancel(ctx)))
}

// makeOwnerIndex sorts the owners in a file, as they are too many for the memory of a small container. Where no file can be
// made it sorts them in memory.
func (s *Store) makeOwnerIndex(ctx context.Context) error {
	err := s.schema(ctx, "PRAGMA temp_store = FILE; "+makeOwnerIndex+"; PRAGMA temp_store = MEMORY")
	if err != nil {
		err = s.schema(ctx, "PRAGMA temp_store = MEMORY; "+makeOwnerIndex)
	}
	return err
}

// schema changes the tables.
func (s *Store) schema(ctx context.Context, text string) error {
	return s.writer.submit(ctx, store.Change{}, func(ctx context.Context, _ *statements) error {
		_, err := s.writer.conn.ExecContext(ctx, text)
		return err
	})
}

// Delete is part of store.Store.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	return s.writer.submit(ctx, store.Change{Kind: kind, Key: key}, func(ctx context.Context, do *statements) error {
		return deleteRecord(ctx, do, kind, key, revision, nowMillis())
	})
}

// List is part of store.Store.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	stmt, args := s.read.list, []any{[]byte(kind), []byte(q.After), nowMillis(), store.PageLimit(q.Limit)}
	if q.Owner != "" {
		stmt = s.read.listOwner
		args = []any{[]byte(kind), []byte(q.Owner), []byte(q.After), nowMillis(), store.PageLimit(q.Limit)}
	}
	page, err := list(ctx, kind, stmt, args)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	return page, nil
}

func list(ctx context.Context, kind string, stmt *sql.Stmt, args []any) ([]store.Record, error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err has said it already
	var page []store.Record
	for rows.Next() {
		r := store.Record{Kind: kind}
		if err := scan(rows, &r, &r.Key); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	return page, rows.Err()
}

// Watch is part of store.Store.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	return s.changes.Subscribe(ctx)
}

// DB returns the database for reading the tables of others in it.
func (s *Store) DB() *sql.DB { return s.readerDB }

// Ping is part of store.Store.
func (s *Store) Ping(ctx context.Context) error {
	var version int
	if err := s.read.ping.QueryRowContext(ctx).Scan(&version); err != nil {
		return s.readError(ctx, err)
	}
	return s.file.look()
}

// Close is part of store.Store. Writes that wait are still done.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.writer.closing)
		<-s.writer.stopped
		s.changes.Close()
		s.closeErr = s.closeDatabases()
	})
	return s.closeErr
}

// closeDatabases closes what is open. The writer's connection goes last: the last connection to a database moves what
// is in the write-ahead log into the database, and removes the log.
func (s *Store) closeDatabases() error {
	var errs []error
	if s.readerDB != nil {
		errs = append(errs, s.readerDB.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.do.close(), s.writer.conn.Close())
	}
	if s.writerDB != nil {
		errs = append(errs, s.writerDB.Close())
	}
	return errors.Join(errs...)
}

// readError returns the error of a read as the caller should see it.
func (s *Store) readError(ctx context.Context, err error) error {
	select {
	case <-s.writer.closing:
		return store.ErrClosed
	default:
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.ErrNotFound
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("read: %w", err)
}

func nowMillis() int64 { return time.Now().UnixMilli() }
