package backchannel

import (
	"context"
	"math/rand/v2"
	"time"

	"dex/internal/store"
)

const (
	// lookEvery is how often a replica looks for what others have left, or what is due again. It is quick to look at an empty list.
	lookEvery = 15 * time.Second
	// firstLook is how long after the start the first look comes.
	firstLook = 2 * time.Second
	// lookPause is how long after a look the next one comes at the earliest, for each page that it has read.
	lookPause = time.Second
	// lookTimeout bounds a look.
	lookTimeout = 30 * time.Second
	// lookPages is how many pages one look reads.
	lookPages = 8
	// lookShare keeps looks at a long queue to one part in so many of the time.
	lookShare = 10
)

// keepLooking looks for what is due until the context ends.
func (q *Queue) keepLooking(ctx context.Context) {
	var earliest time.Time
	next := time.Now().Add(jitter(firstLook))
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case due := <-q.retries:
			timer.Stop()
			if due.Before(next) {
				next = due
			}
		case <-timer.C:
			began := time.Now()
			again := q.look(ctx)
			ended := time.Now()
			earliest = ended.Add(lookShare * ended.Sub(began))
			next = ended.Add(again)
		}
		if next.Before(earliest) {
			next = earliest
		}
	}
}

// jitter returns about as long, so that replicas don't keep step.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5) //nolint:gosec // not a secret
}

// look takes up what is due, and returns how soon to look again. Of a long queue it looks at a part, and at the next one next time.
func (q *Queue) look(running context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(running, lookTimeout)
	defer cancel()
	again := jitter(lookEvery)
	earliest := time.Duration(0)
	for range lookPages {
		earliest += lookPause
		page, err := q.table.List(ctx, store.Query{After: q.after, Limit: store.MaxLimit})
		if err != nil {
			if running.Err() == nil {
				q.cfg.Log.ErrorContext(ctx, "queue of logout tokens can't be read", "err", err)
			}
			return again
		}
		for _, e := range page {
			again = min(again, q.consider(ctx, e))
		}
		q.seen += len(page)
		if len(page) < store.MaxLimit {
			q.waiting.Store(int64(q.seen))
			q.after, q.seen = "", 0
			return max(again, earliest)
		}
		q.after = page[len(page)-1].Key
	}
	return earliest
}

// consider takes a delivery up if it is due, and returns how soon to look at it again.
func (q *Queue) consider(ctx context.Context, e store.Entry[delivery]) time.Duration {
	if wait := time.Until(e.Value.Next); wait > 0 {
		return wait
	}
	if !q.turns.add(job{entry: e, host: q.hostOf(ctx, e.Value.ClientID)}) {
		return lookPause // there may be room by then
	}
	q.wake()
	return lookEvery
}
