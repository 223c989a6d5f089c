package limit

import (
	"container/list"
	"time"
)

// id is the hash of a key, so that long names need no more memory than short ones.
type id [16]byte

// A bucket is the token bucket of a key that isn't full or has attempts in progress. Full ones take no memory.
type bucket struct {
	id     id
	rate   Rate // of what this process has for itself
	level  level
	trying int           // attempts in progress
	ended  chan struct{} // closed when one of them ends; nil while nobody waits for that
	place  *list.Element // in the list of idle ones; nil if not in it

	// What replicas share is drawn from the storage.
	credit   int           // attempts that were drawn and not used yet
	drawn    time.Duration // since when the credit shrinks, as the pool is refilled meanwhile
	empty    time.Duration // until when the pool is known to be empty
	drawing  chan struct{} // closed when the draw that is under way has ended; nil if none is
	poolRate Rate
}

// fit gives the bucket the rates of the number of replicas that there are now. What was used stays used, and a part that grows
// has no more left than before: the others may have used up the rest.
func (b *bucket) fit(own, pool Rate, now time.Duration) {
	if b.rate != own {
		if missing := b.level.full - now; missing > 0 && b.rate.Every > 0 {
			used := float64(missing)/float64(b.rate.Every) + float64(max(0, own.Burst-b.rate.Burst))
			b.level.full = now + time.Duration(used*float64(own.Every))
			b.level.bound(own, now)
		}
		b.rate = own
	}
	b.poolRate = pool
}

// room returns how many more attempts may begin.
func (b *bucket) room(now time.Duration) int {
	b.shrink(now)
	return max(0, b.level.left(b.rate, now)) + b.credit - b.trying
}

// shrink takes back the credit that the pool has got again since it was drawn, so that nobody has it twice.
func (b *bucket) shrink(now time.Duration) {
	if b.credit == 0 || b.poolRate.Every <= 0 {
		return
	}
	refilled := (now - b.drawn) / b.poolRate.Every
	b.credit = max(0, b.credit-int(min(refilled, time.Duration(b.credit))))
	b.drawn += refilled * b.poolRate.Every
}

// lend adds attempts that were drawn from the pool.
func (b *bucket) lend(n int, now time.Duration) {
	if b.credit == 0 {
		b.drawn = now
	}
	b.credit += n
}

// fail takes an attempt for good: of this process's own, or of what was drawn.
func (b *bucket) fail(now time.Duration) {
	b.shrink(now)
	if b.credit > 0 && b.level.left(b.rate, now) < 1 {
		b.credit--
		return
	}
	b.level.take(b.rate, now, 1)
}

// busy reports whether somebody is using the bucket.
func (b *bucket) busy() bool { return b.trying > 0 || b.drawing != nil }

// stale returns when nothing of the bucket is worth remembering.
func (b *bucket) stale() time.Duration {
	until := max(b.level.full, b.empty)
	if b.credit > 0 {
		until = max(until, b.drawn+time.Duration(b.credit)*b.poolRate.Every)
	}
	return until
}
