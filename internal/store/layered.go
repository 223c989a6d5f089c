package store

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// A Layered has configured values over a catalog of stored ones, and those over a fallback: of values with the same key, the
// uppermost hides the others. It is safe for concurrent use, and cheap to make, so that each configuration has its own over the
// same catalog.
type Layered[T any] struct {
	configured map[string]*T // never changed
	stored     *Catalog[T]
	fallback   *Fallback[T] // nil where there is none
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
func (l *Layered[T]) With(configured []*T) *Layered[T] {
	return NewLayered(configured, l.stored).Over(l.fallback)
}

// Over returns the same values over a fallback.
func (l *Layered[T]) Over(f *Fallback[T]) *Layered[T] { return &Layered[T]{l.configured, l.stored, f} }

// Configured reports whether a key is that of a configured value.
func (l *Layered[T]) Configured(key string) bool {
	_, ok := l.configured[key]
	return ok
}

// FallsBack reports whether the fallback has a key, hidden or not.
func (l *Layered[T]) FallsBack(key string) bool {
	_, ok := l.fallback.Get(key)
	return ok
}

// IsFallback reports whether an entry is one of the fallback's.
func (l *Layered[T]) IsFallback(e Entry[T]) bool {
	lower, ok := l.fallback.Get(e.Key)
	return ok && e.Revision == lower.Revision && !l.Configured(e.Key)
}

// Get returns the value of a key, with an empty revision if it is configured. Errors are those of [Catalog.Get]: while the storage
// fails, the fallback doesn't count either, as the storage may have a value that hides it.
func (l *Layered[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	if v, ok := l.configured[key]; ok {
		return Entry[T]{Key: key, Value: *v}, nil
	}
	e, err := l.stored.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		if lower, ok := l.fallback.Get(key); ok {
			return lower, nil
		}
	}
	return e, err
}

// Fresh is Get past the cache, which may not know yet what another replica has written.
func (l *Layered[T]) Fresh(ctx context.Context, key string) (Entry[T], error) {
	if l.Configured(key) {
		return l.Get(ctx, key)
	}
	if key == "" || len(key) > MaxKey {
		return Entry[T]{}, ErrNotFound
	}
	e, err := l.stored.table.Get(Latest(ctx), key)
	if errors.Is(err, ErrNotFound) {
		if lower, ok := l.fallback.Get(key); ok {
			return lower, nil
		}
	}
	if err != nil {
		return Entry[T]{}, err
	}
	return e, l.stored.Misplaced(e)
}

// Knows reports whether a key is in memory: configured, in the fallback, or found when it was last looked up, see [Cache.Knows].
func (l *Layered[T]) Knows(key string) bool {
	return l.Configured(key) || l.FallsBack(key) || l.stored.cache.Knows(key)
}

// Has reports whether a key exists, by a list of all, see [Cache.Has].
func (l *Layered[T]) Has(ctx context.Context, key string) (bool, error) {
	if l.Configured(key) || l.FallsBack(key) {
		return true, nil
	}
	return l.stored.cache.Has(ctx, key)
}

// Stored returns the stored values and those of the fallback, without those that are hidden.
func (l *Layered[T]) Stored(ctx context.Context) ([]Entry[T], error) {
	all, err := l.stored.All(ctx)
	if err != nil {
		return nil, err
	}
	shown := slices.DeleteFunc(slices.Clone(all), func(e Entry[T]) bool { return l.Configured(e.Key) })
	lower := l.fallback.all()
	for _, key := range slices.Sorted(maps.Keys(lower)) {
		if !l.Configured(key) && !slices.ContainsFunc(all, func(e Entry[T]) bool { return e.Key == key }) {
			shown = append(shown, lower[key])
		}
	}
	return shown, nil
}

// The layers that a place in a list is in.
const (
	inStored = "s"
	above    = "c" // the fallback and the configuration, in the order of their keys
)

// List returns a page of all values, the stored ones first, and where the next page begins; empty after the last one. A page may
// have fewer values than the limit, even none, as stored values that are hidden are left out of it. Values come past the cache,
// and only one page is in memory. An after that is not from here is an *InvalidError.
func (l *Layered[T]) List(ctx context.Context, after string, limit int) (page []Entry[T], next string, err error) {
	limit = PageLimit(limit)
	layer, key := inStored, ""
	if after != "" {
		layer, key = after[:1], after[1:]
	}
	switch layer {
	case above:
		return l.listRest(ctx, key, limit)
	case inStored:
	default:
		return nil, "", invalidf("the page does not exist")
	}
	stored, err := l.stored.List(ctx, Query{After: key, Limit: limit})
	if err != nil {
		return nil, "", err
	}
	if len(stored) == limit {
		next = inStored + stored[limit-1].Key
	}
	stored = slices.DeleteFunc(stored, func(e Entry[T]) bool { return l.Configured(e.Key) })
	if next != "" {
		return stored, next, nil
	}
	page, next, err = l.listRest(ctx, "", limit-len(stored))
	return append(stored, page...), next, err
}

// listRest returns a page of values that aren't stored and follow a key, and where the next one begins.
func (l *Layered[T]) listRest(ctx context.Context, after string, limit int) (page []Entry[T], next string, err error) {
	rest := make(map[string]Entry[T], len(l.configured))
	maps.Copy(rest, l.fallback.all())
	for key, v := range l.configured {
		rest[key] = Entry[T]{Key: key, Value: *v}
	}
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		if key <= after {
			continue
		}
		if !l.Configured(key) { // a stored one hides it
			if _, err := l.stored.Get(ctx, key); err == nil || errors.Is(err, ErrMisplaced) {
				continue
			} else if !errors.Is(err, ErrNotFound) {
				return nil, "", err
			}
		}
		if len(page) == limit {
			return page, above + page[limit-1].Key, nil
		}
		page = append(page, rest[key])
	}
	return page, "", nil
}

// Forget makes the catalog read again what may have changed.
func (l *Layered[T]) Forget(c Change) { l.stored.Forget(c) }

// Catalog returns the stored values.
func (l *Layered[T]) Catalog() *Catalog[T] { return l.stored }
