package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/oauth"
)

// Exceeded says that there were too many failures.
type Exceeded struct {
	Wait time.Duration // until the next try
}

// Error says how long to wait.
func (e *Exceeded) Error() string { return fmt.Sprintf("too many tries, the next in %s", e.Wait) }

// Seconds returns how long to wait, for people and for the header Retry-After: whole seconds, never too few.
func (e *Exceeded) Seconds() int { return max(1, int((e.Wait+time.Second-1)/time.Second)) }

// Message says it to the user.
func (e *Exceeded) Message() string {
	if e.Seconds() == 1 {
		return "Too many failed tries. Wait a second, then try again."
	}
	return fmt.Sprintf("Too many failed tries. Wait %d seconds, then try again.", e.Seconds())
}

// Refusal returns what an application is told of an error of this package: status 429 and how long to wait; of every other
// error, that it is a failure of our own.
func Refusal(err error) *oauth.Error {
	if exceeded, ok := errors.AsType[*Exceeded](err); ok {
		return oauth.TooMany(exceeded.Seconds()).Because(err)
	}
	return oauth.Failed(err)
}

// A Try is one whose end is not known yet. It is to be used by one goroutine.
type Try struct {
	taken  []taken
	failed bool
}

type taken struct {
	limiter *Limiter
	bucket  *bucket
}

// Begin begins a try that counts for all of the keys. End must be called. Without an error nobody else is let in on its
// account: it is an *Exceeded if one of the keys has no tries left, or the end of the context.
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
				return nil, err
			}
			t.taken = append(t.taken, taken{k.limiter, b})
		}
	}
	return t, nil
}

// Count counts something that need not be wrong to count. Its error is that of Begin.
func Count(ctx context.Context, keys ...Key) error {
	t, err := Begin(ctx, keys...)
	if err != nil {
		return err
	}
	t.Failed()
	t.End()
	return nil
}

// Failed says that the try was wrong, so that it counts.
func (t *Try) Failed() { t.failed = true }

// End ends the try. One that has not failed costs nothing, be it that it was right or that nobody could tell.
func (t *Try) End() {
	for _, k := range t.taken {
		k.limiter.end(k.bucket, t.failed)
	}
}
