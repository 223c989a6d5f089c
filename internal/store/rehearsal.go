package store

import (
	"context"
	"errors"
)

// A Rehearsal answers as the writes of a Catalog would, and writes nothing. What it returns has the revision of what is stored; that
// of a new value is empty.
type Rehearsal[T any] struct{ catalog *Catalog[T] }

// Rehearse returns a Rehearsal of writes.
func (c *Catalog[T]) Rehearse() Rehearsal[T] { return Rehearsal[T]{c} }

// Create is [Catalog.Create].
func (r Rehearsal[T]) Create(ctx context.Context, v T) (Entry[T], error) {
	c := r.catalog
	if err := c.rules.Validate(&v); err != nil {
		return Entry[T]{}, &InvalidError{err}
	}
	key := c.rules.Key(&v)
	c.conceal(new(T), &v)
	if err := c.check(key, &v); err != nil {
		return Entry[T]{}, err
	}
	switch _, err := c.table.Get(Latest(ctx), key); {
	case err == nil:
		return Entry[T]{}, ErrExists
	case !errors.Is(err, ErrNotFound):
		return Entry[T]{}, err
	}
	return Entry[T]{Key: key, Value: v}, nil
}

// Update is [Catalog.Update].
func (r Rehearsal[T]) Update(ctx context.Context, key string, change func(*T) error) (Entry[T], error) {
	return r.UpdateRevision(ctx, key, "", change)
}

// UpdateRevision is [Catalog.UpdateRevision]; any revision will do if it is empty.
func (r Rehearsal[T]) UpdateRevision(ctx context.Context, key, revision string, change func(*T) error) (Entry[T], error) {
	e, err := r.find(ctx, key, revision)
	if err != nil {
		return Entry[T]{}, err
	}
	before := e
	if err := r.catalog.amending(key, r.catalog.validly(change))(&e.Value); err != nil {
		if errors.Is(err, ErrUnchanged) {
			return before, nil
		}
		return Entry[T]{}, err
	}
	return e, nil
}

// Delete is [Catalog.Delete].
func (r Rehearsal[T]) Delete(ctx context.Context, key, revision string) error {
	_, err := r.find(ctx, key, revision)
	return err
}

func (r Rehearsal[T]) find(ctx context.Context, key, revision string) (Entry[T], error) {
	if key == "" || len(key) > MaxKey {
		return Entry[T]{}, ErrNotFound
	}
	e, err := r.catalog.table.Get(Latest(ctx), key)
	if err != nil {
		return Entry[T]{}, err
	}
	if revision != "" && e.Revision != revision {
		return Entry[T]{}, ErrConflict
	}
	return e, nil
}
