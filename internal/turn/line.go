// Package turn has networks take turns at what only a few may do at once.
package turn

import (
	"context"
	"runtime"
	"sync"

	"dex/internal/telemetry"
)

// networkBits is how much of an IPv6 address tells networks apart: the largest one that a subscriber gets.
const networkBits = 48

// networkOf returns the network that a request comes from.
func networkOf(ctx context.Context) string {
	return telemetry.Network(telemetry.ClientAddress(ctx), networkBits)
}

// ForHashes returns the line of everybody whose password or secret has to be hashed, which keeps a processor busy for a while. It leaves
// one free, if there are several, so that a storm of logins doesn't hold up tokens being signed. A server has one such line.
func ForHashes() *Line { return NewLine(max(1, runtime.GOMAXPROCS(0)-1)) }

// A Line bounds how many turns there are at once. Networks take turns: however many attempts come from one network, an
// attempt from another waits for at most one of them. It is safe for concurrent use.
type Line struct {
	mu   sync.Mutex
	free int
	queue
}

// NewLine returns a line with so many turns at once.
func NewLine(n int) *Line { return &Line{free: n, queue: newQueue()} }

// Take waits for a turn of the network that a request comes from, and the caller must call done at its end. The error is the
// context's.
func (t *Line) Take(ctx context.Context) (done func(), err error) { return t.take(ctx, networkOf(ctx)) }

func (t *Line) take(ctx context.Context, network string) (done func(), err error) {
	mine := t.enter(network)
	if mine == nil {
		return t.pass, nil
	}
	select {
	case <-mine.turn:
		return t.pass, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	left := t.leave(mine)
	t.mu.Unlock()
	if !left {
		t.pass() // it has become our turn meanwhile
	}
	return nil, context.Cause(ctx)
}

// enter takes a free turn, which is nil, or gets in line.
func (t *Line) enter(network string) *waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		return nil
	}
	return t.join(network)
}

// pass gives a turn to the next in line.
func (t *Line) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, found := t.next(func(string) bool { return true }); !found {
		t.free++
	}
}
