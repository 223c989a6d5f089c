package backchannel

import (
	"context"
	"errors"
	"time"

	"dex/internal/event"
	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// claimTime is how long an attempt is one replica's alone. It is longer than an attempt with its writes takes, and also makes up for
	// clocks that differ. If the replica dies, another one makes the attempt after it.
	claimTime = 30 * time.Second
	// claimLeft is how much of a claim must be left for an attempt to begin.
	claimLeft = 20 * time.Second
	// writeTimeout bounds a write to the storage, and writePause is how long after one that failed it is tried again.
	writeTimeout = 5 * time.Second
	writePause   = time.Second
)

// pauses are how long after each failed attempt the next one comes; after the last of them every lastPause.
var pauses = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

const lastPause = time.Hour

// pauseAfter returns how long after a number of failed attempts the next one comes.
func pauseAfter(attempts int) time.Duration {
	if attempts <= len(pauses) {
		return pauses[attempts-1]
	}
	return lastPause
}

// deliver makes an attempt, unless another replica does, and writes down how it went. The end of the context doesn't cut it off
// halfway, or the client would be told again without need.
func (q *Queue) deliver(running context.Context, e store.Entry[delivery], claimed bool) {
	ctx := context.WithoutCancel(running)
	if !claimed || time.Until(e.Value.Next) < claimLeft {
		var ok bool
		if e, ok = q.claim(ctx, e); !ok {
			return
		}
	}
	end := e.Value.Next
	attempts := e.Value.Attempts + 1
	err := q.try(ctx, &e.Value)
	switch {
	case err == nil:
		q.cfg.Events.Emit(ctx, event.LogoutTokenSent{ClientID: e.Value.ClientID, SessionID: e.Value.SessionID, Attempts: attempts})
		q.remove(running, e, end)
	case errors.Is(err, errNobody):
		q.remove(running, e, end)
	case errors.Is(err, errGone) || time.Now().Add(pauseAfter(attempts)).After(e.Value.Created.Add(patience)):
		q.giveUp(running, e, err)
	default:
		q.postpone(running, e, err)
	}
}

// claim makes an attempt this replica's alone; false if another one was faster, or nobody can know.
func (q *Queue) claim(ctx context.Context, e store.Entry[delivery]) (store.Entry[delivery], bool) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	e.Value.Next = time.Now().Add(claimTime)
	e, err := q.table.Replace(ctx, e)
	q.complain(ctx, err)
	return e, err == nil
}

// remove ends a delivery, whoever has claimed it meanwhile.
func (q *Queue) remove(running context.Context, e store.Entry[delivery], claim time.Time) {
	q.insist(running, claim, func(ctx context.Context) error { return q.table.Delete(ctx, e.Key, "") })
}

// giveUp ends a delivery that has failed for good, unless another replica has gone on with it.
func (q *Queue) giveUp(running context.Context, e store.Entry[delivery], failure error) {
	if q.insist(running, e.Value.Next, func(ctx context.Context) error { return q.table.Delete(ctx, e.Key, e.Revision) }) {
		q.cfg.Events.Emit(running, event.LogoutTokenGivenUp{
			ClientID: e.Value.ClientID, SessionID: e.Value.SessionID, Attempts: e.Value.Attempts + 1, Err: failure,
		})
	}
}

// postpone lets a delivery that has failed wait for its next attempt, unless another replica has gone on with it.
func (q *Queue) postpone(running context.Context, e store.Entry[delivery], failure error) {
	claim := e.Value.Next
	e.Value.Attempts++
	e.Value.Next = time.Now().Add(pauseAfter(e.Value.Attempts))
	if !q.insist(running, claim, func(ctx context.Context) error { _, err := q.table.Replace(ctx, e); return err }) {
		return
	}
	q.cfg.Events.Emit(running, event.LogoutTokenFailed{
		ClientID: e.Value.ClientID, SessionID: e.Value.SessionID, Attempts: e.Value.Attempts, Next: e.Value.Next, Err: failure,
	})
	select {
	case q.retries <- e.Value.Next:
	default: // a look will find it
	}
}

// insist writes until that succeeds, the claim or the process ends, or the record is another replica's; it reports whether it has
// succeeded. Without that write the client would be told again.
func (q *Queue) insist(running context.Context, claim time.Time, write func(context.Context) error) bool {
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(running), writeTimeout)
		err := write(ctx)
		cancel()
		final := err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict)
		if final || time.Now().Add(writePause).After(claim) || wait.For(running, writePause) != nil {
			q.complain(ctx, err)
			return err == nil
		}
	}
}

// complain logs a failure of the storage.
func (q *Queue) complain(ctx context.Context, err error) {
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return
	}
	q.cfg.Log.ErrorContext(ctx, "queue of logout tokens can't be written", "err", err)
}
