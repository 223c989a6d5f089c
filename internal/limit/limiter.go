// Package limit bounds how often somebody may try to guess passwords, client secrets and device codes. Attempts are
// counted by the caller's address and by what is guessed.
//
// Replicas share most limits. Of each bucket a replica has a part for itself, which it spends in memory. The rest is a pool in
// the storage, of which a replica draws several attempts at a time once its own part is used up, see [pool]. While the
// pool is empty nobody asks the storage. So the replicas together never let in more than the limit, right attempts cost
// no write, and however many wrong ones there are, they cost a few.
package limit

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"dex/internal/event"
)

// maxKeys is how many keys a Limiter remembers, some 250 bytes each. Nobody can fill it from one address, because a failure
// at a name counts for the address too.
const maxKeys = 100_000

// A Limiter has a bucket of attempts for each key. It is safe for concurrent use, and runs nothing in the background: what
// is left in a bucket is computed from the time.
type Limiter struct {
	name   event.Limit
	events event.Sink
	rate   Rate
	pool   *pool // nil if each process counts for itself
	start  time.Time
	max    int

	mu      sync.Mutex // never held over I/O
	buckets map[id]*bucket
	idle    *list.List // of *bucket that nobody is using; the stalest first
}

// New returns a limiter in which all buckets are full. It counts in this process alone.
func New(rate Rate) *Limiter {
	return &Limiter{
		events: event.Discard, rate: rate, start: time.Now(), max: maxKeys, buckets: make(map[id]*bucket), idle: list.New(),
	}
}

// identify hashes the parts of a key. Each is preceded by its length, so that no two keys give the same input.
func identify(parts []string) (sum id) {
	var key []byte
	for _, part := range parts {
		key = binary.BigEndian.AppendUint64(key, uint64(len(part)))
		key = append(key, part...)
	}
	hash := sha256.Sum256(key)
	copy(sum[:], hash[:])
	return sum
}

// begin takes an attempt from a bucket. While attempts in progress have taken all of them, it waits: those that turn out
// right are given back. So concurrency gets nobody more wrong attempts than the rate allows, and no number of concurrent
// right ones is refused. The error is an *Exceeded, or the end of the context.
func (l *Limiter) begin(ctx context.Context, p part) (*bucket, error) {
	for {
		b, then, err := l.take(p)
		if b != nil || err != nil {
			return b, err
		}
		if then.draw != nil {
			l.draw(ctx, then.draw, then.rate)
			continue
		}
		select {
		case <-then.changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A step is what has to happen before an attempt can be taken.
type step struct {
	draw    *bucket         // from the pool, for this bucket; the caller must do so
	rate    Rate            // of the pool
	changed <-chan struct{} // closed when it is worth trying again
}

// take takes an attempt if there is one. If there is none yet, it says what has to happen first; if nothing can, the error is an
// *Exceeded.
func (l *Limiter) take(p part) (*bucket, step, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.elapsed()
	b, shared := l.bucket(p, now)
	switch {
	case b.room(now) > 0, !shared && b.trying == 0 && b.level.lets(b.rate, now):
		l.use(b)
		b.trying++
		return b, step{}, nil
	case b.drawing != nil:
		return nil, step{changed: b.drawing}, nil
	case shared && now >= b.empty && !l.pool.resting():
		l.use(b)
		b.drawing = make(chan struct{})
		return nil, step{draw: b, rate: b.poolRate}, nil
	case b.trying > 0:
		if b.ended == nil {
			b.ended = make(chan struct{})
		}
		return nil, step{changed: b.ended}, nil
	}
	wait := b.level.wait(b.rate, now, 1)
	if shared {
		wait = min(wait, max(b.empty-now, l.pool.rests()))
	}
	l.tidy(b, now)
	return nil, step{}, &Exceeded{Wait: wait, limit: l.name}
}

// bucket returns the bucket for a part of a key, and creates it if necessary; and whether it is shared with other replicas.
func (l *Limiter) bucket(p part, now time.Duration) (b *bucket, shared bool) {
	own, pool := l.rate.times(p.weight), Rate{}
	if n := l.pool.replicas(); n > 1 {
		shared = true
		own, pool = own.split(n)
	}
	b = l.buckets[p.id]
	if b == nil {
		b = &bucket{id: p.id}
		l.buckets[p.id] = b
	}
	b.fit(own, pool, now)
	return b, shared
}

// draw draws attempts from the pool. It ends soon even if the storage hangs, and whoever waits for the bucket goes on then.
func (l *Limiter) draw(ctx context.Context, b *bucket, rate Rate) {
	n, wait, ok := l.pool.draw(ctx, l.name, b.id, rate)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.elapsed()
	if ok {
		b.shrink(now)
		b.lend(n, now)
		b.empty = now + wait
	}
	close(b.drawing)
	b.drawing = nil
	l.tidy(b, now)
}

// end gives an attempt back, unless it failed.
func (l *Limiter) end(b *bucket, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.elapsed()
	b.trying--
	if failed {
		b.fail(now)
	}
	if b.ended != nil {
		close(b.ended)
		b.ended = nil
	}
	l.tidy(b, now)
}

// use takes a bucket out of the idle ones.
func (l *Limiter) use(b *bucket) {
	if b.place != nil {
		l.idle.Remove(b.place)
		b.place = nil
	}
}

// tidy moves or removes a bucket that somebody has used.
func (l *Limiter) tidy(b *bucket, now time.Duration) {
	switch {
	case b.busy(): // the last one tidies up
	case b.stale() <= now:
		l.use(b)
		delete(l.buckets, b.id)
	case b.place != nil:
		l.idle.MoveToBack(b.place)
	default:
		b.place = l.idle.PushBack(b)
		l.forget(now)
	}
}

// forget makes room for the bucket that has just become idle. It removes at most two, so it is cheap, and yet full buckets
// go faster than new ones come.
func (l *Limiter) forget(now time.Duration) {
	for range 2 {
		first := l.idle.Front()
		b := first.Value.(*bucket)
		if b.stale() > now && l.idle.Len() <= l.max {
			return
		}
		l.idle.Remove(first)
		delete(l.buckets, b.id)
		if l.idle.Len() == 0 {
			return
		}
	}
}

func (l *Limiter) elapsed() time.Duration { return time.Since(l.start) }
