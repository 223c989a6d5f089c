package app

import (
	"context"
	"time"
)

const (
	sweepEvery = 5 * time.Minute
	// sweepPage is how many records are removed before others get their turn at the storage.
	sweepPage = 500
)

// maintain removes what has expired and renews sealing keys, until the context ends.
func (a *App) maintain(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, kind := range a.swept {
			a.sweep(ctx, kind)
		}
		if err := a.ring.Maintain(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "sealing keys could not be renewed", "err", err)
		}
	}
}

// sweep removes the expired records of a kind, a page at a time.
func (a *App) sweep(ctx context.Context, kind string) {
	removed := 0
	for {
		n, err := a.store.Sweep(ctx, kind, time.Now(), sweepPage)
		removed += n
		if err != nil {
			if ctx.Err() == nil {
				a.log.ErrorContext(ctx, "garbage collection failed", "kind", kind, "err", err)
			}
			return
		}
		if n < sweepPage {
			break
		}
	}
	if removed > 0 {
		a.log.InfoContext(ctx, "garbage collection run", "kind", kind, "removed", removed)
	}
}
