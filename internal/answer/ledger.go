// Package answer knows what this process has answered, and what other replicas have.
//
// A code and a refresh token are used up by a write, and the client learns of it by the answer that follows. A storage that
// hangs, or whose answer is lost, comes between the two: the write happened, and the client has nothing. So each such write
// carries a stamp, and each process remembers which of its stamped writes had no answer. It tells the other replicas by a
// record of its own, once a second at most, instead of a second write after each answer. Whoever presents again what was used
// without an answer gets the answer that is due, by one more stamped write: so it is due once, and the rightful client's
// request exposes a thief who has had it. What was answered is never answered again.
package answer

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// doubtTime is how long after its use something is answered again, if nobody knows of an answer: a minute, and as long as
	// a request may have waited for the storage.
	doubtTime = 90 * time.Second
	// hearTimeout is how long a process waits to be told by another.
	hearTimeout = 3 * tellEvery
	// hearEvery is how often it looks.
	hearEvery = tellEvery / 5
)

// A Stamp names the write that used something up.
type Stamp struct {
	Process string `json:"process,omitempty"`
	Number  uint64 `json:"number,omitempty"` // of the process's writes
}

// A Ledger is what this process has answered. It is safe for concurrent use.
type Ledger struct {
	table *store.Table[told]
	now   func() time.Time
	log   *slog.Logger
	self  string        // random, to know one's own stamps
	wait  time.Duration // for news of another process

	mu       sync.Mutex // never held over I/O
	last     uint64
	underway map[uint64]chan struct{} // closed at the end
	lost     map[uint64]time.Time     // since when
	hungUp   map[uint64]time.Time     // likewise, where the client hung up
	used     time.Time                // the last write
	toldAt   time.Time                // what the others know as the time here
	repeats  time.Duration            // how long after the last write the others are told the time at least once

	entry store.Entry[told] // as it was stored last; only tell uses it

	behind    atomic.Int64      // how far this clock is behind, in nanoseconds
	revisions map[string]string // of the others' records; only compareClocks uses it
}

// An Option changes how a ledger works.
type Option func(*Ledger)

// Impatient makes a ledger not wait for news of other processes. It is for tests, which tell them first.
func Impatient() Option { return func(l *Ledger) { l.wait = 0 } }

var toldKind = store.Declare(store.Declaration[told]{
	Name: "answers", Quiet: true,
	Expires: func(t *told) time.Time { return t.At.Add(toldFor) },
})

// New returns the ledger of this process.
func New(s store.Store, now func() time.Time, log *slog.Logger, options ...Option) *Ledger {
	l := &Ledger{
		table:    store.In(s, toldKind),
		now:      now,
		log:      log,
		self:     rand.Text(),
		wait:     hearTimeout,
		underway: make(map[uint64]chan struct{}),
		lost:     make(map[uint64]time.Time),
		hungUp:   make(map[uint64]time.Time),
	}
	for _, set := range options {
		set(l)
	}
	return l
}

// Self returns the name of this process, as its stamps have it.
func (l *Ledger) Self() string { return l.self }

// An Outcome is what is known of the answer to whoever used something up.
type Outcome int

// The outcomes of a use.
const (
	Unanswered Outcome = iota // or nobody knows of an answer
	Answered                  // before this request came
	Overtaken                 // answered, but perhaps after this request came
)

// A Use is what a record says of the write that used it up.
type Use struct {
	Stamp
	At      time.Time     // by the clock of the stamp's process
	GoodFor time.Duration // how long it may be repeated after that
}

// Of says what became of the answer to a use, for a request that arrived at a time by the clock of this process.
func (l *Ledger) Of(ctx context.Context, u Use, arrived time.Time) (Outcome, error) {
	switch u.Process {
	case l.self:
		return l.ofMine(ctx, u, arrived)
	case "": // of an earlier release, which told nobody
		return Answered, nil
	}
	for end := time.Now().Add(l.wait); ; {
		e, err := l.table.Get(store.Latest(ctx), u.Process)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Unanswered, err
		}
		t := &e.Value
		ended := err == nil && u.Number <= t.Through
		switch {
		case err == nil && slices.Contains(t.Lost, u.Number):
			return Unanswered, nil
		case ended && t.At.Sub(u.At)-l.now().Sub(arrived) > u.GoodFor: // by the other's clock alone
			return Answered, nil
		case time.Now().Before(end):
			if err := wait.For(ctx, hearEvery); err != nil {
				return Unanswered, err
			}
		case ended:
			return Overtaken, nil
		default:
			return Unanswered, nil
		}
	}
}

// ofMine waits for the end of the write, if it is still under way.
func (l *Ledger) ofMine(ctx context.Context, u Use, arrived time.Time) (Outcome, error) {
	l.mu.Lock()
	done, writing := l.underway[u.Number]
	l.mu.Unlock()
	if writing {
		select {
		case <-done:
		case <-ctx.Done():
			return Unanswered, context.Cause(ctx)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.unanswered(u.Number):
		return Unanswered, nil
	case writing || arrived.Before(u.At):
		return Overtaken, nil
	}
	return Answered, nil
}

// Owed reports whether the answer to a use is still due to a request that comes again.
func (l *Ledger) Owed(ctx context.Context, u Use, arrived time.Time) (bool, error) {
	if !l.WithinDoubt(u, arrived) {
		return false, nil
	}
	o, err := l.Of(ctx, u, arrived)
	return err == nil && o == Unanswered, err
}

// WithinDoubt reports whether a request came so soon after a use that the answer may still be due.
func (l *Ledger) WithinDoubt(u Use, arrived time.Time) bool {
	return !arrived.After(u.At.Add(doubtTime + l.Skew(u.Process)))
}

// Skew returns how far the clock of a process may be from this one's.
func (l *Ledger) Skew(process string) time.Duration {
	if process == l.self {
		return 0
	}
	return store.ClockSkew
}

// unanswered reports whether a write of this process had no answer. The lock must be held.
func (l *Ledger) unanswered(number uint64) bool {
	_, lost := l.lost[number]
	_, hungUp := l.hungUp[number]
	return lost || hungUp
}
