// Package mysql keeps records in a MySQL or MariaDB database, in tables of its own beside those that are there already.
// Any number of replicas may share it. It uses nothing that MySQL 5.7 and MariaDB 10 don't have.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"dex/internal/store"
	"dex/internal/store/watch"
)

const (
	// operationTimeout bounds every operation, also for a caller that would wait longer.
	operationTimeout = 10 * time.Second
	// sweepBatch is how many records a sweep deletes, and so locks, at a time.
	sweepBatch = 100
	// maxConnections is how many more connections an operation tries that turn out to be of no use.
	maxConnections = 4
)

// A Store is a store.Store in a MySQL or MariaDB database. Make one with Open.
type Store struct {
	db      *sql.DB
	log     *slog.Logger
	now     func() time.Time
	changes watch.Hub

	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error

	stopFollowing context.CancelFunc
	stopped       chan struct{} // closed when nobody follows the other replicas any more
}

var _ store.Store = (*Store)(nil)

// Open connects to the server and makes the tables where they are missing. It tries once; the error says what can't be
// reached and why, and holds no secret.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	s := &Store{log: log, now: time.Now, stopped: make(chan struct{})}
	if err := s.open(ctx, config); err != nil {
		_, address := config.address()
		err = fmt.Errorf("open MySQL database %q at %s as user %q: %w", config.Database, address, config.User, err)
		return nil, errors.Join(err, s.closeDatabase())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, config Config) error {
	if found := config.Mistakes(); len(found) > 0 {
		key := slices.Min(slices.Collect(maps.Keys(found)))
		return fmt.Errorf("%s: %s", key, found[key])
	}
	driverConfig, err := config.forDriver(s.log)
	if err != nil {
		return err
	}
	inner, err := driver.NewConnector(driverConfig)
	if err != nil {
		return err
	}
	s.db = sql.OpenDB(connector{inner, config.connectionTimeout()})
	s.db.SetMaxOpenConns(config.maxOpenConns())
	s.db.SetMaxIdleConns(config.maxIdleConns())
	s.db.SetConnMaxLifetime(config.connMaxLifetime())
	ctx, cancel := context.WithTimeout(ctx, config.connectionTimeout()+schemaLock+operationTimeout)
	defer cancel()
	if err := s.db.PingContext(ctx); err != nil {
		return advised(err)
	}
	if err := migrate(ctx, s.db); err != nil {
		return advised(err)
	}
	s.warnOfSmallPackets(ctx)
	known, err := s.readCounters(ctx)
	if err != nil {
		return advised(err)
	}
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopFollowing = stop
	go s.follow(follow, known)
	return nil
}

// warnOfSmallPackets warns if the server would refuse the largest records. It is no error, as there may never be one.
func (s *Store) warnOfSmallPackets(ctx context.Context) {
	const wanted = store.MaxStored + 1<<16 // beside the data, a statement has three texts of store.MaxKey at most
	var bytes int
	if err := s.db.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&bytes); err != nil || bytes >= wanted {
		return
	}
	s.log.Warn("MySQL server refuses records that are larger than its max_allowed_packet; raise it",
		"max_allowed_packet", bytes, "needed", wanted)
}

// DB returns the pool, for reading the tables of others. Times come as time.Time in UTC, a zero date as the zero time.
// It must not be used after Close.
func (s *Store) DB() *sql.DB { return s.db }

// Get is part of store.Store.
func (s *Store) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r := store.Record{Kind: kind, Key: key}
	err := s.do(ctx, func(ctx context.Context) error {
		if !possible(kind, key) {
			return store.ErrNotFound
		}
		return scan(s.db.QueryRowContext(ctx, getText, []byte(kind), []byte(key), s.nowMillis()), &r)
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Create is part of store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	revision := newRevision()
	err := s.do(ctx, func(ctx context.Context) error {
		changed, err := s.write(ctx, r.Kind, creation(r, revision, s.nowMillis()))
		if err == nil && !changed {
			return store.ErrExists
		}
		return err
	})
	return s.written(r, revision, err)
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	revision := newRevision()
	err := s.do(ctx, func(ctx context.Context) error {
		changed, err := s.write(ctx, r.Kind, replacement(r, revision, s.nowMillis()))
		if err == nil && !changed {
			return s.missed(ctx, r.Kind, r.Key)
		}
		return err
	})
	return s.written(r, revision, err)
}

// written tells the watchers, and returns the new revision, if there was no error.
func (s *Store) written(r store.Record, revision []byte, err error) (string, error) {
	if err != nil {
		return "", err
	}
	s.changes.Publish(store.Change{Kind: r.Kind, Key: r.Key})
	return formatRevision(revision), nil
}

// Delete is part of store.Store.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	err := s.do(ctx, func(ctx context.Context) error {
		if !possible(kind, key) {
			return store.ErrNotFound
		}
		changed, err := s.write(ctx, kind, deletion(kind, key, revision, s.nowMillis()))
		switch {
		case err != nil || changed:
			return err
		case revision == "":
			return store.ErrNotFound
		}
		return s.missed(ctx, kind, key)
	})
	if err == nil {
		s.changes.Publish(store.Change{Kind: kind, Key: key})
	}
	return err
}

