package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"dex/internal/answer"
	"dex/internal/config"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/store/etcd"
	"dex/internal/store/kubernetes"
	"dex/internal/store/memory"
	"dex/internal/store/mysql"
	"dex/internal/store/postgres"
	"dex/internal/store/sealed"
	"dex/internal/store/sqlite"
	"dex/internal/takeover"
)

const (
	// storagePatience is how long the start waits for a storage that is not there yet: a database may boot beside us.
	storagePatience = time.Minute
	// openTimeout bounds one try.
	openTimeout = 20 * time.Second
	longestWait = 5 * time.Second
)

// A backend is a type of storage with its settings.
type backend struct {
	settings any                      // to be decoded into
	mistakes func() map[string]string // what is wrong with them, by key; nil if nothing can be
	open     func(context.Context, *slog.Logger) (*storage, error)
	remote   bool // it may be there later
}

// A storage is an open one.
type storage struct {
	store.Store
	upstream takeover.Source // what upstream has there; nil if it can't have anything
}

func newBackend(kind string) *backend {
	switch kind {
	case "memory":
		return &backend{settings: &struct{}{}, open: func(context.Context, *slog.Logger) (*storage, error) {
			return &storage{Store: memory.New()}, nil
		}}
	case "sqlite3":
		c := &sqlite.Config{}
		return &backend{settings: c, open: opener(c, sqlite.Open, func(s *sqlite.Store) takeover.Source {
			return takeover.SQLite(s.DB())
		})}
	case "postgres":
		c := &postgres.Config{}
		return &backend{settings: c, mistakes: c.Mistakes, remote: true,
			open: opener(c, postgres.Open, func(s *postgres.Store) takeover.Source { return takeover.PostgreSQL(s.Query) })}
	case "mysql":
		c := &mysql.Config{}
		return &backend{settings: c, mistakes: c.Mistakes, remote: true,
			open: opener(c, mysql.Open, func(s *mysql.Store) takeover.Source { return takeover.MySQL(s.DB()) })}
	case "etcd":
		c := &etcd.Config{}
		return &backend{settings: c, mistakes: c.Mistakes, remote: true,
			open: opener(c, etcd.Open, func(s *etcd.Store) takeover.Source { return takeover.Etcd(s.Upstream()) })}
	case "kubernetes":
		c := &kubernetes.Config{}
		open := func(ctx context.Context, c kubernetes.Config, log *slog.Logger) (*kubernetes.Store, error) {
			return kubernetes.Open(ctx, c, log)
		}
		return &backend{settings: c, mistakes: c.Mistakes, remote: true,
			open: opener(c, open, func(s *kubernetes.Store) takeover.Source { return takeover.Kubernetes(s.UpstreamObjects) })}
	}
	return nil
}

// opener returns a function that opens a backend with what its settings are by then.
func opener[C any, S store.Store](
	settings *C, open func(context.Context, C, *slog.Logger) (S, error), upstream func(S) takeover.Source,
) func(context.Context, *slog.Logger) (*storage, error) {
	return func(ctx context.Context, log *slog.Logger) (*storage, error) {
		s, err := open(ctx, *settings, log)
		if err != nil {
			return nil, err
		}
		return &storage{Store: s, upstream: upstream(s)}, nil
	}
}

// openStorage opens the storage and imports what upstream has there. The signing keys come after it: upstream's go on.
func (c *Core) openStorage(ctx context.Context, p *Plan) error {
	c.health.Starting("opening the storage")
	s, err := p.openStorage(ctx, c.log)
	if err != nil {
		return err
	}
	c.store = s.Store
	if c.opts.WrapStore != nil {
		c.store = c.opts.WrapStore(c.store)
	}
	c.writes = store.WatchWrites(c.metrics.Storage(c.store))
	c.store = c.writes
	c.log.InfoContext(ctx, "config storage", "storage_type", c.cfg.Storage.Type)
	c.answers = answer.New(c.store, time.Now, c.log)
	c.families = refresh.New(c.store, lifetimes(c.cfg), c.answers, time.Now, c.log)
	if s.upstream != nil {
		err = takeover.Run(ctx, s.upstream, takeover.Target{
			Store: c.store, Families: c.families,
			Offline:       refresh.NewOfflineSessions(c.store, lifetimes(c.cfg), time.Now),
			TokenLifetime: c.cfg.Expiry.IDTokens, Progress: c.health.Starting,
		}, c.log)
	}
	if err != nil {
		return err
	}
	c.upstream, err = takeover.Tokens(ctx, c.store)
	return err
}

func (p *Plan) checkStorage() config.Problems {
	s := p.Config.Storage
	if p.backend = newBackend(s.Type); p.backend == nil {
		return nil // was reported already
	}
	problems := s.Config.Decode(p.backend.settings)
	if problems.HasErrors() || p.backend.mistakes == nil {
		return problems
	}
	mistakes := p.backend.mistakes()
	for _, key := range slices.Sorted(maps.Keys(mistakes)) {
		problems = append(problems, s.Config.Problem(key, "%s", mistakes[key]))
	}
	return problems
}

// OpenStore opens the storage, and waits a bounded time for one that can't be reached yet. What it keeps is sealed if there
// is a storage key. The error says what can't be reached and why.
func (p *Plan) OpenStore(ctx context.Context, log *slog.Logger) (store.Store, error) {
	s, err := p.openStorage(ctx, log)
	if err != nil {
		return nil, err
	}
	return s.Store, nil
}

func (p *Plan) openStorage(ctx context.Context, log *slog.Logger) (*storage, error) {
	keys, err := sealed.ReadKeys(config.OS, p.Config.Storage.KeyFile)
	if err != nil {
		return nil, err
	}
	for _, warning := range keys.Warnings() {
		log.WarnContext(ctx, warning)
	}
	s, err := p.reach(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("open storage %s: %w", p.Config.Storage.Type, err)
	}
	s.Store = sealed.New(s.Store, keys, store.OpenKinds(p.Config.Storage.Type == "kubernetes"))
	return s, nil
}

// reach opens the storage as it is, without the seal.
func (p *Plan) reach(ctx context.Context, log *slog.Logger) (*storage, error) {
	end := time.Now().Add(p.storagePatience())
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, longestWait) {
		s, err := p.try(ctx, log)
		if err == nil || !p.backend.remote || ctx.Err() != nil {
			return s, err
		}
		if time.Now().Add(wait).After(end) {
			return nil, fmt.Errorf("gave up after %v: %w", p.storagePatience(), err)
		}
		log.WarnContext(ctx, "storage can't be opened yet", "storage_type", p.Config.Storage.Type, "retry_in", wait, "err", err)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)): //nolint:gosec // jitter, not a secret
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

func (p *Plan) try(ctx context.Context, log *slog.Logger) (*storage, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return p.backend.open(ctx, log)
}

func (p *Plan) storagePatience() time.Duration {
	if p.Patience > 0 {
		return p.Patience
	}
	return storagePatience
}
