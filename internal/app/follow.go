package app

import (
	"context"
	"time"

	"dex/internal/config"
)

const (
	// followEvery is how often the files are looked at. Only polling their content sees every kind of change: files written in
	// place, renamed into place, and replaced behind symbolic links, as Kubernetes does, on every file system.
	followEvery = 200 * time.Millisecond
	// longestUnsettled is for how many looks in a row files may be found to have changed yet again before one of these states
	// is tried. Usually a state is tried once it was found twice, as at the first time somebody may still be writing.
	longestUnsettled = 2
	// stillFor is how long such a state must at least have lasted, and catchLooks how often one is looked for in a row.
	stillFor   = 10 * time.Millisecond
	catchLooks = 10
)

// A follower reloads the configuration when its files have changed.
type follower struct {
	tried func() config.State // what the files were like at the last attempt
	// reload is the attempt, if the files are still in this state. It says itself how it ended.
	reload func(context.Context, config.State) error
}

// run looks at the files until the context ends.
func (f follower) run(ctx context.Context) {
	ticks := time.NewTicker(followEvery)
	defer ticks.Stop()
	var before config.State
	unsettled := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		tried := f.tried()
		now, err := unlessEnded(ctx, tried.Now)
		switch {
		case err != nil:
			return
		case now.Equal(tried):
			unsettled = 0
		case now.Equal(before):
			if f.reload(ctx, now) == nil {
				unsettled = 0
			}
		default:
			if unsettled++; unsettled >= longestUnsettled {
				f.catch(ctx, now)
			}
		}
		before = now
	}
}

// catch tries to apply one of the states of files that change all the time.
func (f follower) catch(ctx context.Context, now config.State) {
	for range catchLooks {
		select {
		case <-ctx.Done():
			return
		case <-time.After(stillFor):
		}
		again, err := unlessEnded(ctx, now.Now)
		if err != nil || again.Equal(now) && f.reload(ctx, now) == nil {
			return
		}
		now = again
	}
}

// follow reloads the configuration when its files change, until the context ends.
func (c *Core) follow(ctx context.Context) {
	follower{tried: c.reloads.lastTried, reload: func(ctx context.Context, seen config.State) error {
		_, err := c.reloadAs(ctx, seen)
		return err
	}}.run(ctx)
}
