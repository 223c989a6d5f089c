// Package federation is the connectors, configured and stored: which there are, and which of them work. A connector is opened
// in the background or when it is first needed, and then probed regularly; one that fails doesn't affect the others.
package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/store"
)

// ErrUnknown says that no connector has the id.
var ErrUnknown = errors.New("unknown connector")

// ErrDown says that a connector is known but can't be used now.
var ErrDown = errors.New("connector can't be used")

// A Registry finds and opens connectors; a configured one hides a stored one with the same id. It is safe for concurrent
// use.
type Registry struct {
	issuer *url.URL
	log    *slog.Logger
	known  *store.Layered[Definition]
	static []*source // the configured ones that can be used
	seen   *store.Table[seen]

	// changed wakes the goroutine that watches the stored connectors.
	changed chan struct{}
	// attempts counts the attempts at sources by how they ended.
	attempts *prometheus.CounterVec

	mu      sync.Mutex         // never held over I/O
	sources map[string]*source // the latest of each id
	retired []retired          // to be closed later
}

// NewRegistry returns a registry of configured and stored connectors. Nothing is opened yet.
func NewRegistry(definitions []*Definition, s store.Store, issuer *url.URL, log *slog.Logger) *Registry {
	r := &Registry{
		issuer:   issuer,
		log:      log,
		known:    store.NewLayered(definitions, NewCatalog(s, nil)),
		seen:     store.In(s, seenKind),
		changed:  make(chan struct{}, 1),
		attempts: newAttempts(),
		sources:  make(map[string]*source, len(definitions)),
	}
	for _, d := range definitions {
		s := newSource(d)
		r.sources[d.ID] = s
		switch {
		case d.Broken != nil:
			s.breakDown(d.Broken)
			continue
		case d.Config == nil:
			s.breakDown(errUnavailable(d.Type))
			continue
		}
		r.static = append(r.static, s)
	}
	return r
}

// Forget makes the registry read again connectors that have changed in the storage.
func (r *Registry) Forget(c store.Change) {
	r.known.Forget(c)
	if c.Kind != "" && c.Kind != Kind.Name() {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default: // it has been told already
	}
}

// List returns the connectors in the order in which the login page shows them: by name, without regard to case. An error
// means that the storage failed.
func (r *Registry) List(ctx context.Context) ([]*Definition, error) {
	sources, err := r.usable(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*Definition, 0, len(sources))
	for _, s := range sources {
		list = append(list, s.definition)
	}
	slices.SortStableFunc(list, func(a, b *Definition) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return list, nil
}

// usable returns the sources that can be used, the stored ones first.
func (r *Registry) usable(ctx context.Context) ([]*source, error) {
	stored, err := r.stored(ctx)
	if err != nil {
		return nil, fmt.Errorf("list connectors: %w", err)
	}
	return slices.Concat(stored, r.static), nil
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

// Open returns a connector ready for use; ErrUnknown if there is none with the id, and ErrDown if it doesn't work now, in
// which case it is tried again after a pause. Any other error means that the storage failed or the context ended.
func (r *Registry) Open(ctx context.Context, id string) (*Opened, error) {
	s, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, r)
}

// CheckAll opens and probes all connectors at once. Its error says which fail, or that the storage does.
func (r *Registry) CheckAll(ctx context.Context) error {
	sources, err := r.usable(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() { errs[i] = r.check(ctx, s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close closes all connectors. Nobody may use them any more.
func (r *Registry) Close() error {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.sources))
	for _, old := range r.retired {
		all = append(all, old.source)
	}
	r.retired = nil
	r.mu.Unlock()
	var errs []error
	for _, s := range all {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
