package pool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxIdle is how long a connection may wait for its next operation, and maxAge how long it may live. Servers and
	// firewalls drop connections that are idle for some minutes, and an old one never reaches a server that was added later.
	maxIdle = 60 * time.Second
	maxAge  = 10 * time.Minute
	// maxWait is how long an operation may wait for a connection.
	maxWait = 60 * time.Second
)

// kept are the connections of one role: it counts all of them, and holds the idle ones.
type kept struct {
	limit int
	turn  *semaphore.Weighted // one for each operation under way; first come, first served

	mu     sync.Mutex
	room   sync.Cond // signalled when a connection has been closed or becomes idle
	open   int       // busy and idle ones, and those that are being opened or closed
	idle   []*conn   // the one that was used last is at the end
	closed bool
	sweep  *time.Timer // nil while no connection is idle
}

func newKept(limit int) *kept {
	k := &kept{limit: limit, turn: semaphore.NewWeighted(int64(limit))}
	k.room.L = &k.mu
	return k
}

// acquire waits until one more operation may run; release must follow.
func (k *kept) acquire(ctx context.Context) error {
	busy := fmt.Errorf("all %d have been busy for %v", k.limit, maxWait)
	bounded, cancel := context.WithTimeoutCause(ctx, maxWait, busy)
	defer cancel()
	if err := k.turn.Acquire(bounded, 1); err != nil {
		return fmt.Errorf("wait for an LDAP connection: %w", context.Cause(bounded))
	}
	return nil
}

func (k *kept) release() { k.turn.Release(1) }

// take returns an idle connection to a host if one seems alive, or nil.
func (k *kept) take(h *host, as role) *conn {
	for {
		c := k.newest(h, as)
		if c == nil || c.fresh(time.Now()) {
			return c
		}
		k.discard(c)
	}
}

// newest takes out the idle connection that was used last.
func (k *kept) newest(h *host, as role) *conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.idle) - 1; i >= 0; i-- {
		if c := k.idle[i]; c.host == h && c.role == as {
			k.idle = slices.Delete(k.idle, i, i+1)
			return c
		}
	}
	return nil
}

// put takes a connection back.
func (k *kept) put(c *conn) {
	now := time.Now()
	if !c.fresh(now) || !k.add(c, now) {
		k.discard(c)
	}
}

// add keeps a connection as idle, except after close.
func (k *kept) add(c *conn, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	c.idleSince = now
	k.idle = append(k.idle, c)
	if k.sweep == nil {
		k.sweep = time.AfterFunc(maxIdle, k.expire)
	}
	k.room.Signal()
	return true
}

// reserve makes room for a connection that is about to be opened: at the limit, it closes the one that has been idle longest.
// Each operation has at most one connection, so if none is idle, one is just being closed, which takes no longer than
// goodbye.
func (k *kept) reserve() {
	k.mu.Lock()
	for k.open >= k.limit && len(k.idle) == 0 {
		k.room.Wait()
	}
	var oldest *conn
	if k.open >= k.limit {
		oldest = k.idle[0]
		k.idle = slices.Delete(k.idle, 0, 1)
	}
	k.open++
	k.mu.Unlock()
	if oldest != nil {
		k.discard(oldest)
	}
}

// discard closes a connection that is not in use.
func (k *kept) discard(c *conn) {
	c.close()
	k.forget()
}

// forget uncounts a connection that was closed or could not be opened.
func (k *kept) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open--
	k.room.Signal()
}

// expire closes connections that have been idle for too long, and runs again while there are others.
func (k *kept) expire() {
	now := time.Now()
	for _, c := range k.remove(func(c *conn) bool { return !c.fresh(now) }) {
		k.discard(c)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep = nil
	if len(k.idle) > 0 && !k.closed {
		k.sweep = time.AfterFunc(max(maxIdle-now.Sub(k.idle[0].idleSince), time.Second), k.expire)
	}
}

// drop closes the idle connections to a host that fails.
func (k *kept) drop(h *host) {
	for _, c := range k.remove(func(c *conn) bool { return c.host == h }) {
		c.abort()
		k.forget()
	}
}

// close closes the idle connections, and has put close the rest.
func (k *kept) close() {
	k.mu.Lock()
	k.closed = true
	if k.sweep != nil {
		k.sweep.Stop()
	}
	k.mu.Unlock()
	for _, c := range k.remove(func(*conn) bool { return true }) {
		k.discard(c)
	}
}

// remove takes idle connections out.
func (k *kept) remove(which func(*conn) bool) (removed []*conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.idle = slices.DeleteFunc(k.idle, func(c *conn) bool {
		if !which(c) {
			return false
		}
		removed = append(removed, c)
		return true
	})
	return removed
}
