// Package store is the storage contract: records, not tables. A record is a JSON document with a kind, a key, an
// optional owner, an optional expiry and a revision. Every operation is atomic and linearizable on one record, with the
// exception that [Latest] names; there are no transactions over several, so nothing in this program may keep an invariant
// that spans two records, and every sequence of operations is safe to cut at any point.
//
// Rooms don't use a Store directly but a [Table], which gives a kind its Go type. Backends live in folders below this
// one; package storetest holds all of them to this contract.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// The errors that callers tell apart. A backend may wrap them; compare with [errors.Is]. Every other error means that
// the storage could not do its work, and never that the record is there or is not.
var (
	// ErrNotFound says that no live record has the key; an expired record is not found.
	ErrNotFound = errors.New("record not found")
	// ErrExists says that Create met a live record of the same kind and key.
	ErrExists = errors.New("record exists")
	// ErrConflict says that the record has another revision than the caller read: somebody else changed it since.
	ErrConflict = errors.New("record was changed by somebody else")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("storage is closed")
)

// Bounds that every backend accepts and none needs to exceed.
const (
	// MaxKey is the longest kind, key or owner, in bytes.
	MaxKey = 512
	// MaxData is the largest document, in bytes.
	MaxData = 1 << 20
	// MaxStored is the largest document that begins with SealedPrefix, in bytes: one of MaxData, encrypted.
	MaxStored = MaxData + 4<<10
	// MaxLimit is the most records that one List or Expired returns, and its default; also the most that one Sweep removes.
	MaxLimit = 1000
)

// SealedPrefix begins a document that package sealed has encrypted, and no other: the others are JSON.
const SealedPrefix = "\x00dex-sealed\x01"

// A Record is what a Store keeps.
type Record struct {
	Kind string // the table, such as "refresh"; not empty
	Key  string // unique within the kind, compared byte by byte; not empty

	// Owner groups records of a kind for List; empty when nobody asks for them by owner.
	Owner string
	// Expires is when the record ceases to exist for Get, Create, Replace, Delete and List; zero means never.
	// Backends keep at least milliseconds.
	Expires time.Time
	// Revision names this version of the record, opaque and never reused for another version of the same key, also
	// not after it was deleted and created again. Set by the store.
	Revision string
	// Data is the document; the store keeps the bytes as they are.
	Data []byte
}

// Check reports why the record cannot be stored, if it can't.
func (r *Record) Check() error {
	maxData := MaxData
	if bytes.HasPrefix(r.Data, []byte(SealedPrefix)) {
		maxData = MaxStored
	}
	switch {
	case r.Kind == "" || len(r.Kind) > MaxKey:
		return fmt.Errorf("kind of %d bytes, must be 1 to %d", len(r.Kind), MaxKey)
	case r.Key == "" || len(r.Key) > MaxKey:
		return fmt.Errorf("key of %d bytes, must be 1 to %d", len(r.Key), MaxKey)
	case len(r.Owner) > MaxKey:
		return fmt.Errorf("owner of %d bytes, must be at most %d", len(r.Owner), MaxKey)
	case len(r.Data) > maxData:
		return fmt.Errorf("document of %d bytes, must be at most %d", len(r.Data), maxData)
	}
	return nil
}

// A Query selects records of one kind for List.
type Query struct {
	Owner string // only this owner's records; empty means everybody's
	After string // only what follows this key: the last one of the page before, whether it is still there or not
	Limit int    // at most this many; 0 or more than MaxLimit means MaxLimit
}

// PageLimit returns how many records a List, an Expired or a Sweep with a limit handles.
func PageLimit(limit int) int {
	if limit <= 0 || limit > MaxLimit {
		return MaxLimit
	}
	return limit
}

// A Change says that a record may have been created, replaced or deleted. An empty Key stands for every record of the
// kind, an empty Kind for every record: the watcher should forget all that it remembers.
type Change struct {
	Kind, Key string
}

// latest is the key of Latest in a context.
type latest struct{}

// Latest returns a context whose reads see every write that was answered before, whichever server of a cluster took it.
//
// Where servers of a cluster apply each other's writes a moment later, a Get without it may return a record as it was
// before its last change; ErrNotFound, ErrExists and ErrConflict are always up to date. Code that refuses somebody
// because of what a record says therefore reads it again with Latest. It costs nothing on other storages.
func Latest(ctx context.Context) context.Context { return context.WithValue(ctx, latest{}, true) }

// WantsLatest reports whether the context is one of Latest's.
func WantsLatest(ctx context.Context) bool { return ctx.Value(latest{}) != nil }

// A Store keeps records. All methods are safe for concurrent use, honour their context and return its error when it
// ends first; a write whose context ended may still have happened.
type Store interface {
	// Get returns the live record; ErrNotFound when there is none.
	Get(ctx context.Context, kind, key string) (Record, error)
	// Create stores a new record and returns its revision; ErrExists when a live one has the key. An expired record
	// of the key, swept or not, is no obstacle.
	Create(ctx context.Context, r Record) (revision string, err error)
	// Replace overwrites the live record of r.Kind and r.Key if its revision is r.Revision, and returns the new one;
	// ErrConflict when the revision is another, ErrNotFound when there is no live record.
	Replace(ctx context.Context, r Record) (revision string, err error)
	// Delete removes the live record if its revision is the one given; an empty revision removes whatever is there.
	// ErrConflict or ErrNotFound as Replace. Of several concurrent deletes of one record exactly one succeeds.
	Delete(ctx context.Context, kind, key, revision string) error
	// List returns live records in an order that is the store's own and never changes, so that q.After can go on where
	// a page ended.
	List(ctx context.Context, kind string, q Query) ([]Record, error)
	// Sweep removes up to limit records of a kind that expired before the time given, and returns how many. It never
	// removes a record whose expiry was moved meanwhile.
	Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error)
	// Expired returns up to limit records of a kind that expired before the time given, the earliest first. See [Reap].
	Expired(ctx context.Context, kind string, before time.Time, limit int) ([]Record, error)
	// Discard removes records of a kind, at most MaxLimit, that Expired returned, and returns how many. It never removes one
	// that was changed meanwhile, and may leave one that somebody is changing.
	Discard(ctx context.Context, kind string, expired []Record) (int, error)
	// Watch reports changes of the kinds that are Announced, those by other processes included, until its context ends;
	// then the channel is closed. It is best effort: a slow reader gets one Change{} for all that it missed.
	// Writers never wait for it.
	Watch(ctx context.Context) (<-chan Change, error)
	// Ping reports whether the storage can be reached, without writing.
	Ping(ctx context.Context) error
	// Close frees what the store holds. Operations that are under way may fail.
	Close() error
}
