package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/event"
	"dex/internal/oauth"
)

// Exceeded is the error for too many failures.
type Exceeded struct {
	Wait time.Duration // until the next attempt

	limit event.Limit
}

// Error says how long to wait.
func (e *Exceeded) Error() string { return fmt.Sprintf("too many attempts, the next in %s", e.Wait) }

// RefusalReason implements what event.ReasonOf looks for.
func (e *Exceeded) RefusalReason() string { return "limit" }

// Seconds returns how long to wait, for people and for the header Retry-After: whole seconds, rounded up.
func (e *Exceeded) Seconds() int { return max(1, int((e.Wait+time.Second-1)/time.Second)) }

// Message is the error for the user.
func (e *Exceeded) Message() string {
	return fmt.Sprintf("Too many failed attempts. Wait %d seconds, then try again.", e.Seconds())
}

// Refusal returns what an application is told: status 429 and how long to wait for an *Exceeded (RFC 6585, section 4), a server
// error for every other error. No RFC has a code for too many attempts at these endpoints; this one says that it may try again.
func Refusal(err error) *oauth.Error {
	exceeded, ok := errors.AsType[*Exceeded](err)
	if !ok {
		return oauth.Failed(err)
	}
	seconds := exceeded.Seconds()
	refusal := oauth.Errorf(oauth.TemporarilyUnavailable, "There were too many requests. Try again in %d s.", seconds)
	refusal.RetryAfter = seconds
	return refusal.Because(err)
}

// A Try is an attempt in progress. It must be used by one goroutine only.
type Try struct {
	taken  []taken
	failed bool
}

type taken struct {
	limiter *Limiter
	bucket  *bucket
}

// Begin begins an attempt that counts for all of the keys. End must be called if there is no error. The error is an
// *Exceeded if one of the keys has no attempts left, or the end of the context.
func Begin(ctx context.Context, keys ...Key) (*Try, error) {
	t := &Try{}
	for _, k := range keys {
		for _, p := range k.parts {
			if p.weight == 0 {
				break
			}
			b, err := k.limiter.begin(ctx, p)
			if err != nil {
				t.End()
				k.limiter.tell(ctx, err)
				return nil, err
			}
			t.taken = append(t.taken, taken{k.limiter, b})
		}
	}
	return t, nil
}

// tell emits the event of a refusal.
func (l *Limiter) tell(ctx context.Context, err error) {
	if exceeded, ok := errors.AsType[*Exceeded](err); ok {
		l.events.Emit(ctx, event.LimitReached{Limit: exceeded.limit})
	}
}

// Count counts something that counts even if nothing is wrong with it. Its error is Begin's.
func Count(ctx context.Context, keys ...Key) error {
	t, err := Begin(ctx, keys...)
	if err != nil {
		return err
	}
	t.Failed()
	t.End()
	return nil
}

// Failed marks the attempt as wrong, so that it counts.
func (t *Try) Failed() { t.failed = true }

// End ends the attempt. Unless it has failed it costs nothing, whether it was right or nobody could tell.
func (t *Try) End() {
	for _, k := range t.taken {
		k.limiter.end(k.bucket, t.failed)
	}
}
