package outbound

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Shared lets callers that ask for the same thing at the same time share one answer. The zero value is ready to use.
type Shared[T any] struct{ flight singleflight.Group }

// Ask returns the answer to a question, which the name identifies. It is bounded by Timeout, and the others get it even if the
// first caller goes away.
func (s *Shared[T]) Ask(ctx context.Context, name string, ask func(context.Context) (T, error)) (T, error) {
	answer := s.flight.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
		defer cancel()
		return ask(ctx)
	})
	var none T
	select {
	case a := <-answer:
		if a.Err != nil {
			return none, a.Err
		}
		return a.Val.(T), nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// Bounds of the pause after a source could not be asked, which doubles each time.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// A Fact is something that a source says of itself. It is asked for when it is first needed, and known from then on. A source
// that is down costs its users no more than a wait, and is not asked all the time.
type Fact[T any] struct {
	fetch  func(context.Context) (*T, error)
	asking Shared[*T]

	mu    sync.Mutex // guards the rest, never held over I/O
	known *T
	err   error // of the last try
	pause time.Duration
	retry time.Time // Get doesn't try before
}

// NewFact returns a fact that fetch asks for.
func NewFact[T any](fetch func(context.Context) (*T, error)) *Fact[T] { return &Fact[T]{fetch: fetch} }

// Get returns what is known, and asks first if that is nothing.
func (f *Fact[T]) Get(ctx context.Context) (*T, error) {
	f.mu.Lock()
	known, err, soon := f.known, f.err, time.Now().Before(f.retry)
	f.mu.Unlock()
	switch {
	case known != nil:
		return known, nil
	case err != nil && soon:
		return nil, fmt.Errorf("provider can't be read, and is tried again soon: %w", err)
	}
	return f.Read(ctx)
}

// Read asks, whatever is known. If that fails, what was known is kept.
func (f *Fact[T]) Read(ctx context.Context) (*T, error) {
	return f.asking.Ask(ctx, "", func(ctx context.Context) (*T, error) {
		fresh, err := f.fetch(ctx)
		f.keep(fresh, err)
		return fresh, err
	})
}

func (f *Fact[T]) keep(fresh *T, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if err != nil {
		f.pause = min(max(2*f.pause, firstPause), longestPause)
		f.retry = time.Now().Add(f.pause)
		return
	}
	f.known, f.pause, f.retry = fresh, 0, time.Time{}
}
