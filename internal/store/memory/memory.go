// Package memory keeps records in the memory of the process. Everything is lost when it ends.
package memory

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"time"

	"dex/internal/store"
	"dex/internal/store/watch"
)

// A Store is a store.Store in memory. Make one with New.
type Store struct {
	now     func() time.Time
	changes watch.Hub

	// mu is held for work on the maps only, never while a document is copied.
	mu       sync.RWMutex
	closed   bool
	revision uint64 // of the last write to any record; only grows
	tables   map[string]*table
}

var _ store.Store = (*Store)(nil)

// An Option changes how New makes a store.
type Option func(*Store)

// WithClock replaces time.Now as what tells whether a record is expired.
func WithClock(now func() time.Time) Option {
	return func(s *Store) { s.now = now }
}

// New returns an empty store.
func New(options ...Option) *Store {
	s := &Store{now: time.Now, tables: make(map[string]*table)}
	for _, o := range options {
		o(s)
	}
	return s
}

// Get is part of store.Store.
func (s *Store) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r, err := s.lookUp(ctx, kind, key)
	if err != nil {
		return store.Record{}, err
	}
	r.Data = bytes.Clone(r.Data)
	return r, nil
}

func (s *Store) lookUp(ctx context.Context, kind, key string) (store.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return store.Record{}, err
	}
	_, r, err := s.live(kind, key)
	return r, err
}

// Create is part of store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	r = own(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	if _, _, err := s.live(r.Kind, r.Key); err == nil {
		return "", store.ErrExists
	}
	t := s.tables[r.Kind]
	if t == nil {
		t = newTable()
		s.tables[r.Kind] = t
	}
	return s.write(t, r), nil
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	r = own(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	t, old, err := s.live(r.Kind, r.Key)
	if err != nil {
		return "", err
	}
	if old.Revision != r.Revision {
		return "", store.ErrConflict
	}
	return s.write(t, r), nil
}

// Delete is part of store.Store.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	t, old, err := s.live(kind, key)
	if err != nil {
		return err
	}
	if revision != "" && revision != old.Revision {
		return store.ErrConflict
	}
	t.remove(key)
	s.changes.Publish(store.Change{Kind: kind, Key: key})
	return nil
}

// List is part of store.Store.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	page, err := s.page(ctx, kind, q)
	if err != nil {
		return nil, err
	}
	for i := range page {
		page[i].Data = bytes.Clone(page[i].Data)
	}
	return page, nil
}

func (s *Store) page(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	t := s.tables[kind]
	if t == nil {
		return nil, nil
	}
	var page []store.Record
	limit, now := store.PageLimit(q.Limit), s.now()
	for r := range t.after(q.Owner, q.After) {
		if expired(r, now) {
			continue
		}
		page = append(page, r)
		if len(page) == limit {
			break
		}
	}
	return page, nil
}

// Sweep is part of store.Store.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	t := s.tables[kind]
	if t == nil {
		return 0, nil
	}
	keys := t.expiredBefore(before, store.PageLimit(limit))
	for _, key := range keys {
		t.remove(key)
	}
	return len(keys), nil
}

// Expired is part of store.Store.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	page, err := s.expiredPage(ctx, kind, before, store.PageLimit(limit))
	if err != nil {
		return nil, err
	}
	for i := range page {
		page[i].Data = bytes.Clone(page[i].Data)
	}
	return page, nil
}

func (s *Store) expiredPage(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	t := s.tables[kind]
	if t == nil {
		return nil, nil
	}
	var page []store.Record
	for _, key := range t.expiredBefore(before, limit) {
		page = append(page, t.records[key])
	}
	return page, nil
}

// Discard is part of store.Store.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	t, removed := s.tables[kind], 0
	if t == nil {
		return 0, nil
	}
	for _, r := range expired {
		if found, ok := t.records[r.Key]; ok && found.Revision == r.Revision {
			t.remove(r.Key)
			removed++
		}
	}
	return removed, nil
}

// Watch is part of store.Store.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	return s.changes.Subscribe(ctx)
}

// Ping is part of store.Store.
func (s *Store) Ping(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usable(ctx)
}

// Close is part of store.Store. It drops all records.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.tables = nil
	s.changes.Close()
	return nil
}

// The methods below need the lock.

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

func (s *Store) live(kind, key string) (*table, store.Record, error) {
	t := s.tables[kind]
	if t == nil {
		return nil, store.Record{}, store.ErrNotFound
	}
	r, ok := t.records[key]
	if !ok || expired(r, s.now()) {
		return nil, store.Record{}, store.ErrNotFound
	}
	return t, r, nil
}

// write stores the record over whatever is there and returns its revision.
func (s *Store) write(t *table, r store.Record) string {
	s.revision++
	r.Revision = strconv.FormatUint(s.revision, 10)
	t.put(r)
	s.changes.Publish(store.Change{Kind: r.Kind, Key: r.Key})
	return r.Revision
}

// own returns the record as the store keeps it: with a document that the caller can't change, and with an expiry no
// finer than in the other backends, so that nothing comes to rely on more.
func own(r store.Record) store.Record {
	r.Data = bytes.Clone(r.Data)
	if !r.Expires.IsZero() {
		r.Expires = r.Expires.UTC().Truncate(time.Millisecond)
	}
	return r
}

func expired(r store.Record, now time.Time) bool {
	return !r.Expires.IsZero() && !r.Expires.After(now)
}
