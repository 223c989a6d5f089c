package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

const (
	leaseName = "work"
	ttl       = 30 * time.Second
)

// answers is a storage whose replaces can fail, before or after they happen.
type answers struct {
	store.Store
	mu      sync.Mutex
	failing bool // each replace fails
	late    bool // the replace happens all the same
}

var errNoAnswer = errors.New("no answer")

func (a *answers) set(failing, late bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing, a.late = failing, late
}

func (a *answers) Replace(ctx context.Context, r store.Record) (string, error) {
	a.mu.Lock()
	failing, late := a.failing, a.late
	a.mu.Unlock()
	if failing && !late {
		return "", errNoAnswer
	}
	revision, err := a.Store.Replace(ctx, r)
	if failing {
		return "", errNoAnswer
	}
	return revision, err
}

func acquire(t *testing.T, s store.Store) *store.Lease {
	t.Helper()
	l, ok, err := store.TryAcquire(t.Context(), s, leaseName, ttl)
	if err != nil || !ok {
		t.Fatalf("TryAcquire of a free lease: %t, %v", ok, err)
	}
	return l
}

func mustBeHeld(t *testing.T, s store.Store, want bool) {
	t.Helper()
	l, ok, err := store.TryAcquire(t.Context(), s, leaseName, ttl)
	if err != nil {
		t.Fatalf("TryAcquire: %v", err)
	}
	if ok == want {
		t.Fatalf("the lease is held: %t, want %t", !ok, want)
	}
	if ok {
		if err := l.Release(t.Context()); err != nil {
			t.Fatalf("Release: %v", err)
		}
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := acquire(t, s)
		mustBeHeld(t, s, true)
		other, ok, err := store.TryAcquire(t.Context(), s, "other work", ttl)
		if err != nil || !ok {
			t.Fatalf("a lease of another name: %t, %v", ok, err)
		}
		if err := other.Release(t.Context()); err != nil {
			t.Errorf("Release: %v", err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release: %v", err)
		}
		mustBeHeld(t, s, false)
	})
}

func TestLeaseEndsUnlessRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := acquire(t, s)
		for range 3 {
			time.Sleep(ttl - time.Second)
			if err := l.Renew(t.Context()); err != nil {
				t.Fatalf("Renew: %v", err)
			}
		}
		time.Sleep(ttl - time.Second)
		mustBeHeld(t, s, true)
		time.Sleep(2 * time.Second)
		successor := acquire(t, s)
		if err := l.Renew(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Renew of a lease that somebody else has: %v, want ErrLeaseLost", err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release of a lease that somebody else has: %v", err)
		}
		mustBeHeld(t, s, true) // by the successor
		if err := successor.Renew(t.Context()); err != nil {
			t.Errorf("Renew by the successor: %v", err)
		}
	})
}

func TestLeaseThatEndedIsLostEvenIfNobodyTookIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := acquire(t, s)
		time.Sleep(ttl + time.Second)
		if err := l.Renew(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Renew: %v, want ErrLeaseLost", err)
		}
	})
}

// A renewal whose answer was lost has changed the record; that must not look like somebody else's doing.
func TestLeaseOutlivesALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answers{Store: memory.New()}
		l := acquire(t, s)
		s.set(true, true)
		if err := l.Renew(t.Context()); !errors.Is(err, errNoAnswer) {
			t.Fatalf("Renew: %v, want the error of the storage", err)
		}
		s.set(false, false)
		time.Sleep(ttl / 2)
		if err := l.Renew(t.Context()); err != nil {
			t.Errorf("Renew after a lost answer: %v", err)
		}
		s.set(true, true)
		_ = l.Renew(t.Context())
		s.set(false, false)
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("Release after a lost answer: %v", err)
		}
		mustBeHeld(t, s, false)
	})
}

func TestAcquireWaitsForTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		var holders, most, done atomic.Int32
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				l, err := store.Acquire(t.Context(), s, leaseName, ttl)
				if err != nil {
					t.Errorf("Acquire: %v", err)
					return
				}
				err = l.Hold(t.Context(), func(context.Context) error {
					most.Store(max(most.Load(), holders.Add(1)))
					time.Sleep(10 * ttl)
					holders.Add(-1)
					done.Add(1)
					return nil
				})
				if err != nil {
					t.Errorf("Hold: %v", err)
				}
			})
		}
		wait.Wait()
		if most.Load() != 1 || done.Load() != 5 {
			t.Errorf("%d holders at once and %d in all, want 1 and 5", most.Load(), done.Load())
		}
	})
}

func TestAcquireTakesOverFromADeadHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		acquire(t, s) // and dies
		began := time.Now()
		if _, err := store.Acquire(t.Context(), s, leaseName, ttl); err != nil {
			t.Fatalf("Acquire: %v", err)
		}
		if waited := time.Since(began); waited < ttl || waited > ttl+2*time.Second {
			t.Errorf("took over after %v, want a little more than %v", waited, ttl)
		}
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		acquire(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), ttl/2)
		defer cancel()
		if _, err := store.Acquire(ctx, s, leaseName, ttl); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire: %v, want DeadlineExceeded", err)
		}
	})
}

func TestHoldReleasesAndReturnsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		failed := errors.New("failed")
		err := acquire(t, s).Hold(t.Context(), func(context.Context) error { return failed })
		if !errors.Is(err, failed) || errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Hold: %v, want the error of the work alone", err)
		}
		mustBeHeld(t, s, false)
		ctx, cancel := context.WithCancel(t.Context())
		err = acquire(t, s).Hold(ctx, func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Hold with a context that ends: %v, want Canceled", err)
		}
		mustBeHeld(t, s, false)
	})
}

func TestHoldOutlivesAShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answers{Store: memory.New()}
		err := acquire(t, s).Hold(t.Context(), func(ctx context.Context) error {
			s.set(true, false)
			time.Sleep(ttl / 2)
			s.set(false, false)
			time.Sleep(3 * ttl)
			mustBeHeld(t, s, true)
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("Hold: %v", err)
		}
	})
}

// Who can't renew must stop before the others may begin.
func TestHoldStopsTheWorkBeforeTheLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &answers{Store: memory.New()}
		err := acquire(t, s).Hold(t.Context(), func(ctx context.Context) error {
			s.set(true, false)
			<-ctx.Done()
			mustBeHeld(t, s, true)
			return ctx.Err()
		})
		if !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Hold: %v, want ErrLeaseLost", err)
		}
	})
}

func TestHoldStopsTheWorkWhenSomebodyElseHasTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		err := acquire(t, s).Hold(t.Context(), func(ctx context.Context) error {
			if err := s.Delete(ctx, "lease", leaseName, ""); err != nil {
				t.Errorf("Delete: %v", err)
			}
			acquire(t, s)
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Hold: %v, want ErrLeaseLost", err)
		}
		mustBeHeld(t, s, true)
	})
}
