package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dex/internal/store"
)

// A code and a refresh token are used up by a write, and the client learns of it by the answer that follows. A storage that
// hangs, or whose answer is lost, comes between the two: the write happened, and the client has nothing. So each such write
// carries a stamp, and each process remembers which of its stamped writes had no answer. It tells the other replicas of them
// by a record of its own, once a second at most, instead of a second write after each answer. Whoever presents again what
// was used without an answer gets the one that is due, by one more stamped write: so it is due once, and a thief who has had
// it is found out by the rightful client. What was answered must not come back.

const (
	// doubtTime is how long after it was used something is answered again, if nobody knows of an answer: a minute, and as
	// long as a request may have waited for the storage.
	doubtTime = 90 * time.Second
	// promptly is how long a write may take whose answer is believed to have reached the client. Many clients wait no
	// longer than some seconds.
	promptly = time.Second
	// tellEvery is how often a process tells the others.
	tellEvery = time.Second
	// tellTimeout bounds how long that may take.
	tellTimeout = 5 * time.Second
	// hearTimeout is how long a process waits to be told by another.
	hearTimeout = 3 * tellEvery
	// hearEvery is how often it looks.
	hearEvery = tellEvery / 5
	// maxTold bounds how many writes without an answer are told one by one.
	maxTold = 1000
	// maxHungUp bounds how many are remembered whose clients hung up on a storage that was prompt; others count as answered.
	// Anybody can hang up as often as they like, and must not bring doubt on the answers of others.
	maxHungUp = 1000
	// toldFor is how long what was told is kept; longer than anybody asks for it.
	toldFor = doubtTime + 2*clockSkew
	// lookAgainTimeout bounds how long a write without a known outcome is looked for.
	lookAgainTimeout = 3 * time.Second
	// tellLonger is how long after the last write the others are still told the time each time, by which they know how long ago
	// it was: longer than the usual reuse interval. They are told of the end of a longer one, too.
	tellLonger = 7 * time.Second
)

// A stamp names the write that used something up.
type stamp struct {
	Process string `json:"process,omitempty"`
	Number  uint64 `json:"number,omitempty"` // of the process's writes
}

// told is the record by which a process tells the others of its answers.
type told struct {
	At      time.Time `json:"at"`             // by the clock that stamped the writes, too
	Through uint64    `json:"through"`        // all writes up to this one have ended
	Lost    []uint64  `json:"lost,omitempty"` // those that had no answer
}

// Answers are what this process has answered. They are safe for concurrent use.
type Answers struct {
	table *store.Table[told]
	now   func() time.Time
	log   *slog.Logger
	self  string        // random, to know one's own stamps
	wait  time.Duration // for news of another process

	mu       sync.Mutex // never held over I/O
	last     uint64
	underway map[uint64]chan struct{} // closed at the end
	lost     map[uint64]time.Time     // since when
	hungUp   map[uint64]time.Time     // likewise, where it was the client's doing
	used     time.Time                // the last write
	toldAt   time.Time                // what the others know as the time here
	repeats  time.Duration            // how long after it the others are told the time at least once

	entry store.Entry[told] // as it was stored last; only tell uses it

	behind    atomic.Int64      // how far this clock is, in nanoseconds
	revisions map[string]string // of the others' records; only compareClocks uses it
}

// NewAnswers returns the answers of this process.
func NewAnswers(s store.Store, now func() time.Time, log *slog.Logger) *Answers {
	return &Answers{
		table: store.In(s, store.Kind[told]{
			Name:    "answers",
			Expires: func(t *told) time.Time { return t.At.Add(toldFor) },
		}),
		now:      now,
		log:      log,
		self:     rand.Text(),
		wait:     hearTimeout,
		underway: make(map[uint64]chan struct{}),
		lost:     make(map[uint64]time.Time),
		hungUp:   make(map[uint64]time.Time),
	}
}

// A stampedWrite is one that is under way.
type stampedWrite struct {
	answers *Answers
	stamp   stamp
	begun   time.Time
	done    chan struct{}
}

// begin numbers a write. Its end must be called.
func (a *Answers) begin() *stampedWrite {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	a.used = a.now()
	w := &stampedWrite{answers: a, stamp: stamp{Process: a.self, Number: a.last}, begun: time.Now(), done: make(chan struct{})}
	a.underway[a.last] = w.done
	return w
}

// end says how the write ended, whose client is still there as long as the context is, and returns the error that there must
// be no answer for. Who has hung up gets none: a connection that is closed on one side could still carry it, and the answer
// would be due once more.
func (w *stampedWrite) end(ctx context.Context, err error) error {
	a := w.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.underway, w.stamp.Number)
	close(w.done)
	if neverHappened(err) {
		return err
	}
	gone, slow := ctx.Err() != nil, time.Since(w.begun) > promptly
	switch {
	case gone && !slow:
		if len(a.hungUp) < maxHungUp {
			a.hungUp[w.stamp.Number] = a.now()
		}
	case err != nil || slow:
		a.lost[w.stamp.Number] = a.now()
	}
	if err == nil && gone {
		return fmt.Errorf("nobody waits for the answer: %w", context.Cause(ctx))
	}
	return err
}

// unanswered reports whether a write of this process had no answer. The lock must be held.
func (a *Answers) unanswered(number uint64) bool {
	_, lost := a.lost[number]
	_, hungUp := a.hungUp[number]
	return lost || hungUp
}

