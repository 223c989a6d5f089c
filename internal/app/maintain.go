package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"dex/internal/event"
	"dex/internal/store"
)

const (
	sweepEvery = 5 * time.Minute
	// firstSweep is how long after the start the first one comes, so that a server that is restarted often sweeps too.
	firstSweep = 20 * time.Second
	// sweepPage is how many records are removed before others get their turn at the storage.
	sweepPage = 500
	// sweepLease keeps the other replicas from sweeping too, until it is time for the next one.
	sweepLease = sweepEvery - 30*time.Second
)

// maintain removes what has expired and renews sealing keys, until the context ends.
func (c *Core) maintain(ctx context.Context) {
	for wait := firstSweep; ; wait = sweepEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait + rand.N(wait/10)): //nolint:gosec // jitter, not a secret
		}
		err := c.sweep(ctx)
		if ctx.Err() == nil {
			c.metrics.Swept(err)
		}
		if err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "garbage collection failed", "err", err)
		}
		if err := c.ring.Maintain(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "sealing keys could not be renewed", "err", err)
		}
	}
}

// A roomSweep removes the expired records of a kind whose room does so itself, see [store.Declaration.OwnSweep].
type roomSweep struct {
	kind string
	// sweep calls renew at least every minute, such as before each record, and ends when that fails: another replica may be
	// sweeping by then. Most calls of it do nothing.
	sweep func(ctx context.Context, renew func(context.Context) error) (removed int, err error)
}

// sweep removes the expired records of all kinds, unless another replica does or has just done so. The lease is not
// given back: it ends before the next sweep is due.
func (c *Core) sweep(ctx context.Context) error {
	lease, ok, err := store.TryAcquire(ctx, c.store, "sweep", sweepLease)
	if err != nil || !ok {
		return err
	}
	renewed := time.Now()
	renew := func(ctx context.Context) error {
		if time.Since(renewed) < sweepLease/3 {
			return nil
		}
		if err := lease.Renew(ctx); err != nil {
			return err
		}
		renewed = time.Now()
		return nil
	}
	var sweeps []roomSweep
	for _, kind := range store.ExpiringKinds() {
		sweeps = append(sweeps, roomSweep{kind, c.sweepOf(kind)})
	}
	var failures []error
	for _, s := range append(sweeps, c.roomSweeps...) { // those of the rooms last, as they may take long
		if err := c.runSweep(ctx, s, renew); err != nil {
			failures = append(failures, err) // the others can be swept all the same
		}
	}
	return errors.Join(failures...)
}

// runSweep tells of what a sweep has removed, even if it has failed.
func (c *Core) runSweep(ctx context.Context, s roomSweep, renew func(context.Context) error) error {
	began := time.Now()
	removed, err := s.sweep(ctx, renew)
	if removed > 0 {
		c.events.Emit(ctx, event.Swept{Kind: s.kind, Removed: removed, Took: time.Since(began).Round(time.Millisecond)})
	}
	return err
}

// sweepOf returns what removes the expired records of a kind, a page at a time.
func (c *Core) sweepOf(kind string) func(context.Context, func(context.Context) error) (int, error) {
	return func(ctx context.Context, renew func(context.Context) error) (removed int, err error) {
		for {
			n, err := c.store.Sweep(ctx, kind, time.Now(), sweepPage)
			removed += n
			if err != nil || n < sweepPage {
				return removed, err
			}
			if err := renew(ctx); err != nil {
				return removed, err
			}
		}
	}
}
