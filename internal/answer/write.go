package answer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
)

const (
	// promptly is how long a write may take and its answer still be believed to reach the client. Many clients wait no longer
	// than some seconds.
	promptly = time.Second
	// maxHungUp bounds how many writes are remembered whose clients hung up on a prompt storage; others count as answered.
	// Anybody can hang up as often as they like, and must not cast doubt on the answers of others.
	maxHungUp = 1000
	// lookAgainTimeout bounds how long a write without a known outcome is looked for.
	lookAgainTimeout = 3 * time.Second
)

// A Refusal is an error by which the function of a swap says no, so that nothing was written.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// ErrReplayed says that a code was used before.
const ErrReplayed = Refusal("code was used before")

// Write carries out a write that uses something up, under a stamp of its own. The function writes the record with a key, and
// must put the stamp where stampOf finds it. Where nobody knows whether the write happened, Write looks. It returns the record
// as it is then, which has another stamp if the function found nothing to change. If the client has hung up meanwhile, the
// error says so: a connection that is closed on one side could still carry the answer, which would be due once more.
func Write[T any](
	ctx context.Context, l *Ledger, t *store.Table[T], key string, stampOf func(*T) Stamp,
	write func(Stamp) (store.Entry[T], error),
) (store.Entry[T], error) {
	w := l.begin()
	mine := func(v *T) bool { return stampOf(v) == w.stamp }
	e, err := write(w.stamp)
	if err != nil {
		e, err = LookAgain(ctx, t, key, err, mine)
	}
	if err == nil && !mine(&e.Value) {
		_ = w.end(ctx, store.ErrUnchanged)
		return e, nil
	}
	return e, w.end(ctx, err)
}

// LookAgain reads a record whose write ended without a known outcome: it may have happened. Mine tells by the record
// whether it has; otherwise the error stays.
func LookAgain[T any](
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

// neverHappened reports whether an error says that nothing was written.
func neverHappened(err error) bool {
	if _, refused := errors.AsType[Refusal](err); refused {
		return true
	}
	for _, sure := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrUnchanged} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

// A stamped write is one that is under way.
type stamped struct {
	ledger *Ledger
	stamp  Stamp
	begun  time.Time
	done   chan struct{}
}

// begin numbers a write. Its end must be called.
func (l *Ledger) begin() *stamped {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.used = l.now()
	w := &stamped{ledger: l, stamp: Stamp{Process: l.self, Number: l.last}, begun: time.Now(), done: make(chan struct{})}
	l.underway[l.last] = w.done
	return w
}

// end notes how the write ended. Its client is still there as long as the context is; one that has hung up gets no answer. It
// returns the error to give instead of an answer.
func (w *stamped) end(ctx context.Context, err error) error {
	l := w.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.underway, w.stamp.Number)
	close(w.done)
	if neverHappened(err) {
		return err
	}
	gone, slow := ctx.Err() != nil, time.Since(w.begun) > promptly
	switch {
	case gone && !slow:
		if len(l.hungUp) < maxHungUp {
			l.hungUp[w.stamp.Number] = l.now()
		}
	case err != nil || slow:
		l.lost[w.stamp.Number] = l.now()
	}
	if err == nil && gone {
		return fmt.Errorf("nobody waits for the answer: %w", context.Cause(ctx))
	}
	return err
}
