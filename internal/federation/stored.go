package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/store"
)

// stored returns the sources of the storage that no configured one hides. One that can't be used is left out, and told of
// once.
func (r *Registry) stored(ctx context.Context) ([]*source, error) {
	entries, err := r.cache.All(ctx)
	if err != nil {
		return nil, err
	}
	var usable []*source
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		if _, hidden := r.byID[e.Key]; hidden {
			continue
		}
		there[e.Key] = true
		if s := r.sourceOf(ctx, e); s.broken == nil {
			usable = append(usable, s)
		}
	}
	r.prune(there)
	return usable, nil
}

// find returns the source of an id; ErrUnknown when there is none.
func (r *Registry) find(ctx context.Context, id string) (*source, error) {
	if s, ok := r.byID[id]; ok {
		return s, s.broken
	}
	if id == "" || len(id) > store.MaxKey {
		return nil, ErrUnknown
	}
	e, err := r.cache.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	s := r.sourceOf(ctx, e)
	return s, s.broken
}

// sourceOf returns the source of a stored connector: a new one each time that the connector has changed.
func (r *Registry) sourceOf(ctx context.Context, e store.Entry[Document]) *source {
	r.mu.Lock()
	before, ok := r.fromStorage[e.Key]
	if ok && before.revision == e.Revision {
		r.mu.Unlock()
		return before
	}
	s := newSource(&Definition{ID: e.Key, Type: e.Value.Type, Name: e.Value.Name, GrantTypes: e.Value.GrantTypes})
	s.revision = e.Revision
	var err error
	if s.definition.Config, err = decode(ctx, &e.Value, e.Key, r.log); err != nil {
		s.breakDown(err)
	}
	r.fromStorage[e.Key] = s
	if ok {
		r.retire(before)
	}
	r.mu.Unlock()
	if s.broken != nil {
		r.log.ErrorContext(ctx, "stored connector is left out", "connector_id", e.Key, "err", s.broken)
	}
	return s
}

// prune forgets the sources of connectors that are no longer there.
func (r *Registry) prune(there map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.fromStorage {
		if !there[id] {
			delete(r.fromStorage, id)
			r.retire(s)
		}
	}
}

func errUnavailable(kind string) error {
	return fmt.Errorf("connectors of type %q are not available", kind)
}

// decode reads the settings of a stored connector.
func decode(ctx context.Context, d *Document, id string, log *slog.Logger) (connector.Config, error) {
	if d.ID != id {
		return nil, fmt.Errorf("stored connector %q says that it is %q", id, d.ID)
	}
	settings, ok := NewConfig(d.Type)
	if !ok {
		return nil, errUnavailable(d.Type)
	}
	var section config.Section
	if len(d.Config) > 0 {
		var err error
		if section, err = config.SectionFromJSON("connector "+id, d.Config); err != nil {
			return nil, err
		}
	}
	problems := section.Decode(settings)
	if problems.HasErrors() {
		return nil, problems.Err()
	}
	for _, p := range problems {
		log.WarnContext(ctx, "setting of a stored connector", "connector_id", id, "problem", p.String())
	}
	return settings, nil
}
