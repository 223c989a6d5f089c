package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Rules are what a room says about records that people administer: clients, users and connectors.
type Rules[T any] struct {
	Kind *Kind[T]
	// Key returns the key of a value's record.
	Key func(*T) string
	// Validate returns what is wrong with a value and which of its members it is about, or nil.
	Validate func(*T) error
	// Conceal replaces secrets by their stored form, such as a hash, before a value is stored. Members that equal those of
	// before, the zero value for a new record, are in that form already. Nil means that there are no secrets.
	Conceal func(before, v *T)
}

// An InvalidError says why a value can't be stored, whatever storage there is.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *InvalidError) Unwrap() error { return e.Err }

func invalidf(format string, args ...any) error { return &InvalidError{fmt.Errorf(format, args...)} }

// MaxDocument is how large the document of a catalog's record may be, in bytes: sealing adds to it.
const MaxDocument = MaxData - 4<<10

// A Catalog holds the stored records of a kind. All writes go through it, and it reads through a cache. It is safe for
// concurrent use.
type Catalog[T any] struct {
	rules Rules[T]
	table *Table[T]
	cache *Cache[T]
	log   *slog.Logger

	mu        sync.Mutex        // never held over I/O
	validated map[string]string // the revision that was validated last, by key
}

// NewCatalog returns the records of a kind in a store. It logs each invalid one once; a nil log means that nobody checks.
func NewCatalog[T any](s Store, rules Rules[T], log *slog.Logger) *Catalog[T] {
	table := In(s, rules.Kind)
	return &Catalog[T]{rules: rules, table: table, cache: NewCache(table), log: log, validated: make(map[string]string)}
}

// Forget makes the catalog read again what may have changed.
func (c *Catalog[T]) Forget(change Change) { c.cache.Forget(change) }

// Create stores a new value. It fails with an *InvalidError, or ErrExists.
func (c *Catalog[T]) Create(ctx context.Context, v T) (Entry[T], error) {
	if err := c.rules.Validate(&v); err != nil {
		return Entry[T]{}, &InvalidError{err}
	}
	return c.create(ctx, v)
}

// Adopt is Create for a value that has been in use elsewhere, such as upstream's: it isn't validated. If there is one already,
// that stays as it is, and created is false.
func (c *Catalog[T]) Adopt(ctx context.Context, v T) (created bool, err error) {
	_, err = c.create(ctx, v)
	if errors.Is(err, ErrExists) {
		return false, nil
	}
	return err == nil, err
}

func (c *Catalog[T]) create(ctx context.Context, v T) (Entry[T], error) {
	key := c.rules.Key(&v)
	c.conceal(new(T), &v)
	if err := c.check(key, &v); err != nil {
		return Entry[T]{}, err
	}
	defer c.changed(key)
	return c.table.Create(ctx, key, v)
}

// Update changes the value of a key as [Table.Update] does. It fails with an *InvalidError, ErrNotFound, or change's error.
func (c *Catalog[T]) Update(ctx context.Context, key string, change func(*T) error) (Entry[T], error) {
	return c.Amend(ctx, key, c.validly(change))
}

// UpdateRevision is Update for a value that must have this revision still. Otherwise it fails with ErrConflict.
func (c *Catalog[T]) UpdateRevision(ctx context.Context, key, revision string, change func(*T) error) (Entry[T], error) {
	e, err := c.table.Get(Latest(ctx), key)
	if err != nil {
		return Entry[T]{}, err
	}
	if e.Revision != revision {
		return Entry[T]{}, ErrConflict
	}
	if err := c.amending(key, c.validly(change))(&e.Value); err != nil {
		if errors.Is(err, ErrUnchanged) {
			return e, nil
		}
		return Entry[T]{}, err
	}
	defer c.changed(key)
	return c.table.Replace(ctx, e)
}

// validly returns a change that fails if what comes of it isn't valid.
func (c *Catalog[T]) validly(change func(*T) error) func(*T) error {
	return func(v *T) error {
		if err := change(v); err != nil {
			return err
		}
		if err := c.rules.Validate(v); err != nil {
			return &InvalidError{err}
		}
		return nil
	}
}

