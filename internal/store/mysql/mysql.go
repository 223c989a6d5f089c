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
)

// A Store is a store.Store in a MySQL or MariaDB database. Make one with Open.
type Store struct {
	db      *sql.DB
	waiting *sql.DB // the same servers, by connections on which each statement waits for what the others have taken
	cluster *cluster
	log     *slog.Logger
	changes watch.Hub

	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error

	stopFollowing context.CancelFunc
	stopped       chan struct{} // closed when the other replicas are no longer followed
}

var _ store.Store = (*Store)(nil)

// Open connects to the server and makes the tables where they are missing. It tries once; the error says what can't be
// reached and why, and holds no secret.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	s := &Store{log: log, cluster: new(cluster), stopped: make(chan struct{})}
	if err := s.open(ctx, config); err != nil {
		err = fmt.Errorf("open MySQL database %q at %s as user %q: %w", config.Database, config.place(), config.User, err)
		return nil, errors.Join(err, s.closeDatabase())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, config Config) error {
	if found := config.Mistakes(); len(found) > 0 {
		key := slices.Min(slices.Collect(maps.Keys(found)))
		return fmt.Errorf("%s: %s", key, found[key])
	}
	connect := connector{timeout: config.connectionTimeout(), cluster: s.cluster, usable: new(atomic.Int32)}
	for _, at := range config.addresses() {
		driverConfig, err := config.forDriver(at, s.log)
		if err != nil {
			return err
		}
		inner, err := driver.NewConnector(driverConfig)
		if err != nil {
			return err
		}
		connect.servers = append(connect.servers, server{inner, at.dial})
	}
	s.db = config.pool(connect)
	connect.waits = true
	s.waiting = config.pool(connect)
	ctx, cancel := context.WithTimeout(ctx, config.connectionTimeout()+schemaLock+operationTimeout)
	defer cancel()
	if err := s.db.PingContext(ctx); err != nil {
		return advised(err)
	}
	db := s.db
	if s.cluster.replicates() {
		db = s.waiting
		s.log.InfoContext(ctx, "MySQL: the server belongs to a cluster; what is not found is looked for again when the"+
			" server has caught up", "cluster", s.cluster.String())
	}
	if err := migrate(ctx, db, s.cluster.replicates()); err != nil {
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
	err := s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		if !possible(kind, key) {
			return store.ErrNotFound
		}
		return scan(db.QueryRowContext(ctx, getText, []byte(kind), []byte(key), nowMillis()), &r)
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
	err := s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		changed, err := write(ctx, db, r.Kind, creation(r, revision, nowMillis()))
		if err == nil && !changed {
			return store.ErrExists
		}
		return err
	})
	return s.written(r, revision, err)
}

// CreateAll is part of store.Bulk.
func (s *Store) CreateAll(ctx context.Context, records []store.Record) error {
	return s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		_, err := creations(records, nowMillis()).run(ctx, db)
		return err
	})
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	revision := newRevision()
	err := s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		changed, err := write(ctx, db, r.Kind, replacement(r, revision, nowMillis()))
		if err == nil && !changed {
			return s.missed(ctx, db, r.Kind, r.Key)
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
	err := s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		if !possible(kind, key) {
			return store.ErrNotFound
		}
		changed, err := write(ctx, db, kind, deletion(kind, key, revision, nowMillis()))
		switch {
		case err != nil || changed:
			return err
		case revision == "":
			return store.ErrNotFound
		}
		return s.missed(ctx, db, kind, key)
	})
	if err == nil {
		s.changes.Publish(store.Change{Kind: kind, Key: key})
	}
	return err
}

// write runs a statement and reports whether it changed the record. Where others may watch the kind, it counts the
// change for them in the same transaction.
func write(ctx context.Context, db *sql.DB, kind string, do statement) (bool, error) {
	if store.Announced(kind) {
		changed, err := do.runCounted(ctx, db, kind)
		return changed > 0, err
	}
	changed, err := do.run(ctx, db)
	return changed > 0, err
}

// missed says why a statement that names a revision found no record. The record may have changed since, but as a
// revision never comes back, the answer is true at the moment of this look.
func (s *Store) missed(ctx context.Context, db *sql.DB, kind, key string) error {
	var exists bool
	err := db.QueryRowContext(ctx, existsText, []byte(kind), []byte(key), nowMillis()).Scan(&exists)
	switch {
	case err != nil:
		return err
	case exists:
		return store.ErrConflict
	}
	return store.ErrNotFound
}

// List is part of store.Store. In a cluster it always waits: a page says of all others that they are not there.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	// No key is longer, so it follows the whole text if it follows what is left.
	after := q.After[:min(len(q.After), store.MaxKey)]
	text, args := listText, []any{[]byte(kind), []byte(after), nowMillis(), store.PageLimit(q.Limit)}
	if q.Owner != "" {
		text = listOwnerText
		args = []any{[]byte(kind), []byte(q.Owner), []byte(after), nowMillis(), store.PageLimit(q.Limit)}
	}
	var page []store.Record
	err := s.do(store.Latest(ctx), func(ctx context.Context, db *sql.DB) (err error) {
		if !possible(kind, "-") || len(q.Owner) > store.MaxKey {
			return nil
		}
		page, err = list(ctx, db, kind, text, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func list(ctx context.Context, db *sql.DB, kind, text string, args []any) ([]store.Record, error) {
	rows, err := db.QueryContext(ctx, text, args...)
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

// Watch is part of store.Store.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	return s.changes.Subscribe(ctx)
}

// Ping is part of store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		var version int
		return db.QueryRowContext(ctx, pingText).Scan(&version)
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
	return errors.Join(s.db.Close(), s.waiting.Close())
}

func nowMillis() int64 { return time.Now().UnixMilli() }
