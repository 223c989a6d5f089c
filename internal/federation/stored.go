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
		if s := r.pool.sourceOf(ctx, e); s.broken == nil {
			usable = append(usable, s)
		}
	}
	r.pool.prune(r, there)
	return usable, nil
}

// find returns the connector with an id, or ErrUnknown.
func (r *Registry) find(ctx context.Context, id string) (member, error) {
	if m, ok := r.configured[id]; ok {
		return m, m.source.broken
	}
	e, err := r.known.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return member{}, ErrUnknown
	case err != nil && !errors.Is(err, store.ErrMisplaced):
		return member{}, err
	}
	s := r.pool.sourceOf(ctx, e)
	return member{s.definition, s}, s.broken
}

// fromStorage returns the source of a stored connector, if it was met already.
func (p *Pool) fromStorage(id string) (*source, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.stored[id]
	return s, ok
}

// sourceOf returns the source of a stored connector, a new one whenever the connector has changed.
func (p *Pool) sourceOf(ctx context.Context, e store.Entry[Definition]) *source {
	p.mu.Lock()
	before, ok := p.stored[e.Key]
	if ok && before.revision == e.Revision {
		p.mu.Unlock()
		return before
	}
	d := e.Value
	d.ID = e.Key // even if its own is another one
	s := newSource(&d)
	s.revision = e.Revision
	if err := p.known.Catalog().Misplaced(e); err != nil {
		s.breakDown(err)
	} else if err := d.open(ctx, p.log); err != nil {
		s.breakDown(err)
	}
	p.stored[e.Key] = s
	if ok {
		p.retire(before)
	}
	p.mu.Unlock()
	if s.broken != nil {
		p.log.ErrorContext(ctx, "stored connector is left out", "connector_id", e.Key, "err", s.broken)
	}
	return s
}

// prune retires the sources of stored connectors that are gone, or that the registry in use hides; it takes no notice of what
// another registry finds.
func (p *Pool) prune(by *Registry, there map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by != p.inUse {
		return
	}
	for id, s := range p.stored {
		if !there[id] {
			delete(p.stored, id)
			p.retire(s)
		}
	}
}
