package code

import (
	"sync"

	"dex/internal/store"
)

// maxRecent bounds how many codes are remembered; most have the size of an identity, some hundred bytes.
const maxRecent = 1024

// recent is the codes that this process issued last. A code that is redeemed where it was issued needs no read, which saves a
// round trip. What is remembered may be stale.
type recent struct {
	mu    sync.Mutex
	byKey map[string]store.Entry[Issued]
	order [maxRecent]string // a ring
	next  int
}

func (r *recent) put(e store.Entry[Issued]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey = make(map[string]store.Entry[Issued])
	}
	delete(r.byKey, r.order[r.next])
	r.byKey[e.Key] = e
	r.order[r.next] = e.Key
	r.next = (r.next + 1) % maxRecent
}

func (r *recent) get(key string) (store.Entry[Issued], bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.byKey[key]
	return e, ok
}
