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
		if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "garbage collection failed", "err", err)
		}
		if err := c.ring.Maintain(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "sealing keys could not be renewed", "err", err)
		}
	}
}

// sweep removes the expired records of all kinds, unless another replica does or has just done so. The lease is not
// given back: it ends before the next sweep is due.
func (c *Core) sweep(ctx context.Context) error {
	lease, ok, err := store.TryAcquire(ctx, c.store, "sweep", sweepLease)
	if err != nil || !ok {
		return err
	}
	var failures []error
	for _, kind := range store.ExpiringKinds() {
		if err := c.sweepKind(ctx, lease, kind); err != nil {
			failures = append(failures, err) // the others can be swept all the same
		}
	}
	return errors.Join(failures...)
}

// sweepKind removes the expired records of a kind, a page at a time.
func (c *Core) sweepKind(ctx context.Context, lease *store.Lease, kind string) error {
	began, renewed, removed := time.Now(), time.Now(), 0
	defer func() {
		if removed > 0 {
			c.events.Emit(ctx, event.Swept{Kind: kind, Removed: removed, Took: time.Since(began).Round(time.Millisecond)})
		}
	}()
	for {
		n, err := c.store.Sweep(ctx, kind, time.Now(), sweepPage)
		removed += n
		if err != nil || n < sweepPage {
			return err
		}
		if time.Since(renewed) < sweepLease/3 {
			continue
		}
		if err := lease.Renew(ctx); err != nil {
			return err
		}
		renewed = time.Now()
	}
}
