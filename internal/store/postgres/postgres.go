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
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

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
	pool    *pool
	log     *slog.Logger
	changes watch.Hub
	others  follower      // learns of their changes
	closing chan struct{} // closed by Close

	notifies   bool        // others can be told of changes
	unprepared atomic.Bool // prepared statements don't work, as a pooler is between

	closeOnce sync.Once
}

var _ store.Store = (*Store)(nil)

// Open connects to the database and makes the tables where they are missing. It tries once. An error says which server
// and database it is about.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	c, err := config.pool()
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	s := &Store{place: placeOf(c.connect), closing: make(chan struct{})}
	s.log = log.With("database", s.place.String())
	if err := begin(ctx, c.connect); err != nil {
		return nil, fmt.Errorf("open %s as %q: %w", s.place, s.place.user, explain(err))
	}
	if s.pool, err = newPool(c); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.place, err)
	}
	s.follow(ctx, c.connect)
	return s, nil
}

// begin connects for the first time and makes the tables. It does not use the pool, whose connections are made in the
// background, whether the caller still waits or not.
func begin(ctx context.Context, config *pgconn.Config) error {
	c, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	err = migrate(ctx, c)
	for attempt := 1; attempt < maxAttempts && retriable(err, writing); attempt++ {
		pause(ctx, attempt)
		err = migrate(ctx, c)
	}
	return errors.Join(err, c.Close(ctx))
}

// Get is part of store.Store.
func (s *Store) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r := store.Record{Kind: kind, Key: key}
	err := s.do(ctx, reading, func(ctx context.Context) error {
		result, err := s.run(ctx, getStatement, bytea(kind), bytea(key), nowMillis())
		if err != nil {
			return err
		}
		if len(result.Rows) == 0 {
			return store.ErrNotFound
		}
		return scan(result.Rows[0], &r)
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Create is part of store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (string, error) {
	return s.put(ctx, r, func(ctx context.Context, args [][]byte) error {
		wrote, err := s.write(ctx, createWrite, r.Kind, r.Key, args...)
		if err == nil && !wrote {
			return store.ErrExists
		}
		return err
	})
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	return s.put(ctx, r, func(ctx context.Context, args [][]byte) error {
		wrote, err := s.write(ctx, replaceWrite, r.Kind, r.Key, append(args, parseRevision(r.Revision))...)
		if err == nil && !wrote {
			return s.missed(ctx, r.Kind, r.Key)
		}
		return err
	})
}

// put calls a function with the arguments by which a record is written, the time last, and returns its new revision.
func (s *Store) put(ctx context.Context, r store.Record, write func(context.Context, [][]byte) error) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	data := r.Data
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	revision := newRevision()
	err := s.do(ctx, writing, func(ctx context.Context) error {
		args := make([][]byte, 0, 10) // of the longest statement
		args = append(args, bytea(r.Kind), bytea(r.Key), bytea(r.Owner), millis(r.Expires), revision, data, nowMillis())
		return write(ctx, args)
	})
	if err != nil {
		return "", err
	}
	return formatRevision(revision), nil
}

// CreateAll is part of store.Bulk.
func (s *Store) CreateAll(ctx context.Context, records []store.Record) error {
	var kinds, keys, owners, expires, revisions, data [][]byte
	for _, r := range records {
		kinds, keys, owners = append(kinds, bytea(r.Kind)), append(keys, bytea(r.Key)), append(owners, bytea(r.Owner))
		expires, revisions = append(expires, millis(r.Expires)), append(revisions, newRevision())
		data = append(data, append([]byte{}, r.Data...)) // nil would be NULL
	}
	return s.do(ctx, writing, func(ctx context.Context) error {
		_, err := s.run(ctx, createAllStatement, array(typeBytea, kinds), array(typeBytea, keys), array(typeBytea, owners),
			array(typeInt8, expires), array(typeUUID, revisions), array(typeBytea, data), nowMillis())
		return err
	})
}

// Delete is part of store.Store.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	return s.do(ctx, writing, func(ctx context.Context) error {
		if revision == "" {
			wrote, err := s.write(ctx, deleteWrite, kind, key, bytea(kind), bytea(key), nowMillis())
			if err == nil && !wrote {
				return store.ErrNotFound
			}
			return err
		}
		wrote, err := s.write(ctx, deleteRevisionWrite, kind, key,
			bytea(kind), bytea(key), nowMillis(), parseRevision(revision))
		if err == nil && !wrote {
			return s.missed(ctx, kind, key)
		}
		return err
	})
}

// write runs a statement and reports whether it changed a record. If so, watchers hear of it: those of this store at
// once, and all of them, this store's again, through the database. By the latter this store also learns of a write
// whose caller has left before its end.
func (s *Store) write(ctx context.Context, w write, kind, key string, args ...[]byte) (bool, error) {
	st := w.plain
	switch told := store.Announced(kind); { // a notification makes commits wait for each other, so not every kind has one
	case told && s.notifies:
		st, args = w.announced, append(args, newRevision(), []byte(payload(kind, key)))
	case told:
		st, args = w.counted, append(args, newRevision())
	}
	result, err := s.run(ctx, st, args...)
	if err != nil || result.CommandTag.RowsAffected() == 0 {
		return false, err
	}
	s.changes.Publish(store.Change{Kind: kind, Key: key})
	return true, nil
}

// missed says why a statement that names a revision found no record.
func (s *Store) missed(ctx context.Context, kind, key string) error {
	result, err := s.run(ctx, existsStatement, bytea(kind), bytea(key), nowMillis())
	switch {
	case err != nil:
		return err
	case truth(only(result)):
		return store.ErrConflict
	}
	return store.ErrNotFound
}

// List is part of store.Store. Records come in the order of their keys, byte by byte.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	var page []store.Record
	err := s.do(ctx, reading, func(ctx context.Context) (err error) {
		st, args := listStatement, [][]byte{bytea(kind), bytea(q.After), nowMillis(), int8Of(int64(store.PageLimit(q.Limit)))}
		if q.Owner != "" {
			st, args = listOwnerStatement, append(args, bytea(q.Owner))
		}
		page, err = s.list(ctx, kind, st, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// list runs a statement whose rows have the key after the columns.
func (s *Store) list(ctx context.Context, kind string, st *statement, args ...[]byte) ([]store.Record, error) {
	result, err := s.run(ctx, st, args...)
	if err != nil {
		return nil, err
	}
	var page []store.Record
	for _, row := range result.Rows {
		r := store.Record{Kind: kind, Key: string(row[len(row)-1])}
		if err := scan(row, &r); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	return page, nil
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
		result, err := s.run(ctx, pingStatement)
		if err == nil && len(result.Rows) == 0 {
			return errors.New("the table dex_schema is empty")
		}
		return err
	})
}

// Close is part of store.Store. It waits for the operations that are under way, which end within their time limit.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.others.close()
		s.changes.Close()
		s.pool.close()
	})
	return nil
}

// Whether an operation may be done twice.
const (
	reading = true
	writing = false
)

func nowMillis() []byte { return int8Of(time.Now().UnixMilli()) }
