package turn

import (
	"context"
	"sync"
	"time"
)

// patience is how long a request waits for a place: a browser's user and a client's retry put up with that.
const patience = 5 * time.Second

// Places bounds how many requests are served at once. A network may hold as many places as are free: one alone up to half of them, two
// a third each, and so on. So a few networks never fill it, and the next one finds a place without waiting. Requests beyond a network's
// share wait in line, where networks take turns. The line has as many places, shared alike. It is safe for concurrent use.
type Places struct {
	mu     sync.Mutex
	served shares
	inLine shares
	queue  queue
}

// NewPlaces returns so many places.
func NewPlaces(n int) *Places {
	return &Places{served: newShares(n), inLine: newShares(n), queue: newQueue()}
}

// Take waits for a place for the network that a request comes from, and the caller must call done at its end. False means that there
// is none for now.
func (p *Places) Take(ctx context.Context) (done func(), ok bool) { return p.take(ctx, networkOf(ctx)) }

func (p *Places) take(ctx context.Context, network string) (done func(), ok bool) {
	done = func() { p.giveBack(network) }
	mine, ok := p.enter(network)
	if !ok {
		return nil, false
	}
	if mine == nil {
		return done, true
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-mine.turn:
		return done, true
	case <-timer.C:
	case <-ctx.Done():
	}
	if !p.leave(mine) {
		return done, true // the turn has come meanwhile
	}
	return nil, false
}

// enter takes a place, for which there is nothing to wait, or gets in line; false if the network's share of the line is full too.
func (p *Places) enter(network string) (*waiter, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.served.may(network) {
		p.served.add(network)
		return nil, true
	}
	if !p.inLine.may(network) {
		return nil, false
	}
	p.inLine.add(network)
	return p.queue.join(network), true
}

// leave gets out of line; false if the turn has come.
func (p *Places) leave(mine *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.queue.leave(mine)
	if left {
		p.inLine.remove(mine.network)
	}
	return left
}

// giveBack frees a place of a network, and gives places to those in line that may have one now.
func (p *Places) giveBack(network string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served.remove(network)
	for {
		next, found := p.queue.next(p.served.may)
		if !found {
			return
		}
		p.inLine.remove(next)
		p.served.add(next)
	}
}

// shares are places that networks hold.
type shares struct {
	free int
	held map[string]int // by network; never 0
}

func newShares(n int) shares { return shares{n, map[string]int{}} }

// may reports whether a network may hold one more.
func (s *shares) may(network string) bool { return s.held[network] < s.free }

func (s *shares) add(network string) {
	s.free--
	s.held[network]++
}

func (s *shares) remove(network string) {
	s.free++
	if s.held[network]--; s.held[network] == 0 {
		delete(s.held, network)
	}
}
