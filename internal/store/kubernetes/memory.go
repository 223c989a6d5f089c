package kubernetes

import (
	"sync"
	"time"
)

const (
	// maxPlaces bounds the lists that can be read page by page at one time without reading from the start.
	maxPlaces = 256
	// placeAge is how long the beginning of a page is remembered: about as long as the server knows it.
	placeAge = 2 * time.Minute
)

// A pagePlace is where a page of a list ended.
type pagePlace struct {
	kind, owner string
	name        string // of the last object
}

// A pageStart is where the page after that begins.
type pageStart struct {
	from string // the server's token; what comes then is as it was in the state that the list began with
	// begun is when the list began: a later one must not get the state of an earlier one.
	begun  time.Time
	stored time.Time
}

// pageMemory remembers where pages begin, each for one use. The zero value is ready to use.
type pageMemory struct {
	mu     sync.Mutex
	starts map[pagePlace]pageStart
}

func (m *pageMemory) put(at pagePlace, start pageStart, now time.Time) {
	start.stored = now
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.starts[at].begun.After(start.begun) {
		return
	}
	if m.starts == nil {
		m.starts = make(map[pagePlace]pageStart)
	}
	if len(m.starts) >= maxPlaces {
		m.forgetOldest()
	}
	m.starts[at] = start
}

// take returns where to go on, and forgets it: a caller that reads the same page again wants to see what has changed.
func (m *pageMemory) take(at pagePlace, now time.Time) (pageStart, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	start, ok := m.starts[at]
	delete(m.starts, at)
	return start, ok && now.Sub(start.stored) < placeAge
}

func (m *pageMemory) forgetOldest() {
	var oldest pagePlace
	var stored time.Time
	for at, start := range m.starts {
		if stored.IsZero() || start.stored.Before(stored) {
			oldest, stored = at, start.stored
		}
	}
	delete(m.starts, oldest)
}

// onceEach does something once for each name. It forgets what it did when that becomes much. The zero value is ready to
// use.
type onceEach struct {
	mu   sync.Mutex
	done map[string]bool
}

func (o *onceEach) do(name string, what func()) {
	const much = 1000
	o.mu.Lock()
	first := !o.done[name]
	if o.done == nil || len(o.done) >= much {
		o.done = make(map[string]bool)
	}
	o.done[name] = true
	o.mu.Unlock()
	if first {
		what()
	}
}
