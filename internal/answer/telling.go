package answer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// tellEvery is how often a process tells the others.
	tellEvery = time.Second
	// tellTimeout bounds how long that may take.
	tellTimeout = 5 * time.Second
	// maxTold bounds how many writes without an answer are told one by one.
	maxTold = 1000
	// toldFor is how long what was told is kept; longer than anybody asks for it.
	toldFor = doubtTime + 2*store.ClockSkew
	// tellLonger is how long after the last write the others are still told the time, so that they know how long ago it was:
	// longer than the usual reuse interval. They are told of the end of a longer one, too.
	tellLonger = 7 * time.Second
)

// told is the record by which a process tells the others of its answers.
type told struct {
	At      time.Time `json:"at"`             // by the clock that stamped the writes, too
	Through uint64    `json:"through"`        // all writes up to this one have ended
	Lost    []uint64  `json:"lost,omitempty"` // those that had no answer
}

// Run tells the other replicas of the answers, and compares clocks with them, until the context ends.
func (l *Ledger) Run(ctx context.Context) {
	var compared time.Time
	for failing, ended := false, false; !ended; {
		ended = wait.For(ctx, tellEvery) != nil
		_, err := l.Tell(context.WithoutCancel(ctx))
		if time.Since(compared) > compareEvery && !ended {
			compared = time.Now()
			err = errors.Join(err, l.compareClocks(ctx))
		}
		if err != nil && !failing {
			l.log.WarnContext(ctx, "other replicas can't be told what this one has answered, or asked for their time", "err", err)
		}
		failing = err != nil
	}
}

// news returns what there is to tell; false if there is nothing new.
func (l *Ledger) news() (told, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := told{At: l.now(), Through: l.last}
	for number := range l.underway {
		t.Through = min(t.Through, number-1)
	}
	old := func(_ uint64, since time.Time) bool { return t.At.Sub(since) > toldFor }
	maps.DeleteFunc(l.lost, old)
	maps.DeleteFunc(l.hungUp, old)
	t.Lost = slices.Sorted(maps.Keys(l.hungUp))
	if len(l.lost) <= maxTold {
		t.Lost = append(t.Lost, slices.Sorted(maps.Keys(l.lost))...)
	} else { // nothing is said of the first one, and of all that follow
		for number := range l.lost {
			t.Through = min(t.Through, number-1)
		}
	}
	ago := t.At.Sub(l.used)
	over := ago > l.repeats && l.toldAt.Sub(l.used) <= l.repeats // which the others don't know
	return t, l.last > 0 && (ago < tellLonger || over || len(l.lost)+len(l.hungUp) > 0)
}

// TellAfter makes Run tell the others when a use may no longer be repeated, even one that took long, and with time left for
// those who wait to be told.
func (l *Ledger) TellAfter(repeats time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeats = repeats + promptly + hearTimeout
}

// Tell tells the other replicas what is new, and reports whether anything was. It must not be called while Run runs.
func (l *Ledger) Tell(ctx context.Context) (told bool, err error) {
	news, ok := l.news()
	if !ok {
		return false, nil
	}
	return true, l.tell(ctx, news)
}

// tell stores what there is to tell. It must not be called twice at once.
func (l *Ledger) tell(ctx context.Context, news told) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	e, err := l.entry, error(nil)
	if e.Key == "" {
		e, err = l.table.Get(ctx, l.self)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		e, err = l.table.Create(ctx, l.self, news)
	case err == nil:
		e.Value = news
		e, err = l.table.Replace(ctx, e)
	}
	if err != nil {
		e = store.Entry[told]{} // read it the next time
	}
	l.entry = e
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.toldAt = news.At
	}
	return err
}
