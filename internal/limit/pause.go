package limit

import (
	"context"
	"time"

	"dex/internal/wait"
)

// pause waits until a bucket has an attempt again, but no longer than the longest time, and returns how long it waited. It
// refuses nobody, so that nobody can be locked out by the failures of others. The error is the end of the context.
func (l *Limiter) pause(ctx context.Context, key id, longest time.Duration) (time.Duration, error) {
	delay := min(l.behind(key), longest)
	if delay <= 0 {
		return 0, nil
	}
	if err := wait.For(ctx, delay); err != nil {
		return 0, err
	}
	return delay, nil
}

// behind returns how long it takes until a bucket has an attempt again.
func (l *Limiter) behind(key id) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		return 0
	}
	return b.level.wait(l.rate, l.elapsed(), 1)
}

// fail counts a failure at a bucket, even an empty one, but never so many that an attempt would wait more than the longest
// time.
func (l *Limiter) fail(key id, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.elapsed()
	b, _ := l.bucket(part{key, 1}, now)
	most := now + time.Duration(l.rate.Burst-1)*l.rate.Every + longest
	b.level.full = min(max(b.level.full, now)+l.rate.Every, most)
	l.tidy(b, now)
}
