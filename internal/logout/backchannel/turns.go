package backchannel

import (
	"slices"
	"sync"

	"dex/internal/store"
)

// Bounds of what this process does at once and remembers. What doesn't fit stays in the storage and is found again.
const (
	mostAtOnce      = 16
	mostAtOnceAHost = 2
	mostWaiting     = 4096
	mostWaitingHost = 1024
)

// A job is an attempt that this process is about to make.
type job struct {
	entry   store.Entry[delivery]
	host    string // of the receiver, with its port; empty if it isn't known
	claimed bool   // by this process, until Next
}

// Turns are the jobs of this process. Hosts take turns, and each gets only a part of all attempts, so that one that hangs, or has
// much to be told, delays no other. It is safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	hosts   map[string]*line
	order   []*line         // those with jobs that wait; who is next comes first
	known   map[string]bool // the keys of jobs that wait or are under way
	waiting int
	busy    int // how many are under way
}

// A line is the jobs of a host that wait.
type line struct {
	host string
	jobs []job
	busy int // how many are under way
}

func newTurns() turns {
	return turns{hosts: make(map[string]*line), known: make(map[string]bool)}
}

// add lets a job wait for its turn; false if there are too many already. One that is known is left as it is.
func (t *turns) add(j job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known[j.entry.Key] {
		return true
	}
	l := t.hosts[j.host]
	if t.waiting >= mostWaiting || l != nil && len(l.jobs) >= mostWaitingHost {
		return false
	}
	if l == nil {
		l = &line{host: j.host}
		t.hosts[j.host] = l
	}
	if len(l.jobs) == 0 {
		t.order = append(t.order, l)
	}
	l.jobs = append(l.jobs, j)
	t.known[j.entry.Key] = true
	t.waiting++
	return true
}

// next returns the job whose turn it is; false if none may begin now. Afterwards it is done.
func (t *turns) next() (job, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy >= mostAtOnce {
		return job{}, false
	}
	i := slices.IndexFunc(t.order, func(l *line) bool { return l.busy < mostAtOnceAHost })
	if i < 0 {
		return job{}, false
	}
	l := t.order[i]
	t.order = slices.Delete(t.order, i, i+1)
	j := l.jobs[0]
	l.jobs = slices.Delete(l.jobs, 0, 1)
	if len(l.jobs) > 0 {
		t.order = append(t.order, l)
	}
	t.waiting--
	t.busy++
	l.busy++
	return j, true
}

// done makes room for others.
func (t *turns) done(j job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, j.entry.Key)
	l := t.hosts[j.host]
	t.busy--
	l.busy--
	if l.busy == 0 && len(l.jobs) == 0 {
		delete(t.hosts, j.host)
	}
}
