// Package watch tells the watchers of a store about changes. Every backend has a Hub: what the backend's own writers
// change is published at once, what other processes change as soon as the backend learns of it.
package watch

import (
	"context"
	"sync"

	"dex/internal/store"
)

// backlog is how many changes a watcher may be behind before they are folded into one store.Change{}.
const backlog = 64

// A Hub hands changes to watchers. The zero value is ready to use.
type Hub struct {
	mu       sync.Mutex
	closed   bool
	watchers map[*watcher]struct{}
}

type watcher struct {
	changes chan store.Change
	stop    func() bool // forgets the callback for the end of the context
}

// Subscribe returns a channel of the changes published from now on. It is closed when ctx ends or the hub is closed.
// After Close it is store.ErrClosed.
func (h *Hub) Subscribe(ctx context.Context) (<-chan store.Change, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, store.ErrClosed
	}
	w := &watcher{changes: make(chan store.Change, backlog)}
	if h.watchers == nil {
		h.watchers = make(map[*watcher]struct{})
	}
	h.watchers[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.remove(w)
	})
	return w.changes, nil
}

// Publish reports a change to every watcher, if its kind is announced. It never waits.
func (h *Hub) Publish(c store.Change) {
	if !store.Announced(c.Kind) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		w.send(c)
	}
}

// Watched reports whether anybody listens.
func (h *Hub) Watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers) > 0
}

// Close closes the channels of all watchers.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for w := range h.watchers {
		w.stop()
		h.remove(w)
	}
}

// remove needs the lock. It may be called twice for a watcher, when its context ends while the hub is closed.
func (h *Hub) remove(w *watcher) {
	if _, ok := h.watchers[w]; !ok {
		return
	}
	delete(h.watchers, w)
	close(w.changes)
}

// send needs the hub's lock, which makes it the only sender: once it took something out of the full channel there is
// room, whether the watcher reads meanwhile or not.
func (w *watcher) send(c store.Change) {
	select {
	case w.changes <- c:
		return
	default:
	}
	for {
		select {
		case <-w.changes:
			continue
		default:
		}
		break
	}
	w.changes <- store.Change{}
}
