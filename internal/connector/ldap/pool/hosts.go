package pool

import (
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// A host that fails is left alone for a while, twice as long after each failure.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// A host is one server, and what is known about it.
type host struct {
	address string // host:port
	name    string // for its certificate

	// Guarded by the mutex of hosts.
	failures  int       // since it last worked
	failedAt  time.Time // the last time
	countedAt time.Time // when failures grew
	retryAt   time.Time // left alone until then
	pageSize  int       // of search results (RFC 2696), or one of the constants below
}

const (
	noPages  = 0  // the server does not split results into pages
	notAsked = -1 // not known yet
)

// hosts choose the server for an operation.
type hosts struct {
	log *slog.Logger

	mu   sync.Mutex
	list []*host // in order of preference
}

func newHosts(addresses []string, log *slog.Logger) *hosts {
	hs := &hosts{log: log}
	for _, address := range addresses {
		name, _, err := net.SplitHostPort(address)
		if err != nil {
			name = address
		}
		hs.list = append(hs.list, &host{address: address, name: name, pageSize: notAsked})
	}
	return hs
}

// next returns the most preferred host that is not being left alone, or else the one that failed longest ago; nil when all
// have been tried. When the pause of a failed host is over, only the first caller gets it: the others would wait for a
// server that may still be down.
func (hs *hosts) next(tried []*host) *host {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	now := time.Now()
	var last *host
	for _, h := range hs.list {
		if slices.Contains(tried, h) {
			continue
		}
		if !now.Before(h.retryAt) {
			h.retryAt = now.Add(pause(h.failures))
			return h
		}
		if last == nil || h.failedAt.Before(last.failedAt) {
			last = h
		}
	}
	return last
}

// pause returns how long a host is left alone after a number of failures.
func pause(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(firstPause<<min(failures-1, 10), lastPause)
}

// failed notes that a host did not work. Many operations that fail at the same time count as one failure.
func (hs *hosts) failed(h *host, err error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	now := time.Now()
	h.failedAt = now
	if now.Sub(h.countedAt) < pause(h.failures) {
		return
	}
	h.countedAt = now
	h.failures++
	h.retryAt = now.Add(pause(h.failures))
	hs.log.Warn("LDAP server fails", "host", h.address, "failures", h.failures, "err", err)
}

// works notes that a host has answered.
func (hs *hosts) works(h *host) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h.failures > 0 {
		hs.log.Info("LDAP server works again", "host", h.address)
	}
	h.failures, h.retryAt = 0, time.Time{}
}

func (hs *hosts) pageSize(h *host) int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return h.pageSize
}

func (hs *hosts) setPageSize(h *host, size int) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.pageSize = size
}
