// Package postgres keeps records in a PostgreSQL database, which may hold other tables too: those are left alone. Any
// number of processes may share it.
//
// Every operation is one statement and so one round trip, committed by itself at READ COMMITTED. There PostgreSQL makes
// a statement that meets another's change of the row wait for it and look again, so that races have a winner and losers
// but no failures.
//
// A pooler such as PgBouncer may stand between, also one that gives each transaction another connection: prepared
// statements are abandoned when they turn out not to work, and changes are polled where no notifications come.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"dex/internal/store"
	"dex/internal/store/watch"
)

const (
	// operationTimeout bounds an operation, waiting for a connection included.
	operationTimeout = 10 * time.Second
	// migrateTimeout bounds the making of tables, waiting for another replica that does it included.
	migrateTimeout = 30 * time.Second
)

// A Store is a store.Store in a PostgreSQL database. Make one with Open.
type Store struct {
	place   place
	pool    *pgxpool.Pool
	log     *slog.Logger
	changes watch.Hub
	others  follower      // learns of their changes
	closing chan struct{} // closed by Close

	notifies   bool        // others can be told of changes
	unprepared atomic.Bool // prepared statements don't work, as a pooler is between

	mu sync.Mutex
	db *sql.DB // nil until it is asked for

	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open connects to the database and makes the tables where they are missing. It tries once. An error says which server
// and database it is about.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	c, err := config.pool()
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	s := &Store{place: placeOf(c.ConnConfig), closing: make(chan struct{})}
	s.log = log.With("database", s.place.String())
	if err := begin(ctx, c.ConnConfig); err != nil {
		return nil, fmt.Errorf("open %s as %q: %w", s.place, s.place.user, explain(err))
	}
	c.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		if s.unprepared.Load() {
			config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		}
		return nil
	}
	s.limitIdle(c, config.MaxIdleConns)
	if s.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.place, err)
	}
	s.follow(ctx, c.ConnConfig)
	return s, nil
}

// begin connects for the first time and makes the tables. It does not use the pool, whose connections are made in the
// background, whether the caller still waits or not.
func begin(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, plainly(config))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	err = migrate(ctx, conn)
	for attempt := 1; attempt < maxAttempts && retriable(err, writing); attempt++ {
		pause(ctx, attempt)
		err = migrate(ctx, conn)
	}
	return errors.Join(err, conn.Close(ctx))
}

// plainly returns a configuration of connections that prepare nothing, which works through every pooler.
func plainly(config *pgx.ConnConfig) *pgx.ConnConfig {
	config = config.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	return config
}

// prepareSession makes a new connection independent of the isolation level that the database or the role is set to.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	const text = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
	return conn.PgConn().Exec(ctx, text).Close()
}

// limitIdle makes the pool drop connections that nobody needs, if it is set to keep fewer than it may open.
func (s *Store) limitIdle(c *pgxpool.Config, limit int) {
	if limit == 0 || int64(limit) >= int64(c.MaxConns) {
		return
	}
	c.AfterRelease = func(*pgx.Conn) bool { return int(s.pool.Stat().IdleConns()) < limit }
}

// Get is part of store.Store.
func (s *Store) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r := store.Record{Kind: kind, Key: key}
	err := s.do(ctx, reading, func(ctx context.Context) error {
		err := scan(s.pool.QueryRow(ctx, getText, []byte(kind), []byte(key), nowMillis()), &r)
		if errors.Is(err, pgx.ErrNoRows) {
			return store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Create is part of store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (string, error) {
	return s.put(ctx, r, func(ctx context.Context, args []any) error {
		wrote, err := s.write(ctx, createWrite, r.Kind, r.Key, args...)
		if err == nil && !wrote {
			return store.ErrExists
		}
		return err
	})
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	return s.put(ctx, r, func(ctx context.Context, args []any) error {
		wrote, err := s.write(ctx, replaceWrite, r.Kind, r.Key, append(args, parseRevision(r.Revision))...)
		if err == nil && !wrote {
			return s.missed(ctx, r.Kind, r.Key)
		}
		return err
	})
}

// put calls a function with the arguments by which a record is written, the time last, and returns its new revision.
func (s *Store) put(ctx context.Context, r store.Record, write func(context.Context, []any) error) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	data := r.Data
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	revision := newRevision()
	err := s.do(ctx, writing, func(ctx context.Context) error {
		args := make([]any, 0, 10) // of the longest statement
		args = append(args, []byte(r.Kind), []byte(r.Key), []byte(r.Owner), millis(r.Expires), revision, data, nowMillis())
		return write(ctx, args)
	})
	if err != nil {
		return "", err
	}
	return formatRevision(revision), nil
}

// CreateAll is part of store.Bulk.
func (s *Store) CreateAll(ctx context.Context, records []store.Record) error {
	var kinds, keys, owners, data [][]byte
	var expires []pgtype.Int8
	var revisions []pgtype.UUID
	for _, r := range records {
		kinds, keys, owners = append(kinds, []byte(r.Kind)), append(keys, []byte(r.Key)), append(owners, []byte(r.Owner))
		expires, revisions = append(expires, millis(r.Expires)), append(revisions, newRevision())
		data = append(data, append([]byte{}, r.Data...)) // nil would be NULL
	}
	return s.do(ctx, writing, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, createAllText, kinds, keys, owners, expires, revisions, data, nowMillis())
		return err
	})
}

