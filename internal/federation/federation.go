// Package federation is the connectors, configured and stored: which there are, and which of them work. A connector is opened
// in the background or when it is first needed, and then probed regularly; one that fails doesn't affect the others. A Pool
// keeps connectors open for as long as the process lives; each configuration has a Registry over it.
package federation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"dex/internal/store"
)

// ErrUnknown says that no connector has the id.
var ErrUnknown = errors.New("unknown connector")

// ErrDown says that a connector is known but can't be used now.
var ErrDown = errors.New("connector can't be used")

// A Registry finds and opens connectors: those of one configuration, and the stored ones; a configured one hides a stored one
// with the same id. It never changes, and is safe for concurrent use.
type Registry struct {
	pool       *Pool
	known      *store.Layered[Definition]
	configured map[string]member // by id
	usable     []member          // of the configured ones
	added      []*source         // of the usable ones, those that did not go over from the registry before
}

// A member is a connector of a registry. The source may be that of an earlier configuration, which had another name for it.
type member struct {
	definition *Definition
	source     *source
}

// List returns the connectors in the order in which the login page shows them: by their order, then by name without regard to
// case. An error means that the storage failed.
func (r *Registry) List(ctx context.Context) ([]*Definition, error) {
	members, err := r.members(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*Definition, 0, len(members))
	for _, m := range members {
		list = append(list, m.definition)
	}
	slices.SortStableFunc(list, func(a, b *Definition) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
	return list, nil
}

// members returns the connectors that can be used, the stored ones first.
func (r *Registry) members(ctx context.Context) ([]member, error) {
	stored, err := r.stored(ctx)
	if err != nil {
		return nil, fmt.Errorf("list connectors: %w", err)
	}
	members := make([]member, 0, len(stored)+len(r.usable))
	for _, s := range stored {
		members = append(members, member{s.definition, s})
	}
	return append(members, r.usable...), nil
}

// Knows reports whether there is a connector with an id. It looks at the list of them in memory, so that made-up ids cost the
// storage nothing, and may miss one that another replica has just stored. An error means that the storage failed.
func (r *Registry) Knows(ctx context.Context, id string) (bool, error) {
	known, err := r.known.Has(ctx, id)
	if err != nil {
		return false, fmt.Errorf("list connectors: %w", err)
	}
	return known, nil
}

// Records returns the connectors as those who administer them see them, broken ones included.
func (r *Registry) Records() *store.Layered[Definition] { return r.known }

// Open returns a connector ready for use; ErrUnknown if there is none with the id, and ErrDown if it doesn't work now, in
// which case it is tried again after a pause. Any other error means that the storage failed or the context ended.
func (r *Registry) Open(ctx context.Context, id string) (*Opened, error) {
	m, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	opened, err := m.source.open(ctx, r.pool)
	if err != nil || opened.Definition == m.definition {
		return opened, err
	}
	return &Opened{Definition: m.definition, Instance: opened.Instance}, nil
}

// Failing reports whether a connector could not be used when it was last looked at.
func (r *Registry) Failing(id string) bool {
	m, ok := r.configured[id]
	if !ok {
		m.source, ok = r.pool.fromStorage(id)
	}
	return ok && m.source.fares().Err != nil
}

// CheckAll opens and probes all connectors at once. Its error says which fail, or that the storage does.
func (r *Registry) CheckAll(ctx context.Context) error {
	members, err := r.members(ctx)
	if err != nil {
		return err
	}
	sources := make([]*source, 0, len(members))
	for _, m := range members {
		sources = append(sources, m.source)
	}
	return r.pool.checkAll(ctx, sources)
}

// CheckAdded is CheckAll for the connectors that did not go over from the registry before.
func (r *Registry) CheckAdded(ctx context.Context) error { return r.pool.checkAll(ctx, r.added) }

func (p *Pool) checkAll(ctx context.Context, sources []*source) error {
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() { errs[i] = p.check(ctx, s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Size returns how many of the configured connectors can be used, and how many of these did not go over from the registry
// before.
func (r *Registry) Size() (all, added int) { return len(r.usable), len(r.added) }
