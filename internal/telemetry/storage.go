package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/store"
)

// Storage returns a store that times the operations of another one. What caches answer doesn't come this far.
func (m *Metrics) Storage(s store.Store) store.Store {
	return &timedStore{Store: s, durations: m.storage}
}

// A timedStore times operations. Looking up a labelled metric costs a hash and a lock, so it keeps those that it has used: kinds
// and outcomes are few.
type timedStore struct {
	store.Store
	durations *prometheus.HistogramVec
	series    sync.Map // of storeSeries to prometheus.Observer
}

type storeSeries struct{ operation, kind, outcome string }

// An operation is one that is under way.
type operation struct {
	store      *timedStore
	name, kind string
	began      time.Time
	span       Span
}

func (s *timedStore) begin(ctx context.Context, name, kind string) (context.Context, operation) {
	ctx, span := StartSpan(ctx, spanNames[name])
	span.Set("dex.kind", kind)
	return ctx, operation{store: s, name: name, kind: kind, began: time.Now(), span: span}
}

func (o operation) end(ctx context.Context, err error) {
	took := time.Since(o.began).Seconds()
	of := storeSeries{o.name, o.kind, storeOutcome(ctx, err)}
	known, ok := o.store.series.Load(of)
	if !ok {
		known, _ = o.store.series.LoadOrStore(of, o.store.durations.WithLabelValues(of.operation, of.kind, of.outcome))
	}
	known.(prometheus.Observer).Observe(took)
	o.span.Set("dex.outcome", of.outcome)
	if of.outcome != "error" {
		err = nil
	}
	o.span.End(err)
}

// storeOutcome returns how an operation has ended. Only an error says that the storage could not do its work.
func storeOutcome(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrNotFound):
		return "not_found"
	case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrConflict):
		return "conflict"
	case errors.Is(context.Cause(ctx), context.Canceled):
		return "cancelled"
	}
	return "error"
}

// spanNames are the names of spans by those of operations.
var spanNames = map[string]string{
	"get": "store get", "create": "store create", "replace": "store replace", "delete": "store delete", "list": "store list",
	"sweep": "store sweep", "expired": "store expired", "discard": "store discard",
}

// Unwrap returns the store below.
func (s *timedStore) Unwrap() store.Store { return s.Store }

// Get is part of store.Store.
func (s *timedStore) Get(ctx context.Context, kind, key string) (store.Record, error) {
	ctx, o := s.begin(ctx, "get", kind)
	r, err := s.Store.Get(ctx, kind, key)
	o.end(ctx, err)
	return r, err
}

// Create is part of store.Store.
func (s *timedStore) Create(ctx context.Context, r store.Record) (string, error) {
	ctx, o := s.begin(ctx, "create", r.Kind)
	revision, err := s.Store.Create(ctx, r)
	o.end(ctx, err)
	return revision, err
}

// Replace is part of store.Store.
func (s *timedStore) Replace(ctx context.Context, r store.Record) (string, error) {
	ctx, o := s.begin(ctx, "replace", r.Kind)
	revision, err := s.Store.Replace(ctx, r)
	o.end(ctx, err)
	return revision, err
}

// Delete is part of store.Store.
func (s *timedStore) Delete(ctx context.Context, kind, key, revision string) error {
	ctx, o := s.begin(ctx, "delete", kind)
	err := s.Store.Delete(ctx, kind, key, revision)
	o.end(ctx, err)
	return err
}

// List is part of store.Store.
func (s *timedStore) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	ctx, o := s.begin(ctx, "list", kind)
	all, err := s.Store.List(ctx, kind, q)
	o.end(ctx, err)
	return all, err
}

// Sweep is part of store.Store.
func (s *timedStore) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	ctx, o := s.begin(ctx, "sweep", kind)
	n, err := s.Store.Sweep(ctx, kind, before, limit)
	o.end(ctx, err)
	return n, err
}

// Expired is part of store.Store.
func (s *timedStore) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	ctx, o := s.begin(ctx, "expired", kind)
	all, err := s.Store.Expired(ctx, kind, before, limit)
	o.end(ctx, err)
	return all, err
}

// Discard is part of store.Store.
func (s *timedStore) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	ctx, o := s.begin(ctx, "discard", kind)
	n, err := s.Store.Discard(ctx, kind, expired)
	o.end(ctx, err)
	return n, err
}

// CreateAll is part of store.Bulk. It isn't timed: only imports use it.
func (s *timedStore) CreateAll(ctx context.Context, records []store.Record) error {
	return store.CreateAll(ctx, s.Store, records)
}
