// Package limit bounds how often somebody may try what can be guessed: passwords, secrets of clients, codes of devices.
// Tries are counted by the address of who tries and by what they try, in the memory of one process: each replica counts
// for itself.
package limit

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// maxKeys is how many keys a Limiter remembers, some 150 bytes each. Nobody fills it from one address, because what fails
// at a name counts for its address too.
const maxKeys = 100_000

// A Rate is what a token bucket gives.
type Rate struct {
	Burst int           // how many tries at once; at least 1
	Every time.Duration // how long until there is one more
}

// times returns a rate that is a number of times as wide.
func (r Rate) times(n int) Rate { return Rate{Burst: n * r.Burst, Every: r.Every / time.Duration(n)} }

// A Limiter has a bucket of tries for each key. It is safe for concurrent use, and runs nothing in the background: what is
// in a bucket is computed from the time.
type Limiter struct {
	rate  Rate
	now   func() time.Time
	start time.Time
	max   int

	mu      sync.Mutex
	buckets map[id]*bucket
	idle    *list.List // of *bucket that nobody is trying at now; the stalest first
}

// id is the hash of a key, so that long names need no more memory than short ones.
type id [16]byte

// A bucket is one from which something is missing, or from which somebody takes a try right now. A full one needs no
// memory.
type bucket struct {
	id     id
	rate   Rate
	full   time.Duration // when nothing is missing any more, since the limiter's start
	trying int           // tries whose end is not known yet
	ended  chan struct{} // closed when one of them ends; nil while nobody waits for that
	place  *list.Element // in the list of idle ones; nil outside of it
}

// New returns a limiter. The clock is that of the server.
func New(rate Rate, now func() time.Time) *Limiter {
	return &Limiter{
		rate: rate, now: now, start: now(), max: maxKeys, buckets: make(map[id]*bucket), idle: list.New(),
	}
}

// identify hashes what a key is made of. Each part comes with its length, so that no two keys look alike.
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

// begin takes a try from a bucket. While others have taken all there are, it waits: if theirs are right, they will be
// given back. So no number of tries at once gets more wrong ones than the rate allows, and no number of right ones is
// refused. The error is an *Exceeded, or the end of the context.
func (l *Limiter) begin(ctx context.Context, p part) (*bucket, error) {
	for {
		b, ended, err := l.take(p)
		if b != nil || err != nil {
			return b, err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// take takes a try if there is one. If there is none, it returns what tells that one of those under way has ended; if none
// is under way, an *Exceeded.
func (l *Limiter) take(p part) (*bucket, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, now := l.bucket(p), l.elapsed()
	missing, all := max(0, b.full-now), time.Duration(b.rate.Burst-1)*b.rate.Every
	switch {
	case missing+time.Duration(b.trying)*b.rate.Every <= all:
		if b.place != nil {
			l.idle.Remove(b.place)
			b.place = nil
		}
		b.trying++
		return b, nil, nil
	case b.trying == 0:
		return nil, nil, &Exceeded{Wait: missing - all}
	case b.ended == nil:
		b.ended = make(chan struct{})
	}
	return nil, b.ended, nil
}

// bucket returns the bucket of a part of a key, made if need be.
func (l *Limiter) bucket(p part) *bucket {
	b := l.buckets[p.id]
	if b == nil {
		b = &bucket{id: p.id, rate: l.rate.times(p.weight)}
		l.buckets[p.id] = b
	}
	return b
}

// end gives a try back, unless it has failed.
func (l *Limiter) end(b *bucket, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.elapsed()
	b.trying--
	if failed {
		b.full = max(b.full, now) + b.rate.Every
	}
	if b.ended != nil {
		close(b.ended)
		b.ended = nil
	}
	l.tidy(b, now)
}

// tidy puts a bucket where it belongs after a try at it has ended.
func (l *Limiter) tidy(b *bucket, now time.Duration) {
	switch {
	case b.trying > 0: // the last one tidies up
	case b.full <= now:
		delete(l.buckets, b.id)
	case b.place != nil:
		l.idle.MoveToBack(b.place)
	default:
		b.place = l.idle.PushBack(b)
		l.forget(now)
	}
}

// forget makes room for the bucket that has just become idle: two at most go, so it is cheap, and what has passed goes
// faster than new ones come.
func (l *Limiter) forget(now time.Duration) {
	for range 2 {
		first := l.idle.Front()
		b := first.Value.(*bucket)
		if b.full > now && l.idle.Len() <= l.max {
			return
		}
		l.idle.Remove(first)
		delete(l.buckets, b.id)
		if l.idle.Len() == 0 {
			return
		}
	}
}

func (l *Limiter) elapsed() time.Duration { return l.now().Sub(l.start) }
