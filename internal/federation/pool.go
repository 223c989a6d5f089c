package federation

import (
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"sync"

	"dex/internal/event"
	"dex/internal/store"
)

// A Pool keeps connectors open, and knows how they fare, for as long as the process lives. It is safe for concurrent use.
type Pool struct {
	issuer *url.URL
	log    *slog.Logger
	events event.Sink
	known  *store.Layered[Definition] // the stored ones
	seen   *store.Table[seen]
	logout bool // whether users can sign out

	// changed wakes Run, which watches the connectors.
	changed chan struct{}

	mu      sync.Mutex         // never held over I/O
	inUse   *Registry          // whose connectors are watched and shown
	held    map[*source]int    // the configured ones, and how many registries have each
	stored  map[string]*source // the latest of each id
	retired []retired          // of stored, to be closed later
}

// NewPool returns a pool over the connectors of the storage. Nothing is opened yet.
func NewPool(s store.Store, issuer *url.URL, log *slog.Logger, events event.Sink) *Pool {
	return NewPoolOver(nil, s, issuer, log, events)
}

// NewPoolOver is NewPool over connectors that count where neither the configuration nor the storage has their id. Look must be
// called when they change.
func NewPoolOver(
	f *store.Fallback[Definition], s store.Store, issuer *url.URL, log *slog.Logger, events event.Sink,
) *Pool {
	p := &Pool{
		issuer:  issuer,
		log:     log,
		events:  events,
		known:   store.NewLayered(nil, NewCatalog(s, nil)).Over(f),
		seen:    store.In(s, seenKind),
		changed: make(chan struct{}, 1),
		held:    make(map[*source]int),
		stored:  make(map[string]*source),
	}
	p.inUse = &Registry{pool: p, known: p.known}
	return p
}

// WithLogout says whether users can sign out: connectors are then told where sources send them back, and tell of their logouts.
// It must be called before the pool is used.
func (p *Pool) WithLogout(on bool) *Pool {
	p.logout = on
	return p
}

// Registry returns the connectors of a configuration, whose ids differ, and of the storage. Those that have
// the same settings in the registry in use go over as they are; nothing else is opened yet. Release must be called when
// nobody uses the registry any more.
func (p *Pool) Registry(definitions []*Definition) *Registry {
	r := &Registry{
		pool: p, known: p.known.With(definitions), configured: make(map[string]member, len(definitions)),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range definitions {
		s, before := p.sourceFor(d)
		m := member{d, s}
		r.configured[d.ID] = m
		p.held[s]++
		if s.broken != nil {
			continue
		}
		r.usable = append(r.usable, m)
		if !before {
			r.added = append(r.added, s)
		}
	}
	return r
}

// sourceFor returns the source of a configured connector, and whether the registry in use has it. The caller holds the lock.
func (p *Pool) sourceFor(d *Definition) (s *source, before bool) {
	m, ok := p.inUse.configured[d.ID]
	if ok && m.source.broken == nil && d.Broken == nil && m.source.definition.opensLike(d) {
		return m.source, true
	}
	s = newSource(d)
	switch {
	case d.Broken != nil:
		s.breakDown(d.Broken)
	case d.Config == nil:
		s.breakDown(errUnavailable(d.Type))
	}
	return s, false
}

// opensLike reports whether two connectors of the same id differ at most in what the registry looks at: their names, the
// grants that they serve, and how the login page offers them. Files that have become unusable don't make a difference: what was
// read of them before still works.
func (d *Definition) opensLike(other *Definition) bool {
	return d.Type == other.Type && reflect.DeepEqual(d.Config, other.Config) && (other.FilesUnusable || d.Files.Equal(other.Files))
}

// Use has a registry's connectors watched and shown, instead of those of the one before.
func (p *Pool) Use(r *Registry) {
	p.mu.Lock()
	p.inUse = r
	p.mu.Unlock()
	p.wake()
}

// Release closes the connectors that no other registry has.
func (r *Registry) Release() error {
	p := r.pool
	var unused []*source
	p.mu.Lock()
	for _, m := range r.configured {
		if p.held[m.source]--; p.held[m.source] == 0 {
			delete(p.held, m.source)
			unused = append(unused, m.source)
		}
	}
	p.mu.Unlock()
	return closeAll(unused)
}

// Forget makes the pool read again connectors that have changed in the storage.
func (p *Pool) Forget(c store.Change) {
	p.known.Forget(c)
	if c.Kind == "" || c.Kind == Kind.Name() {
		p.wake()
	}
}

// Look has Run look at once at which connectors there are.
func (p *Pool) Look() { p.wake() }

func (p *Pool) wake() {
	select {
	case p.changed <- struct{}{}:
	default: // it has been told already
	}
}

// current returns the registry in use.
func (p *Pool) current() *Registry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

// Close closes all connectors. Nobody may use them any more.
func (p *Pool) Close() error {
	p.mu.Lock()
	all := slices.AppendSeq(slices.Collect(maps.Keys(p.held)), maps.Values(p.stored))
	for _, old := range p.retired {
		all = append(all, old.source)
	}
	p.retired = nil
	p.mu.Unlock()
	return closeAll(all)
}

func closeAll(sources []*source) error {
	var errs []error
	for _, s := range sources {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
