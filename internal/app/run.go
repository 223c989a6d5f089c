package app

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/limit"
	"dex/internal/seal"
	"dex/internal/server"
	"dex/internal/store"
)

// Run listens and serves until the context ends, then lets what is under way finish. It returns nil after a clean end.
func (c *Core) Run(ctx context.Context) error {
	listeners, err := c.listeners(ctx)
	if err != nil {
		return err
	}
	var administration net.Listener
	if c.grpc != nil {
		if administration, err = c.grpc.bind(ctx); err != nil {
			return err
		}
	}
	// What runs beside the listeners goes on while they drain.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	serving, cancel := context.WithCancel(c.whileOperatorsAreServed(ctx))
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { c.signer.Run(background); return nil })
	group.Go(func() error { c.health.Run(background); return nil })
	group.Go(func() error { c.maintain(background); return nil })
	group.Go(func() error { c.sources.Run(background); return nil })
	group.Go(func() error { c.forget(background); return nil })
	group.Go(func() error { c.deliverLogoutTokens(background); return nil })
	group.Go(func() error { c.mails.Run(background); return nil })
	group.Go(func() error { c.answers.Run(background); return nil })
	if c.oneOfMany() {
		if err := c.replicas.Look(ctx); err != nil { // before the first guess
			c.log.WarnContext(ctx, "replicas can't be counted yet", "err", err)
		}
		group.Go(func() error { c.replicas.Run(background); return nil })
	}
	if c.resources != nil {
		group.Go(func() error { c.resources.Run(background, surroundings{c}); return nil })
	}
	if c.web != nil {
		group.Go(func() error { c.web.Watch(background, server.WatchInterval); return nil })
	}
	if c.rest != nil {
		group.Go(func() error { c.rest.watch(background); return nil })
	}
	if c.opts.Watch {
		group.Go(func() error { c.follow(ctx); return nil })
	}
	c.health.SetReady(true)
	all := server.Group{
		Log: c.log, Listeners: listeners, OnDrain: func() { c.health.SetReady(false) },
	}
	administered := c.serveGRPC(serving, cancel, administration)
	err = all.Serve(serving)
	cancel()
	err = errors.Join(err, <-administered)
	stop()
	err = errors.Join(err, group.Wait())
	if c.operators != nil {
		err = errors.Join(err, c.operators.stop())
	}
	return err
}

// openLimits makes the limits that this process shares with its replicas.
func (c *Core) openLimits() {
	c.replicas = limit.NewReplicas(c.store, c.log)
	c.limits = limit.NewSet(limit.Shared(c.store, c.replicas, c.log), limit.Events(c.events))
}

// oneOfMany reports whether the storage is one that other processes may use too.
func (c *Core) oneOfMany() bool {
	return c.cfg.Storage.Type != "memory" && c.cfg.Storage.Type != "sqlite3"
}

// serveGRPC begins to serve the management API, if it has a listener. Should that fail, it cancels everything else.
func (c *Core) serveGRPC(ctx context.Context, cancel context.CancelFunc, bound net.Listener) <-chan error {
	ended := make(chan error, 1)
	if c.grpc == nil {
		ended <- nil
		return ended
	}
	go func() {
		defer cancel()
		ended <- c.grpc.serve(ctx, bound)
	}()
	return ended
}

// forget makes the caches forget what this or another replica has changed.
func (c *Core) forget(ctx context.Context) {
	changes, ok := c.watch(ctx)
	if !ok {
		return
	}
	change := store.Change{} // what changed before the watch began
	for open := true; open; change, open = <-changes {
		for _, forget := range c.caches {
			forget(change)
		}
		if change.Kind != "" && change.Kind != seal.Kind.Name() {
			continue
		}
		if err := c.ring.Reload(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "sealing keys could not be read again", "err", err)
		}
	}
}

// watch begins to watch the storage, as soon as it can be reached; false when the context ends first. Until then the
// caches forget by their age.
func (c *Core) watch(ctx context.Context) (<-chan store.Change, bool) {
	for {
		changes, err := c.store.Watch(ctx)
		if err == nil {
			return changes, true
		}
		if ctx.Err() == nil {
			c.log.ErrorContext(ctx, "storage can't be watched", "retry_in", longestWait, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(longestWait):
		}
	}
}
