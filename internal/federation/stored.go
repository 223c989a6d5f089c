package federation

import (
	"context"
	"errors"

	"dex/internal/store"
)

// stored returns the usable stored sources that no configured one hides. Each unusable one is left out and logged once.
func (r *Registry) stored(ctx context.Context) ([]*source, error) {
	entries, err := r.known.Stored(ctx)
	if err != nil {
		return nil, err
	}
	var usable []*source
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Key] = true
		if s := r.sourceOf(ctx, e); s.broken == nil {
			usable = append(usable, s)
		}
	}
	r.prune(there)
	return usable, nil
}

// find returns the source with an id, or ErrUnknown.
func (r *Registry) find(ctx context.Context, id string) (*source, error) {
	e, err := r.known.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, ErrUnknown
	case err != nil && !errors.Is(err, store.ErrMisplaced):
		return nil, err
	}
	s := r.sourceOf(ctx, e)
	return s, s.broken
}

// sourceOf returns the source of a connector, a new one whenever a stored connector has changed.
func (r *Registry) sourceOf(ctx context.Context, e store.Entry[Definition]) *source {
	r.mu.Lock()
	before, ok := r.sources[e.Key]
	if ok && before.revision == e.Revision {
		r.mu.Unlock()
		return before
	}
	d := e.Value
	d.ID = e.Key // even if its own is another one
	s := newSource(&d)
	s.revision = e.Revision
	if err := r.known.Catalog().Misplaced(e); err != nil {
		s.breakDown(err)
	} else if err := d.open(ctx, r.log); err != nil {
		s.breakDown(err)
	}
	r.sources[e.Key] = s
	if ok {
		r.retire(before)
	}
	r.mu.Unlock()
	if s.broken != nil {
		r.log.ErrorContext(ctx, "stored connector is left out", "connector_id", e.Key, "err", s.broken)
	}
	return s
}

// prune retires the sources of stored connectors that are gone.
func (r *Registry) prune(there map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.sources {
		if !there[id] && !r.known.Configured(id) {
			delete(r.sources, id)
			r.retire(s)
		}
	}
}
