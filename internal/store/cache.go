package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// cacheAge bounds how long a value is remembered if its change is not reported.
	cacheAge = 30 * time.Second
	// maxCached is how many keys of a kind are remembered, and how many that are not there.
	maxCached = 10_000
	// listTimeout bounds how long a list of all may take.
	listTimeout = 30 * time.Second
)

// A Cache answers reads of one kind from memory. It forgets what Watch reports as changed, and everything after half a
// minute. Values are shared: callers must not change them. It is safe for concurrent use.
type Cache[T any] struct {
	table *Table[T]

	mu    sync.Mutex // never held over I/O
	epoch uint64     // grows with each change: what was read before one is not remembered after it
	byKey map[string]remembered[Entry[T]]
	none  map[string]time.Time // keys that are not there, and until when that counts: strangers ask for any
	all   remembered[[]Entry[T]]

	listing singleflight.Group // by epoch
}

// remembered is an answer of the storage.
type remembered[V any] struct {
	value V
	until time.Time
}

// NewCache returns an empty cache over a table. It lags behind until whoever watches the storage calls Forget. It panics if
// Watch does not tell of the table's kind.
func NewCache[T any](t *Table[T]) *Cache[T] {
	if !Announced(t.Kind()) {
		panic("store: a cache of " + t.Kind() + ", which is a quiet kind, would not learn of changes")
	}
	return &Cache[T]{table: t, byKey: make(map[string]remembered[Entry[T]]), none: make(map[string]time.Time)}
}

// Get returns the value of a key; ErrNotFound when there is none.
func (c *Cache[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	c.mu.Lock()
	epoch, found, none := c.epoch, c.byKey[key], c.none[key]
	c.mu.Unlock()
	switch now := time.Now(); {
	case now.Before(found.until):
		return found.value, nil
	case now.Before(none):
		return Entry[T]{}, ErrNotFound
	}
	key = strings.Clone(key) // often a piece of a large request, all of which would be kept with it
	e, err := c.table.Get(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return e, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return e, err
	}
	until := time.Now().Add(cacheAge)
	if err != nil {
		delete(c.byKey, key)
		remember(c.none, key, until)
		return e, err
	}
	delete(c.none, key)
	remember(c.byKey, key, remembered[Entry[T]]{value: e, until: until})
	return e, nil
}

// remember adds to a map, and forgets all of it when it is full.
func remember[V any](m map[string]V, key string, v V) {
	if len(m) >= maxCached {
		clear(m)
	}
	m[key] = v
}

// Knows reports whether a key was there when it was last looked for, however long ago that is. Anyone who asks for another
// key may be a guessing stranger.
func (c *Cache[T]) Knows(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.byKey[key]
	return ok
}

// Has reports whether a key is there, by listing all. So however many keys strangers try, they cost the storage no more than
// a list now and then.
func (c *Cache[T]) Has(ctx context.Context, key string) (bool, error) {
	all, err := c.All(ctx)
	return slices.ContainsFunc(all, func(e Entry[T]) bool { return e.Key == key }), err
}

// All returns every value. It is for kinds with few records. Concurrent callers share one list, which completes even if the
// first of them goes away.
func (c *Cache[T]) All(ctx context.Context) ([]Entry[T], error) {
	c.mu.Lock()
	epoch, found := c.epoch, c.all
	c.mu.Unlock()
	if time.Now().Before(found.until) {
		return found.value, nil
	}
	list, err, _ := c.listing.Do(strconv.FormatUint(epoch, 10), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
		defer cancel()
		return c.list(ctx, epoch)
	})
	all, _ := list.([]Entry[T])
	return all, err
}

func (c *Cache[T]) list(ctx context.Context, epoch uint64) ([]Entry[T], error) {
	all, err := c.table.All(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.all = remembered[[]Entry[T]]{value: all, until: time.Now().Add(cacheAge)}
	}
	return all, nil
}

// Forget makes the cache forget what a change may stand for.
func (c *Cache[T]) Forget(change Change) {
	if change.Kind != "" && change.Kind != c.table.Kind() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.all = remembered[[]Entry[T]]{}
	if change.Kind == "" || change.Key == "" {
		clear(c.byKey)
		clear(c.none)
		return
	}
	delete(c.byKey, change.Key)
	delete(c.none, change.Key)
}