// Delete is part of store.Store.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	return s.do(ctx, writing, func(ctx context.Context) error {
		if revision == "" {
			wrote, err := s.write(ctx, deleteWrite, kind, key, []byte(kind), []byte(key), nowMillis())
			if err == nil && !wrote {
				return store.ErrNotFound
			}
			return err
		}
		wrote, err := s.write(ctx, deleteRevisionWrite, kind, key,
			[]byte(kind), []byte(key), nowMillis(), parseRevision(revision))
		if err == nil && !wrote {
			return s.missed(ctx, kind, key)
		}
		return err
	})
}

// write runs a statement and reports whether it changed a record. If so, watchers hear of it: those of this store at
// once, and all of them, this store's again, through the database. By the latter this store also learns of a write
// whose caller has left before its end.
func (s *Store) write(ctx context.Context, w write, kind, key string, args ...any) (bool, error) {
	text := w.plain
	switch told := store.Announced(kind); { // a notification makes commits wait for each other, so not every kind has one
	case told && s.notifies:
		text, args = w.announced, append(args, newRevision(), payload(kind, key))
	case told:
		text, args = w.counted, append(args, newRevision())
	}
	tag, err := s.pool.Exec(ctx, text, args...)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	s.changes.Publish(store.Change{Kind: kind, Key: key})
	return true, nil
}

// missed says why a statement that names a revision found no record.
func (s *Store) missed(ctx context.Context, kind, key string) error {
	var exists bool
	err := s.pool.QueryRow(ctx, existsText, []byte(kind), []byte(key), nowMillis()).Scan(&exists)
	switch {
	case err != nil:
		return err
	case exists:
		return store.ErrConflict
	}
	return store.ErrNotFound
}

// List is part of store.Store. Records come in the order of their keys, byte by byte.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	var page []store.Record
	err := s.do(ctx, reading, func(ctx context.Context) (err error) {
		text, args := listText, []any{[]byte(kind), []byte(q.After), nowMillis(), store.PageLimit(q.Limit)}
		if q.Owner != "" {
			text, args = listOwnerText, append(args, []byte(q.Owner))
		}
		page, err = s.list(ctx, kind, text, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, kind, text string, args []any) ([]store.Record, error) {
	rows, err := s.pool.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []store.Record
	for rows.Next() {
		r := store.Record{Kind: kind}
		var key []byte
		if err := scan(rows, &r, &key); err != nil {
			return nil, err
		}
		r.Key = string(key)
		page = append(page, r)
	}
	return page, rows.Err()
}

// Watch is part of store.Store.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	changes, err := s.changes.Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.others.ready(ctx); err != nil {
		return nil, err
	}
	return changes, nil
}

// Ping is part of store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, reading, func(ctx context.Context) error {
		var version int
		return s.pool.QueryRow(ctx, pingText).Scan(&version)
	})
}

// DB returns the database for reading other tables in it. It takes its connections from the same pool as the store, and
// is closed with the store.
func (s *Store) DB() *sql.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		s.db = stdlib.OpenDBFromPool(s.pool)
	}
	return s.db
}

// Close is part of store.Store. It waits for the operations that are under way, which end within their time limit.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.others.close()
		s.changes.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.db != nil {
			s.closeErr = s.db.Close()
		}
		s.pool.Close()
	})
	return s.closeErr
}

// Whether an operation may be done twice.
const (
	reading = true
	writing = false
)

func nowMillis() int64 { return time.Now().UnixMilli() }