// Amend is Update for a change that the room makes by itself, which older mistakes in the value must not prevent.
func (c *Catalog[T]) Amend(ctx context.Context, key string, change func(*T) error) (Entry[T], error) {
	defer c.changed(key)
	return c.table.Update(ctx, key, c.amending(key, change))
}

// amending returns a change that also conceals secrets, and fails if what comes of it can't be stored.
func (c *Catalog[T]) amending(key string, change func(*T) error) func(*T) error {
	return func(v *T) error {
		before := *v
		if err := change(v); err != nil {
			return err
		}
		if renamed := c.rules.Key(v); renamed != key {
			return invalidf("the key of a %s can't change from %q to %q", c.table.Kind(), key, renamed)
		}
		c.conceal(&before, v)
		return c.check(key, v)
	}
}

// Valid returns what is wrong with a value, as an *InvalidError, or nil.
func (c *Catalog[T]) Valid(v T) error {
	if err := c.rules.Validate(&v); err != nil {
		return &InvalidError{err}
	}
	return c.check(c.rules.Key(&v), &v)
}

// Delete removes the value of a key if it has this revision, or whatever is there if revision is empty.
func (c *Catalog[T]) Delete(ctx context.Context, key, revision string) error {
	defer c.changed(key)
	return c.table.Delete(ctx, key, revision)
}

// Get returns the stored value of a key, or ErrNotFound. If the value has another key it returns both the entry and
// ErrMisplaced.
func (c *Catalog[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	if key == "" || len(key) > MaxKey {
		return Entry[T]{}, ErrNotFound
	}
	e, err := c.cache.Get(ctx, key)
	if err != nil {
		return e, err
	}
	c.validate(ctx, e)
	return e, c.Misplaced(e)
}

// All returns every stored value, for kinds of which there are few.
func (c *Catalog[T]) All(ctx context.Context) ([]Entry[T], error) {
	all, err := c.cache.All(ctx)
	for _, e := range all {
		c.validate(ctx, e)
	}
	return all, err
}

// List returns a page of stored values, in the store's order, past the cache.
func (c *Catalog[T]) List(ctx context.Context, q Query) ([]Entry[T], error) {
	return c.table.List(ctx, q)
}

// ErrMisplaced says that a record is under a key that isn't its value's. On Kubernetes people edit records.
var ErrMisplaced = errors.New("the record has another one's key")

// Misplaced returns an ErrMisplaced if an entry has another key than its value, or nil.
func (c *Catalog[T]) Misplaced(e Entry[T]) error {
	if own := c.rules.Key(&e.Value); own != e.Key {
		return fmt.Errorf("stored %s %q says that it is %q: %w", c.table.Kind(), e.Key, own, ErrMisplaced)
	}
	return nil
}

func (c *Catalog[T]) conceal(before, v *T) {
	if c.rules.Conceal != nil {
		c.rules.Conceal(before, v)
	}
}

// check returns why a value can't be a record.
func (c *Catalog[T]) check(key string, v *T) error {
	if key == "" || len(key) > MaxKey {
		return invalidf("its id has %d bytes; it must have 1 to %d", len(key), MaxKey)
	}
	r, err := c.table.encode(key, "", v)
	if err != nil {
		return err
	}
	if len(r.Data) > MaxDocument {
		return invalidf("it has %d bytes; it must have at most %d", len(r.Data), MaxDocument)
	}
	return nil
}

// changed makes a value that may have been written be read again.
func (c *Catalog[T]) changed(key string) { c.Forget(Change{Kind: c.table.Kind(), Key: key}) }

// validate logs once that a value is not valid. The room decides what it can still be used for.
func (c *Catalog[T]) validate(ctx context.Context, e Entry[T]) {
	if c.log == nil || !c.first(e) {
		return
	}
	if err := c.rules.Validate(&e.Value); err != nil {
		c.log.WarnContext(ctx, "stored "+c.table.Kind()+" is not valid", "id", e.Key, "err", err)
	}
}

// first reports whether it is called for the first time for a revision of a value.
func (c *Catalog[T]) first(e Entry[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.validated[e.Key] == e.Revision {
		return false
	}
	remember(c.validated, e.Key, e.Revision)
	return true
}
