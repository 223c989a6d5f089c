// Package limit bounds how often somebody may try to guess passwords, client secrets and device codes. Attempts are
// counted by the caller's address and by what is guessed, in the memory of one process: each replica counts for itself.
package limit

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// maxKeys is how many keys a Limiter remembers, some 150 bytes each. Nobody can fill it from one address, because a failure
// at a name counts for the address too.
const maxKeys = 100_000

// A Rate is the size and the refill rate of a token bucket.
type Rate struct {
	Burst int           // how many attempts at once; at least 1
	Every time.Duration // how long until there is one more
}

// times returns n times the rate.
func (r Rate) times(n int) Rate { return Rate{Burst: n * r.Burst, Every: r.Every / time.Duration(n)} }

// A Limiter has a bucket of attempts for each key. It is safe for concurrent use, and runs nothing in the background: what
// is left in a bucket is computed from the time.
type Limiter struct {
	rate  Rate
	start time.Time
	max   int

	mu      sync.Mutex
	buckets map[id]*bucket
	idle    *list.List // of *bucket without attempts in progress; the stalest first
}

// id is the hash of a key, so that long names need no more memory than short ones.
type id [16]byte

// A bucket is a token bucket that isn't full or has attempts in progress. Full ones take no memory.
type bucket struct {
	id     id
	rate   Rate
	full   time.Duration // when it will be full again, since the limiter's start
	trying int           // attempts in progress
	ended  chan struct{} // closed when one of them ends; nil while nobody waits for that
	place  *list.Element // in the list of idle ones; nil if not in it
}

// New returns a limiter in which all buckets are full.
func New(rate Rate) *Limiter {
	return &Limiter{rate: rate, start: time.Now(), max: maxKeys, buckets: make(map[id]*bucket), idle: list.New()}
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

// take takes an attempt if there is one. If there is none, it returns a channel that is closed when one of those in
// progress ends; if none is in progress, an *Exceeded.
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

// bucket returns the bucket for a part of a key, and creates it if necessary.
func (l *Limiter) bucket(p part) *bucket {
	b := l.buckets[p.id]
	if b == nil {
		b = &bucket{id: p.id, rate: l.rate.times(p.weight)}
		l.buckets[p.id] = b
	}
	return b
}

// end gives an attempt back, unless it failed.
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

// tidy moves or removes a bucket after one of its attempts has ended.
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

// forget makes room for the bucket that has just become idle. It removes at most two, so it is cheap, and yet full buckets
// go faster than new ones come.
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

func (l *Limiter) elapsed() time.Duration { return time.Since(l.start) }
