package local

import (
	"container/list"
	"context"
	"sync"
)

// turns bounds how many hashes are computed at once. Networks take turns: however many attempts come from one network, an
// attempt from another waits for at most one of them. It is safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting map[string]*list.List // of chan struct{}, closed when it is the waiter's turn; by network, never empty
	order   list.List             // the waiting networks, the next one first
}

func newTurns(n int) *turns { return &turns{free: n, waiting: map[string]*list.List{}} }

// take waits for a turn, and the caller must call done at its end. The error is the context's.
func (t *turns) take(ctx context.Context, network string) (done func(), err error) {
	mine, place := t.enter(network)
	if mine == nil {
		return t.pass, nil
	}
	select {
	case <-mine:
		return t.pass, nil
	case <-ctx.Done():
	}
	if !t.leave(network, mine, place) {
		t.pass() // it has become our turn meanwhile
	}
	return nil, context.Cause(ctx)
}

// enter takes a free turn, or gets in line.
func (t *turns) enter(network string) (chan struct{}, *list.Element) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		return nil, nil
	}
	line := t.waiting[network]
	if line == nil {
		line = list.New()
		t.waiting[network] = line
		t.order.PushBack(network)
	}
	mine := make(chan struct{})
	return mine, line.PushBack(mine)
}

// leave gets out of line; false if the turn has come.
func (t *turns) leave(network string, mine chan struct{}, place *list.Element) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine:
		return false
	default:
	}
	line := t.waiting[network]
	line.Remove(place)
	if line.Len() > 0 {
		return true
	}
	delete(t.waiting, network)
	for e := t.order.Front(); e != nil; e = e.Next() {
		if e.Value == network {
			t.order.Remove(e)
			break
		}
	}
	return true
}

// pass gives a turn to the next in line: whoever has waited longest in the network whose turn it is.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.order.Front()
	if first == nil {
		t.free++
		return
	}
	network := first.Value.(string)
	line := t.waiting[network]
	close(line.Remove(line.Front()).(chan struct{}))
	if line.Len() > 0 {
		t.order.MoveToBack(first)
		return
	}
	t.order.Remove(first)
	delete(t.waiting, network)
}
