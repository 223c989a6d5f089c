package federation

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// lookEvery is how often the stored connectors are listed, in case a change wasn't reported.
	lookEvery = 30 * time.Second
	// listTimeout bounds one listing.
	listTimeout = 30 * time.Second
	// retirement is how long a connector stays open after it was replaced or removed: longer than any request that uses it.
	retirement = 2 * time.Minute
)

// retired is a source that was replaced or removed.
type retired struct {
	source *source
	since  time.Time
}

// Run opens all connectors and keeps probing each until the context ends. None waits for another.
func (r *Registry) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, s := range r.static {
		watching.Go(func() { r.watch(ctx, s) })
	}
	r.follow(ctx, func(ctx context.Context, s *source) {
		watching.Go(func() { r.watch(ctx, s) })
	})
}

// watch looks at a source regularly.
func (r *Registry) watch(ctx context.Context, s *source) {
	for {
		err := r.check(ctx, s)
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.wait(err)):
		}
	}
}

// follow keeps the stored connectors watched as they come and go.
func (r *Registry) follow(ctx context.Context, watch func(context.Context, *source)) {
	watched := make(map[*source]context.CancelFunc)
	listed := true
	for {
		current, err := r.current(ctx)
		switch {
		case err == nil:
			for s, stop := range watched {
				if !slices.Contains(current, s) {
					stop()
					delete(watched, s)
				}
			}
			for _, s := range current {
				if watched[s] == nil {
					of, stop := context.WithCancel(ctx)
					watched[s] = stop
					watch(of, s)
				}
			}
		case listed && ctx.Err() == nil: // told of once
			r.log.ErrorContext(ctx, "stored connectors can't be listed", "err", err)
		}
		listed = err == nil
		r.closeRetired(ctx, time.Now().Add(-retirement))
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-time.After(jitter(lookEvery)):
		}
	}
}

// current returns the stored sources that can be used.
func (r *Registry) current(ctx context.Context) ([]*source, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return r.stored(ctx)
}

// retire has a source closed later. The caller holds the lock.
func (r *Registry) retire(s *source) {
	r.retired = append(r.retired, retired{s, time.Now()})
}

// closeRetired closes the connectors that were retired before a time.
func (r *Registry) closeRetired(ctx context.Context, before time.Time) {
	r.mu.Lock()
	n := 0 // they are in the order in which they were retired
	for n < len(r.retired) && !r.retired[n].since.After(before) {
		n++
	}
	due := slices.Clone(r.retired[:n])
	r.retired = slices.Delete(r.retired, 0, n)
	r.mu.Unlock()
	for _, old := range due {
		if err := old.source.close(); err != nil {
			r.log.WarnContext(ctx, "connector that is no longer used", "err", err)
		}
	}
}