// neverHappened reports whether an error says that nothing was written.
func neverHappened(err error) bool {
	for _, sure := range []error{
		store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrUnchanged,
		errForged, errExpired, errReused, errRaced, errLate, errReplayed,
	} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

// An outcome is what is known of the answer to whoever used something up.
type outcome int

const (
	unanswered outcome = iota // or nobody knows of an answer
	answered                  // before this request came
	overtaken                 // answered, but perhaps after this request came
)

// A use is what a record says of the write that used it up.
type use struct {
	stamp
	at      time.Time     // by the clock of the stamp's process
	goodFor time.Duration // how long it may be repeated after that
}

// of says what became of the answer to a use, for a request that arrived at a time by the clock of this process.
func (a *Answers) of(ctx context.Context, u use, arrived time.Time) (outcome, error) {
	switch u.Process {
	case a.self:
		return a.ofMine(ctx, u, arrived)
	case "": // of an earlier release, which told nobody
		return answered, nil
	}
	for end := time.Now().Add(a.wait); ; {
		e, err := a.table.Get(store.Latest(ctx), u.Process)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return unanswered, err
		}
		t := &e.Value
		ended := err == nil && u.Number <= t.Through
		switch {
		case err == nil && slices.Contains(t.Lost, u.Number):
			return unanswered, nil
		case ended && t.At.Sub(u.at)-a.now().Sub(arrived) > u.goodFor: // by the other's clock alone
			return answered, nil
		case time.Now().Before(end):
			if err := pause(ctx, hearEvery); err != nil {
				return unanswered, err
			}
		case ended:
			return overtaken, nil
		default:
			return unanswered, nil
		}
	}
}

// ofMine waits for the end of the write, if it is still under way.
func (a *Answers) ofMine(ctx context.Context, u use, arrived time.Time) (outcome, error) {
	a.mu.Lock()
	done, writing := a.underway[u.Number]
	a.mu.Unlock()
	if writing {
		select {
		case <-done:
		case <-ctx.Done():
			return unanswered, context.Cause(ctx)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.unanswered(u.Number):
		return unanswered, nil
	case writing || arrived.Before(u.at):
		return overtaken, nil
	}
	return answered, nil
}

// owed reports whether the answer to a use is still due to a request that comes again.
func (a *Answers) owed(ctx context.Context, u use, arrived time.Time) (bool, error) {
	if !a.withinDoubt(u, arrived) {
		return false, nil
	}
	o, err := a.of(ctx, u, arrived)
	return err == nil && o == unanswered, err
}

// withinDoubt reports whether a request came so soon after a use that the answer may still be due.
func (a *Answers) withinDoubt(u use, arrived time.Time) bool {
	return !arrived.After(u.at.Add(doubtTime + a.skew(u.Process)))
}

// skew returns how far the clock of a process may be from this one's.
func (a *Answers) skew(process string) time.Duration {
	if process == a.self {
		return 0
	}
	return clockSkew
}

// Run tells the other replicas of the answers, and compares clocks with them, until the context ends.
func (a *Answers) Run(ctx context.Context) {
	var compared time.Time
	for failing, ended := false, false; !ended; {
		ended = pause(ctx, tellEvery) != nil
		var err error
		if news, ok := a.news(); ok {
			err = a.tell(context.WithoutCancel(ctx), news)
		}
		if time.Since(compared) > compareEvery && !ended {
			compared = time.Now()
			err = errors.Join(err, a.compareClocks(ctx))
		}
		if err != nil && !failing {
			a.log.WarnContext(ctx, "other replicas can't be told what this one has answered, or asked for their time", "err", err)
		}
		failing = err != nil
	}
}

// news returns what there is to tell; false if nothing.
func (a *Answers) news() (told, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := told{At: a.now(), Through: a.last}
	for number := range a.underway {
		t.Through = min(t.Through, number-1)
	}
	old := func(_ uint64, since time.Time) bool { return t.At.Sub(since) > toldFor }
	maps.DeleteFunc(a.lost, old)
	maps.DeleteFunc(a.hungUp, old)
	t.Lost = slices.Sorted(maps.Keys(a.hungUp))
	if len(a.lost) <= maxTold {
		t.Lost = append(t.Lost, slices.Sorted(maps.Keys(a.lost))...)
	} else { // nothing is said of the first one, and of all that follow
		for number := range a.lost {
			t.Through = min(t.Through, number-1)
		}
	}
	ago := t.At.Sub(a.used)
	over := ago > a.repeats && a.toldAt.Sub(a.used) <= a.repeats // which the others don't know
	return t, a.last > 0 && (ago < tellLonger || over || len(a.lost)+len(a.hungUp) > 0)
}

// tellAfter lets the others know when a use may no longer be repeated, even one that has taken its time, by whoever waits to
// be told.
func (a *Answers) tellAfter(repeats time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.repeats = repeats + promptly + hearTimeout
}

// tell stores what there is to tell. It must not be called by two at once.
func (a *Answers) tell(ctx context.Context, news told) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	e, err := a.entry, error(nil)
	if e.Key == "" {
		e, err = a.table.Get(ctx, a.self)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		e, err = a.table.Create(ctx, a.self, news)
	case err == nil:
		e.Value = news
		e, err = a.table.Replace(ctx, e)
	}
	if err != nil {
		e = store.Entry[told]{} // read it the next time
	}
	a.entry = e
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.toldAt = news.At
	}
	return err
}

// lookAgain reads a record whose write ended without a known outcome: it may have happened. Mine tells by the record
// whether it has; otherwise the error stays.
func lookAgain[T any](
	ctx context.Context, t *store.Table[T], key string, err error, mine func(*T) bool,
) (store.Entry[T], error) {
	if neverHappened(err) || ctx.Err() != nil {
		return store.Entry[T]{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookAgainTimeout)
	defer cancel()
	e, readErr := t.Get(store.Latest(ctx), key)
	if readErr != nil || !mine(&e.Value) {
		return store.Entry[T]{}, err
	}
	return e, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
