// Package sealed encrypts documents before another store keeps them, so that a copy of the database is worth nothing
// without the operator's key. What the store needs to find a record stays in clear: kind, key, owner and expiry.
//
// It protects secrets from people who read the database, not the database from people who write to it: documents in clear
// are read as they are, so that a key can be given to a storage that is in use, and whoever can write can put some there.
package sealed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
)

var (
	// ErrSealed says that a document needs a key that was not given.
	ErrSealed = errors.New("the storage is sealed")
	// ErrNotAuthentic says that a sealed document was damaged, changed, or taken from another record.
	ErrNotAuthentic = errors.New("the sealed document is damaged or belongs to another record")
)

// sealing is the store that New returns.
type sealing struct {
	store.Store // the other methods have nothing to do with documents

	keys Keys
	open map[string]bool
}

// New returns a store that keeps documents in another one, encrypted except for the kinds that are open. Documents in clear
// are read as they are and encrypted when they are next written. Without keys documents are kept in clear, and reading an
// encrypted one is ErrSealed. Unwrap returns the other store.
func New(s store.Store, keys Keys, open []string) store.Store {
	w := &sealing{Store: s, keys: keys, open: make(map[string]bool, len(open))}
	for _, kind := range open {
		w.open[kind] = true
	}
	return w
}

// Unwrap returns the store below.
func (s *sealing) Unwrap() store.Store { return s.Store }

// KeysOf returns the keys of the store that New returned, also when it is wrapped by others that have an Unwrap method;
// false when there is no such store, so that nobody knows whether it should have keys.
func KeysOf(s store.Store) (Keys, bool) {
	if w := find(s); w != nil {
		return w.keys, true
	}
	return Keys{}, false
}

func find(s store.Store) *sealing {
	for s != nil {
		if w, ok := s.(*sealing); ok {
			return w
		}
		outer, ok := s.(interface{ Unwrap() store.Store })
		if !ok {
			return nil
		}
		s = outer.Unwrap()
	}
	return nil
}

// Get is part of store.Store.
func (s *sealing) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r, err := s.Store.Get(ctx, kind, key)
	if err != nil {
		return r, err
	}
	return s.opened(r)
}

// List is part of store.Store.
func (s *sealing) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	page, err := s.Store.List(ctx, kind, q)
	if err != nil {
		return nil, err
	}
	for i, r := range page {
		if page[i], err = s.opened(r); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// Expired is part of store.Store. A document that can't be opened stays as it is: its key may be gone for good, and the first
// such record would hide all that expired after it.
func (s *sealing) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	page, err := s.Store.Expired(ctx, kind, before, limit)
	if err != nil {
		return nil, err
	}
	for i, r := range page {
		if opened, err := s.opened(r); err == nil {
			page[i] = opened
		}
	}
	return page, nil
}

// Create is part of store.Store.
func (s *sealing) Create(ctx context.Context, r store.Record) (string, error) {
	r, err := s.sealed(r)
	if err != nil {
		return "", err
	}
	return s.Store.Create(ctx, r)
}

// Replace is part of store.Store.
func (s *sealing) Replace(ctx context.Context, r store.Record) (string, error) {
	r, err := s.sealed(r)
	if err != nil {
		return "", err
	}
	return s.Store.Replace(ctx, r)
}

// CreateAll is part of store.Bulk. How the store below does it is its own affair.
func (s *sealing) CreateAll(ctx context.Context, records []store.Record) error {
	closed := make([]store.Record, len(records))
	for i, r := range records {
		var err error
		if closed[i], err = s.sealed(r); err != nil {
			return err
		}
	}
	return store.CreateAll(ctx, s.Store, closed)
}

// opened returns a record of the store below with its document in clear. A kind that is open now may hold documents that
// were sealed before it was.
func (s *sealing) opened(r store.Record) (store.Record, error) {
	e, ok, err := parse(r.Data)
	if !ok {
		return r, nil
	}
	if err == nil {
		r.Data, err = s.keys.open(e, r.Kind, r.Key)
	}
	if err != nil {
		return store.Record{}, fmt.Errorf("record %s %q: %w", r.Kind, r.Key, err)
	}
	return r, nil
}

// sealed returns a record as the store below has to keep it.
func (s *sealing) sealed(r store.Record) (store.Record, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	if !s.seals(r.Kind) {
		if _, ok, _ := parse(r.Data); ok { // it would be taken for sealed when it is read
			return r, fmt.Errorf("record %s %q: the document looks like a sealed one", r.Kind, r.Key)
		}
		return r, nil
	}
	sealer, size := s.keys.keys[0], len(r.Data)
	if f, _ := store.FactsOf(r.Kind); f.Kubernetes != store.UpstreamObject {
		r.Data = sealer.sealBinary(r.Kind, r.Key, r.Data)
		return r, nil
	}
	// It becomes a member of an object.
	r.Data = sealer.sealJSON(r.Kind, r.Key, r.Data)
	if len(r.Data) > store.MaxData {
		return r, fmt.Errorf("document of %d bytes takes %d when it is sealed, must be at most %d",
			size, len(r.Data), store.MaxData)
	}
	return r, nil
}

func (s *sealing) seals(kind string) bool { return s.keys.Any() && !s.open[kind] }
