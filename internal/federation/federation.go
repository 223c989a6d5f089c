// Package federation is the configured connectors: which there are, and which of them work. A connector is opened when it
// is first needed, or in the background at the start; one that fails is tried again, and stops nobody else.
package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/store"
)

// ErrUnknown says that no connector has the id.
var ErrUnknown = errors.New("unknown connector")

// ErrDown says that a connector is known but can't be used now.
var ErrDown = errors.New("connector can't be used")

// openTimeout bounds one try to open a connector.
const openTimeout = 30 * time.Second

// Bounds of the pause after a connector failed to open, which doubles with each failure.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// A Definition is a connector as it is configured.
type Definition struct {
	ID, Type, Name string
	GrantTypes     []string         // the flows that it may serve; empty means all
	Config         connector.Config // nil for a type that is not available: the connector is known, but of no use
}

// Serves reports whether the connector may be used for a grant.
func (d *Definition) Serves(grant string) bool {
	return len(d.GrantTypes) == 0 || slices.Contains(d.GrantTypes, grant)
}

// An Opened connector is ready for use. Instance has one or more of the capabilities of package connector.
type Opened struct {
	*Definition
	Instance any
}

// Refreshes reports whether a login through the connector may be prolonged by refresh tokens.
func (o *Opened) Refreshes() bool {
	_, ok := o.Instance.(connector.Refresher)
	return ok && o.Serves(oauth.GrantRefreshToken)
}

// A Registry finds and opens connectors: those of the configuration, and those of the storage that no configured one
// hides. It is safe for concurrent use.
type Registry struct {
	issuer *url.URL
	log    *slog.Logger
	static []*source
	byID   map[string]*source // of static
	cache  *store.Cache[Document]
	seen   *store.Table[seen]

	mu          sync.Mutex         // never held over I/O
	fromStorage map[string]*source // the latest of each id
}

// NewRegistry returns a registry of the connectors of the configuration, whose ids differ, and of the storage. Nothing is
// opened yet.
func NewRegistry(definitions []*Definition, s store.Store, issuer *url.URL, log *slog.Logger) *Registry {
	r := &Registry{
		issuer:      issuer,
		log:         log,
		byID:        make(map[string]*source, len(definitions)),
		cache:       store.NewCache(store.In(s, Kind)),
		seen:        seenIn(s),
		fromStorage: make(map[string]*source),
	}
	for _, d := range definitions {
		s := newSource(d)
		r.byID[d.ID] = s
		if d.Config == nil {
			s.broken = fmt.Errorf("%w: %w", ErrDown, errUnavailable(d.Type))
			continue
		}
		r.static = append(r.static, s)
	}
	return r
}

// Forget makes the registry read connectors again that were changed in the storage.
func (r *Registry) Forget(c store.Change) { r.cache.Forget(c) }

// List returns the connectors in the order in which the login page shows them: by name, without regard to case. An error
// means that the storage failed.
func (r *Registry) List(ctx context.Context) ([]*Definition, error) {
	sources, err := r.sources(ctx)
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

// sources returns all that are usable, the stored ones first.
func (r *Registry) sources(ctx context.Context) ([]*source, error) {
	stored, err := r.stored(ctx)
	if err != nil {
		return nil, fmt.Errorf("list connectors: %w", err)
	}
	return append(stored, r.static...), nil
}

// Open returns a connector ready for use; ErrUnknown when there is none of the id, and ErrDown when it does not work now: it
// is tried again, at the earliest after a pause. Any other error says that the storage failed, or that the context ended.
func (r *Registry) Open(ctx context.Context, id string) (*Opened, error) {
	s, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, r)
}

// OpenAll opens all connectors at once, tells of each that fails, and returns when all have been tried. Its error means
// that the storage failed.
func (r *Registry) OpenAll(ctx context.Context, failed func(id string, err error)) error {
	sources, err := r.sources(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() { _, errs[i] = s.open(ctx, r) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			failed(sources[i].definition.ID, err)
		}
	}
	return nil
}

// A source is one connector with its state.
type source struct {
	definition *Definition
	revision   string        // of the record; empty for a configured one
	broken     error         // why it can't be used until it is changed
	turn       chan struct{} // held by the one who opens

	mu     sync.Mutex // guards the rest, never held over I/O
	opened *Opened
	err    error // of the last try
	pause  time.Duration
	retry  time.Time // no try before
}

func newSource(d *Definition) *source {
	return &source{definition: d, turn: make(chan struct{}, 1)}
}

// state returns what is known without opening; false when it is time for a try.
func (s *source) state(now time.Time) (*Opened, error, bool) { //nolint:revive // the error is a remembered one, not this call's
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		return s.opened, nil, true
	}
	return nil, s.err, s.err != nil && now.Before(s.retry)
}

func (s *source) open(ctx context.Context, r *Registry) (*Opened, error) {
	if o, err, known := s.state(time.Now()); known {
		return o, err
	}
	select { // one opens, the others wait for what comes of it
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if o, err, known := s.state(time.Now()); known {
		return o, err
	}
	return s.try(ctx, r)
}

// try opens the connector. A visitor who goes away does not end the try, others wait for it.
func (s *source) try(ctx context.Context, r *Registry) (*Opened, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	d := s.definition
	instance, err := d.Config.Open(ctx, connector.Env{
		ID:          d.ID,
		CallbackURL: r.issuer.JoinPath("callback").String(),
		MetadataURL: r.issuer.JoinPath("saml", d.ID, "metadata").String(),
		Once:        r.once(d.ID),
		Log:         r.log.With(slog.Group("connector", "type", d.Type, "id", d.ID)),
	})

	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = fmt.Errorf("open connector %q: %w: %w", d.ID, ErrDown, err)
		s.pause = min(max(2*s.pause, firstPause), longestPause)
		s.retry = time.Now().Add(s.pause)
		return nil, s.err
	}
	s.opened, s.err = &Opened{Definition: d, Instance: instance}, nil
	return s.opened, nil
}
