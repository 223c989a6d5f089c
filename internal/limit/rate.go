package limit

import "time"

// A Rate is the size and the refill rate of a token bucket.
type Rate struct {
	Burst int           // how many attempts at once; at least 1
	Every time.Duration // how long until there is one more

	// First and Longest make the limit progressive, if they aren't zero: an empty bucket lets one attempt in after First all the
	// same, the next one after twice as long, and so on up to Longest. So somebody who has mistyped often gets on soon, and
	// whoever goes on guessing ends at the slow rate that the bucket is refilled at.
	First, Longest time.Duration
}

// times returns n times the rate.
func (r Rate) times(n int) Rate {
	r.Burst, r.Every = n*r.Burst, r.Every/time.Duration(n)
	return r
}

// split returns what each of several replicas has for itself, and what they share. Together they are the rate: half of it is
// for the replicas, but at least one attempt each, as right attempts must not cost a write.
func (r Rate) split(replicas int) (own, pool Rate) {
	n := max(1, replicas)
	each := max(1, r.Burst/(2*n))
	own = Rate{Burst: each, Every: time.Duration(2*n) * r.Every}
	pool = r
	pool.Burst, pool.Every = max(0, r.Burst-n*each), 2*r.Every
	return own, pool
}

// overdraft is how many attempts a progressive limit lets in beyond its burst before the wait is the longest.
func (r Rate) overdraft() int {
	n := 0
	for wait := r.First; r.First > 0 && wait < r.Longest; wait *= 2 {
		n++
	}
	return n
}

// batch is how many attempts are waited for once a shared bucket is empty, so that a flood doesn't write for each.
func (r Rate) batch() int { return max(1, r.Burst/16) }

// A level is what is left in a token bucket, told by times, so that nothing needs to run. Zero is a full bucket. All times are
// since some epoch.
type level struct {
	full time.Duration // when the bucket will be full again
	next time.Duration // when an empty bucket lets an attempt in, if the rate is progressive
}

// left returns how many attempts there are. None or fewer means that the bucket is empty.
func (l level) left(r Rate, now time.Duration) int {
	missing := max(0, l.full-now)
	return r.Burst - int((missing+r.Every-1)/r.Every)
}

// lets reports whether an empty bucket lets an attempt in.
func (l level) lets(r Rate, now time.Duration) bool { return r.First > 0 && now >= l.next }

// take takes n attempts, whether or not they are there.
func (l *level) take(r Rate, now time.Duration, n int) {
	l.full = max(l.full, now) + time.Duration(n)*r.Every
	l.bound(r, now)
	if left := l.left(r, now); r.First > 0 && left <= 0 {
		l.next = now + min(r.Longest, r.First<<min(-left, r.overdraft()))
	}
}

// bound keeps a level within what the rate can lead to, as another process's clock may have been far ahead.
func (l *level) bound(r Rate, now time.Duration) {
	l.full = min(l.full, now+time.Duration(r.Burst+r.overdraft())*r.Every)
	l.next = min(l.next, now+r.Longest)
}

// wait returns how long it takes until there are n attempts, or an empty bucket lets one in.
func (l level) wait(r Rate, now time.Duration, n int) time.Duration {
	wait := max(0, l.full-now) - time.Duration(r.Burst-n)*r.Every
	if r.First > 0 {
		wait = min(wait, l.next-now)
	}
	return max(0, wait)
}
