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

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/seal"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/store/sqlite"
)

const (
	// storagePatience is how long the start waits for a storage that is not there yet: a database may boot beside us.
	storagePatience = time.Minute
	// openTimeout bounds one try.
	openTimeout = 20 * time.Second
	longestWait = 5 * time.Second
)

// DurableKinds are the kinds of records that outlive a login: what is exported, imported and sealed anew.
var DurableKinds = []string{
	signing.Kind.Name, seal.KindName, client.Kind.Name, local.Kind.Name, federation.Kind.Name, "refresh", "offline",
}

// A backend is a type of storage with its settings.
type backend struct {
	settings any                      // to be decoded into
	mistakes func() map[string]string // what is wrong with them, by key; nil if nothing can be
	open     func(context.Context, *slog.Logger) (store.Store, error)
	remote   bool // it may be there later
}

func newBackend(kind string) *backend {
	switch kind {
	case "memory":
		return &backend{
			settings: &struct{}{},
			open:     func(context.Context, *slog.Logger) (store.Store, error) { return memory.New(), nil },
		}
	case "sqlite3":
		c := &sqlite.Config{}
		return &backend{settings: c, open: func(ctx context.Context, log *slog.Logger) (store.Store, error) {
			return sqlite.Open(ctx, *c, log)
		}}
	}
	return nil
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

// OpenStore opens the storage, and waits a bounded time for one that can't be reached yet. The error says what can't be
// reached and why.
func (p *Plan) OpenStore(ctx context.Context, log *slog.Logger) (store.Store, error) {
	s, err := p.reach(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("open storage %s: %w", p.Config.Storage.Type, err)
	}
	return s, nil
}

// reach opens the storage as it is, without the seal.
func (p *Plan) reach(ctx context.Context, log *slog.Logger) (store.Store, error) {
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

func (p *Plan) try(ctx context.Context, log *slog.Logger) (store.Store, error) {
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
