package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

// probeTTL is how long the record of a probe lives.
const probeTTL = time.Second

// Writes is a store that remembers how its last write went, since one that can be read may not take writes: its disk is
// full, or it was made read-only.
type Writes struct {
	Store

	mu      sync.Mutex
	failure error // of the last write; nil if it did not fail
}

// WatchWrites returns a store that remembers how the writes of another went.
func WatchWrites(s Store) *Writes { return &Writes{Store: s} }

// Unwrap returns the store below.
func (w *Writes) Unwrap() Store { return w.Store }

// Check reports why nothing can be written. It writes only if the last write has failed: a failure with
// another reason then passes, and a storage that takes writes again is noticed before any user is.
func (w *Writes) Check(ctx context.Context) error {
	if w.lastFailure() == nil {
		return nil
	}
	_, _, err := TryAcquire(ctx, w, "probe "+rand.Text(), probeTTL)
	if err != nil {
		return fmt.Errorf("nothing can be written: %w", err)
	}
	return nil
}

func (w *Writes) lastFailure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

// noted remembers how a write went, and returns its error. A caller that has left says nothing about the storage, and
// neither does an answer that came without a write.
func (w *Writes) noted(ctx context.Context, err error) error {
	answer := errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrConflict)
	if answer || errors.Is(err, ErrClosed) || err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = err
	return err
}

// Create is part of Store.
func (w *Writes) Create(ctx context.Context, r Record) (string, error) {
	revision, err := w.Store.Create(ctx, r)
	return revision, w.noted(ctx, err)
}

// Replace is part of Store.
func (w *Writes) Replace(ctx context.Context, r Record) (string, error) {
	revision, err := w.Store.Replace(ctx, r)
	return revision, w.noted(ctx, err)
}

// Delete is part of Store.
func (w *Writes) Delete(ctx context.Context, kind, key, revision string) error {
	return w.noted(ctx, w.Store.Delete(ctx, kind, key, revision))
}

// Sweep is part of Store. One that finds nothing writes nothing, and so says nothing unless it fails.
func (w *Writes) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	n, err := w.Store.Sweep(ctx, kind, before, limit)
	if n == 0 && err == nil {
		return 0, nil
	}
	return n, w.noted(ctx, err)
}

// Discard is part of Store, and says as much as Sweep does.
func (w *Writes) Discard(ctx context.Context, kind string, expired []Record) (int, error) {
	n, err := w.Store.Discard(ctx, kind, expired)
	if n == 0 && err == nil {
		return 0, nil
	}
	return n, w.noted(ctx, err)
}

// CreateAll is part of Bulk. How the store below does it is its own affair.
func (w *Writes) CreateAll(ctx context.Context, records []Record) error {
	return w.noted(ctx, CreateAll(ctx, w.Store, records))
}
