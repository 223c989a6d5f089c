package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dex/internal/wait"
)

// A Table keeps the records of one kind in a store, as JSON.
type Table[T any] struct {
	store Store
	kind  *Kind[T]
}

// An Entry is a value with its place in the store.
type Entry[T any] struct {
	Key      string
	Revision string
	Value    T
}

// In returns the table of a kind in a store. It panics if nobody declared the kind.
func In[T any](s Store, k *Kind[T]) *Table[T] {
	if k.name == "" {
		panic("store: a kind that was not declared")
	}
	return &Table[T]{store: s, kind: k}
}

// Kind returns the name of the table's kind.
func (t *Table[T]) Kind() string { return t.kind.name }

// Get returns the value of a key; ErrNotFound when there is none.
func (t *Table[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	r, err := t.store.Get(ctx, t.kind.name, key)
	if err != nil {
		return Entry[T]{}, fmt.Errorf("read %s: %w", t.kind.name, err)
	}
	return t.decode(r)
}

// Create stores the value under a new key; ErrExists when the key is taken.
func (t *Table[T]) Create(ctx context.Context, key string, v T) (Entry[T], error) {
	r, err := t.encode(key, "", &v)
	if err != nil {
		return Entry[T]{}, err
	}
	rev, err := t.store.Create(ctx, r)
	if err != nil {
		return Entry[T]{}, fmt.Errorf("create %s: %w", t.kind.name, err)
	}
	return Entry[T]{Key: key, Revision: rev, Value: v}, nil
}

// Record returns the record that Create would store.
func (t *Table[T]) Record(key string, v T) (Record, error) { return t.encode(key, "", &v) }

// Replace overwrites an entry that was read before; ErrConflict when somebody else was faster, ErrNotFound when it is
// gone. Prefer Update, which tries again.
func (t *Table[T]) Replace(ctx context.Context, e Entry[T]) (Entry[T], error) {
	r, err := t.encode(e.Key, e.Revision, &e.Value)
	if err != nil {
		return Entry[T]{}, err
	}
	if e.Revision, err = t.store.Replace(ctx, r); err != nil {
		return Entry[T]{}, fmt.Errorf("replace %s: %w", t.kind.name, err)
	}
	return e, nil
}

// Delete removes the value of a key if it has this revision, or whatever is there if revision is empty.
func (t *Table[T]) Delete(ctx context.Context, key, revision string) error {
	if err := t.store.Delete(ctx, t.kind.name, key, revision); err != nil {
		return fmt.Errorf("delete %s: %w", t.kind.name, err)
	}
	return nil
}

// List returns a page of entries, in the store's order.
func (t *Table[T]) List(ctx context.Context, q Query) ([]Entry[T], error) {
	records, err := t.store.List(ctx, t.kind.name, q)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t.kind.name, err)
	}
	return t.decodeAll(records)
}

// Expired returns entries that expired before a time, the earliest first. See [Reap].
func (t *Table[T]) Expired(ctx context.Context, before time.Time, limit int) ([]Entry[T], error) {
	records, err := t.store.Expired(ctx, t.kind.name, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list expired %s: %w", t.kind.name, err)
	}
	return t.decodeAll(records)
}

// All returns every entry, in the store's order.
func (t *Table[T]) All(ctx context.Context) ([]Entry[T], error) {
	var all []Entry[T]
	for q := (Query{Limit: MaxLimit}); ; q.After = all[len(all)-1].Key {
		page, err := t.List(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < MaxLimit {
			return all, nil
		}
	}
}

// ErrUnchanged, returned by the function given to Update, leaves the record as it is without an error.
var ErrUnchanged = errors.New("leave the record as it is")

// Update changes the value of a key: it reads, lets change edit the value, and writes if nobody else wrote meanwhile;
// otherwise it begins again. So change may run several times and must not depend on how often. It gets no context, so
// that it can't do I/O between the read and the write. An error from change ends the update: nothing is written, and the
// error is returned as it is. ErrUnchanged is the exception: it returns the value that was read, without an error.
func (t *Table[T]) Update(ctx context.Context, key string, change func(*T) error) (Entry[T], error) {
	e, err := t.Get(ctx, key)
	if err != nil {
		return Entry[T]{}, err
	}
	return t.UpdateEntry(ctx, e, change)
}

// UpdateEntry is Update for an entry that was read before: it reads again only when it has lost a race. Change must not
// write to what the entry's value refers to, such as the elements of a slice.
func (t *Table[T]) UpdateEntry(ctx context.Context, e Entry[T], change func(*T) error) (Entry[T], error) {
	for lost := 0; ; lost++ {
		if err := change(&e.Value); err != nil {
			if errors.Is(err, ErrUnchanged) {
				return e, nil
			}
			return Entry[T]{}, err
		}
		written, err := t.Replace(ctx, e)
		if !errors.Is(err, ErrConflict) {
			return written, err
		}
		if err := backOff(ctx, lost); err != nil {
			return Entry[T]{}, fmt.Errorf("update %s after %d lost races: %w", t.kind.name, lost+1, err)
		}
		if e, err = t.Get(Latest(ctx), e.Key); err != nil {
			return Entry[T]{}, err
		}
	}
}

// backOff waits a little at random, longer with each race that was lost, so that many writers of one record get
// through one by one.
func backOff(ctx context.Context, lost int) error {
	const longest = 50 * time.Millisecond
	limit := min(time.Millisecond<<min(lost, 10), longest)
	return wait.For(ctx, rand.N(limit)) //nolint:gosec // jitter, not a secret
}

func (t *Table[T]) encode(key, revision string, v *T) (Record, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s: %w", t.kind.name, err)
	}
	r := Record{Kind: t.kind.name, Key: key, Revision: revision, Data: data}
	if t.kind.owner != nil {
		r.Owner = t.kind.owner(v)
	}
	if t.kind.expires != nil {
		r.Expires = t.kind.expires(v)
	}
	return r, nil
}

func (t *Table[T]) decode(r Record) (Entry[T], error) {
	e := Entry[T]{Key: r.Key, Revision: r.Revision}
	if bytes.HasPrefix(r.Data, []byte(SealedPrefix)) {
		return Entry[T]{}, fmt.Errorf("record %s %q is not readable: it is sealed and can't be opened", t.kind.name, r.Key)
	}
	if err := json.Unmarshal(r.Data, &e.Value); err != nil {
		// The document itself may hold secrets, so the error names only where it is.
		return Entry[T]{}, fmt.Errorf("record %s %q is not readable: %w", t.kind.name, r.Key, err)
	}
	return e, nil
}

func (t *Table[T]) decodeAll(records []Record) ([]Entry[T], error) {
	entries := make([]Entry[T], 0, len(records))
	for _, r := range records {
		e, err := t.decode(r)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}
