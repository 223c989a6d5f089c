package store

import (
	"context"
	"slices"
)

// A Layered has configured values over a catalog of stored ones: a configured value hides a stored one with the same key. It is
// safe for concurrent use, and cheap to make, so that each configuration has its own over the same catalog.
type Layered[T any] struct {
	configured map[string]*T // never changed
	stored     *Catalog[T]
}

// NewLayered returns configured values over stored ones. Of configured values with the same key the last one counts.
func NewLayered[T any](configured []*T, stored *Catalog[T]) *Layered[T] {
	l := &Layered[T]{configured: make(map[string]*T, len(configured)), stored: stored}
	for _, v := range configured {
		l.configured[stored.rules.Key(v)] = v
	}
	return l
}

// With returns other configured values over the same stored ones.
func (l *Layered[T]) With(configured []*T) *Layered[T] { return NewLayered(configured, l.stored) }

// Configured reports whether a key is that of a configured value.
func (l *Layered[T]) Configured(key string) bool {
	_, ok := l.configured[key]
	return ok
}

// Get returns the value of a key, with an empty revision if it is configured. Errors are those of [Catalog.Get].
func (l *Layered[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	if v, ok := l.configured[key]; ok {
		return Entry[T]{Key: key, Value: *v}, nil
	}
	return l.stored.Get(ctx, key)
}

// Knows reports whether a key is configured, or was found when it was last looked up, see [Cache.Knows].
func (l *Layered[T]) Knows(key string) bool { return l.Configured(key) || l.stored.cache.Knows(key) }

// Has reports whether a key exists, by a list of all, see [Cache.Has].
func (l *Layered[T]) Has(ctx context.Context, key string) (bool, error) {
	if l.Configured(key) {
		return true, nil
	}
	return l.stored.cache.Has(ctx, key)
}

// Stored returns the stored values that aren't hidden.
func (l *Layered[T]) Stored(ctx context.Context) ([]Entry[T], error) {
	all, err := l.stored.All(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(e Entry[T]) bool { return l.Configured(e.Key) }), nil
}

// Forget makes the catalog read again what may have changed.
func (l *Layered[T]) Forget(c Change) { l.stored.Forget(c) }

// Catalog returns the stored values.
func (l *Layered[T]) Catalog() *Catalog[T] { return l.stored }