// write runs a statement and reports whether it changed the record. Where others may watch the kind, it counts the
// change for them in the same transaction.
func (s *Store) write(ctx context.Context, kind string, do statement) (bool, error) {
	if store.Announced(kind) {
		changed, err := do.runCounted(ctx, s.db, kind)
		return changed > 0, err
	}
	changed, err := do.run(ctx, s.db)
	return changed > 0, err
}

// missed says why a statement that names a revision found no record. The record may have changed since, but as a
// revision never comes back, the answer is true at the moment of this look.
func (s *Store) missed(ctx context.Context, kind, key string) error {
	var exists bool
	err := s.db.QueryRowContext(ctx, existsText, []byte(kind), []byte(key), s.nowMillis()).Scan(&exists)
	switch {
	case err != nil:
		return err
	case exists:
		return store.ErrConflict
	}
	return store.ErrNotFound
}

// List is part of store.Store.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	// No key is longer, so it follows the whole text if it follows what is left.
	after := q.After[:min(len(q.After), store.MaxKey)]
	text, args := listText, []any{[]byte(kind), []byte(after), s.nowMillis(), store.PageLimit(q.Limit)}
	if q.Owner != "" {
		text = listOwnerText
		args = []any{[]byte(kind), []byte(q.Owner), []byte(after), s.nowMillis(), store.PageLimit(q.Limit)}
	}
	var page []store.Record
	err := s.do(ctx, func(ctx context.Context) (err error) {
		if !possible(kind, "-") || len(q.Owner) > store.MaxKey {
			return nil
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
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what it could say, Err says
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

// Sweep is part of store.Store. It looks for expired records without a lock and deletes them by their keys, where it
// checks again that they are expired. What another sweeper has taken meanwhile does not count, so it goes on until it
// has its number, or finds no more.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	removed := 0
	for limit = store.PageLimit(limit); removed < limit; {
		var keys [][]byte
		err := s.do(ctx, func(ctx context.Context) (err error) {
			keys, err = s.expired(ctx, kind, before, min(sweepBatch, limit-removed))
			return err
		})
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		err = s.do(ctx, func(ctx context.Context) error {
			n, err := sweeping(kind, keys, before.UnixMilli()).run(ctx, s.db)
			removed += int(n)
			return err
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// expired returns the keys of some records of a kind that expired before a time, those that did first.
func (s *Store) expired(ctx context.Context, kind string, before time.Time, limit int) (keys [][]byte, err error) {
	rows, err := s.db.QueryContext(ctx, expiredText, []byte(kind), before.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what it could say, Err says
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// Watch is part of store.Store.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	return s.changes.Subscribe(ctx)
}

// Ping is part of store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context) error {
		var version int
		return s.db.QueryRowContext(ctx, pingText).Scan(&version)
	})
}

// Close is part of store.Store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.closed.Store(true)
		s.stopFollowing()
		<-s.stopped
		s.changes.Close()
		s.closeErr = s.closeDatabase()
	})
	return s.closeErr
}

func (s *Store) closeDatabase() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// do runs an operation within the bounds of the caller's context and of operationTimeout, again if the server gave it
// up for another one or never got it, and returns its error as the caller should see it. Each try must have either
// succeeded or changed nothing.
func (s *Store) do(ctx context.Context, operation func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	inTime, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	for lost := 0; ; lost++ {
		if s.closed.Load() {
			return store.ErrClosed
		}
		err := operation(inTime)
		again := lostRace(err) || unsent(err) && lost < maxConnections
		if !again || !backOff(inTime, lost) {
			return s.told(ctx, inTime, err)
		}
	}
}

// backOff waits a little at random, longer with each race that was lost, and reports whether there is time for another
// try.
func backOff(ctx context.Context, lost int) bool {
	const longest = 50 * time.Millisecond
	timer := time.NewTimer(rand.N(min(time.Millisecond<<min(lost, 10), longest))) //nolint:gosec // jitter, not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// told returns the error of an operation as the caller should see it.
func (s *Store) told(caller, inTime context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrConflict):
		return err
	case s.closed.Load():
		return store.ErrClosed
	case caller.Err() != nil:
		return caller.Err()
	case late(caller):
		return context.DeadlineExceeded
	case inTime.Err() != nil:
		return fmt.Errorf("MySQL did not do its work within %v: %w", operationTimeout, err)
	}
	return fmt.Errorf("MySQL: %w", advised(err))
}

// late reports whether the deadline is over. Dialing may notice it a moment before the context ends.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// possible reports whether there can be a record of that kind and key.
func possible(kind, key string) bool {
	return kind != "" && key != "" && len(kind) <= store.MaxKey && len(key) <= store.MaxKey
}

func (s *Store) nowMillis() int64 { return s.now().UnixMilli() }
