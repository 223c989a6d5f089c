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

// Run opens the connectors in use, as they come and go, and keeps probing each until the context ends. None waits for another.
func (p *Pool) Run(ctx context.Context) {
	w := watchers{pool: p, stops: make(map[*source]context.CancelFunc)}
	defer w.running.Wait()
	var stored []*source
	listed := true
	for {
		inUse := p.current()
		configured := inUse.sources()
		w.watch(ctx, slices.Concat(configured, stored)) // before anybody waits for the storage
		now, err := inUse.look(ctx)
		if err == nil {
			stored = now
			w.watch(ctx, slices.Concat(configured, stored))
		} else if listed && ctx.Err() == nil { // logged once until it works again
			p.log.ErrorContext(ctx, "stored connectors can't be listed", "err", err)
		}
		listed = err == nil
		p.closeRetired(ctx, time.Now().Add(-retirement))
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-time.After(jitter(lookEvery)):
		}
	}
}

// watchers are the goroutines that look at sources.
type watchers struct {
	pool    *Pool
	running sync.WaitGroup
	stops   map[*source]context.CancelFunc
}

// watch has these sources looked at, and no others.
func (w *watchers) watch(ctx context.Context, sources []*source) {
	for s, stop := range w.stops {
		if !slices.Contains(sources, s) {
			stop()
			delete(w.stops, s)
		}
	}
	for _, s := range sources {
		if w.stops[s] == nil {
			ctx, stop := context.WithCancel(ctx)
			w.stops[s] = stop
			w.running.Go(func() { w.pool.watch(ctx, s) })
		}
	}
}

// watch looks at a source regularly.
func (p *Pool) watch(ctx context.Context, s *source) {
	for {
		err := p.check(ctx, s)
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.wait(err)):
		}
	}
}

// sources returns the configured sources that can be used.
func (r *Registry) sources() []*source {
	all := make([]*source, 0, len(r.usable))
	for _, m := range r.usable {
		all = append(all, m.source)
	}
	return all
}

// look returns the stored sources that can be used.
func (r *Registry) look(ctx context.Context) ([]*source, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return r.stored(ctx)
}

// retire has a source closed later. The caller holds the lock.
func (p *Pool) retire(s *source) {
	p.retired = append(p.retired, retired{s, time.Now()})
}

// closeRetired closes the connectors that were retired before a time.
func (p *Pool) closeRetired(ctx context.Context, before time.Time) {
	p.mu.Lock()
	n := 0 // they are in the order in which they were retired
	for n < len(p.retired) && !p.retired[n].since.After(before) {
		n++
	}
	due := slices.Clone(p.retired[:n])
	p.retired = slices.Delete(p.retired, 0, n)
	p.mu.Unlock()
	for _, old := range due {
		if err := old.source.close(); err != nil {
			p.log.WarnContext(ctx, "connector that is no longer used", "err", err)
		}
	}
}
