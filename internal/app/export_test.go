package app

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/selfservice"
	"dex/internal/store/memory"
)

// Sweep removes what has expired, as is done every few minutes.
func (c *Core) Sweep(ctx context.Context) error { return c.sweep(ctx) }

// CountReplicas counts the processes that share the storage, as Run does now and then.
func (c *Core) CountReplicas(ctx context.Context) error { return c.replicas.Look(ctx) }

// DeliverLogoutTokens delivers logout tokens until the context ends, as Run does.
func (c *Core) DeliverLogoutTokens(ctx context.Context) { c.deliverLogoutTokens(ctx) }

// SendMails sends what is queued until the context ends, as Run does.
func (c *Core) SendMails(ctx context.Context) { c.mails.Run(ctx) }

// SelfService returns the edition's, for what operators ask of it.
func (e *Edition) SelfService() *selfservice.SelfService { return e.rooms.selfService }

// AddRoomSweep adds a room's own sweep of a kind.
func (c *Core) AddRoomSweep(kind string, sweep func(context.Context, func(context.Context) error) (int, error)) {
	c.roomSweeps = append(c.roomSweeps, roomSweep{kind, sweep})
}

// RoomSweeps returns the kinds that are swept by their rooms.
func (c *Core) RoomSweeps() []string {
	var kinds []string
	for _, s := range c.roomSweeps {
		kinds = append(kinds, s.kind)
	}
	return kinds
}

// Patterns returns the patterns of all routes, for tests that visit each.
func (c *Core) Patterns() []string {
	var patterns []string
	for _, r := range c.edition.Load().routes {
		patterns = append(patterns, r.Pattern)
	}
	return patterns
}

// MaxBodies returns how large a body each route takes, in bytes; 0 for those that say nothing of their own.
func (c *Core) MaxBodies() map[string]int64 {
	bounds := map[string]int64{}
	for _, r := range c.edition.Load().routes {
		bounds[r.Pattern] = r.MaxBody
	}
	return bounds
}

// GoesOver returns how many connectors another plan has, and how many of them would not go over to it.
func GoesOver(t *testing.T, p, other *Plan) (all, added int) {
	t.Helper()
	pool := federation.NewPool(memory.New(), &url.URL{}, slog.New(slog.DiscardHandler), event.Discard)
	pool.Use(pool.Registry(p.connectors))
	return pool.Registry(other.connectors).Size()
}

// ConnectorTypes returns the types of a plan's connectors.
func (p *Plan) ConnectorTypes() []string {
	var types []string
	for _, d := range p.connectors {
		types = append(types, d.Type)
	}
	return types
}

// InForce returns the edition that serves requests now.
func (c *Core) InForce() *Edition { return c.edition.Load() }

// Enter and Leave are what a request does first and last.
func (e *Edition) Enter() bool { return e.enter() }

// Leave counts a request out.
func (e *Edition) Leave() { e.leave() }

// Follow looks at what the configuration was read from until the context ends, and reloads it as the server does.
func (c *Core) Follow(ctx context.Context) { c.follow(ctx) }

// ConfigurationCondition returns what the health shows of the configuration.
func (c *Core) ConfigurationCondition() error { return c.reloads.condition().Err }

// Registry returns the registry of all metrics.
func (c *Core) Registry() *prometheus.Registry { return c.metrics.Registry() }

// Events returns what rooms emit events to.
func (c *Core) Events() event.Sink { return c.events }
