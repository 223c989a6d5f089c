package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"
)

// ErrLeaseLost says that a lease was not renewed in time, so somebody else may have it by now.
var ErrLeaseLost = errors.New("lease was lost")

// longestPoll is how long Acquire waits at most between two tries.
const longestPoll = time.Second

// leaseKind is the kind of the records of leases. They end by themselves when their holder does.
var leaseKind = Declare(Declaration[leaseDocument]{
	Name: "lease", Quiet: true, Open: true,
	Expires: func(d *leaseDocument) time.Time { return d.Expires },
})

type leaseDocument struct {
	Holder  string    `json:"holder"` // random, to recognize one's own record
	Expires time.Time `json:"expires"`
}

// A Lease is the right to do something that only one process may do at a time. It ends by itself when it isn't renewed,
// so it must be safe to do the work twice: a process that was stopped for a while learns too late that somebody else
// goes on in its place. Clocks that differ by as much as the lease is long make two holders.
//
// A Lease is not safe for concurrent use.
type Lease struct {
	table *Table[leaseDocument]
	entry Entry[leaseDocument]
	ttl   time.Duration
	until time.Time // when it ends by the clock of this process; never later than for the others
}

// TryAcquire takes the lease of a name for some time; ok is false when somebody else has it.
func TryAcquire(ctx context.Context, s Store, name string, ttl time.Duration) (l *Lease, ok bool, err error) {
	l = &Lease{table: In(s, leaseKind), ttl: ttl, until: time.Now().Add(ttl)}
	l.entry, err = l.table.Create(ctx, name, leaseDocument{Holder: rand.Text(), Expires: l.until})
	switch {
	case errors.Is(err, ErrExists):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("acquire lease %q: %w", name, err)
	}
	return l, true, nil
}

// Acquire waits until it can take the lease of a name, or until the context ends.
func Acquire(ctx context.Context, s Store, name string, ttl time.Duration) (*Lease, error) {
	poll := min(ttl/4, longestPoll)
	for {
		l, ok, err := TryAcquire(ctx, s, name, ttl)
		if err != nil || ok {
			return l, err
		}
		select {
		case <-time.After(poll/2 + mathrand.N(poll/2+1)): //nolint:gosec // jitter, not a secret
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lease %q: %w", name, context.Cause(ctx))
		}
	}
}

// Renew makes the lease last from now on for as long as it did at first; ErrLeaseLost when it had ended before. After
// another error it may or may not have been renewed.
func (l *Lease) Renew(ctx context.Context) error {
	until := time.Now().Add(l.ttl)
	renewed, err := l.replace(ctx, until)
	if errors.Is(err, ErrConflict) {
		// Perhaps by ourselves: a renewal before this one that seemed to fail.
		if err = l.reread(ctx); err == nil {
			renewed, err = l.replace(ctx, until)
		}
	}
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound):
		return fmt.Errorf("renew lease %q: %w", l.entry.Key, ErrLeaseLost)
	case err != nil:
		return fmt.Errorf("renew lease %q: %w", l.entry.Key, err)
	}
	l.entry, l.until = renewed, until
	return nil
}

func (l *Lease) replace(ctx context.Context, until time.Time) (Entry[leaseDocument], error) {
	e := l.entry
	e.Value.Expires = until
	return l.table.Replace(ctx, e)
}

// reread takes over the stored record if it is still this lease's; ErrConflict if it is another's.
func (l *Lease) reread(ctx context.Context) error {
	e, err := l.table.Get(ctx, l.entry.Key)
	if err != nil {
		return err
	}
	if e.Value.Holder != l.entry.Value.Holder {
		return ErrConflict
	}
	l.entry = e
	return nil
}

// Release ends the lease at once. One that was lost before is no error.
func (l *Lease) Release(ctx context.Context) error {
	err := l.table.Delete(ctx, l.entry.Key, l.entry.Revision)
	if errors.Is(err, ErrConflict) {
		if err = l.reread(ctx); err == nil {
			err = l.table.Delete(ctx, l.entry.Key, l.entry.Revision)
		}
	}
	if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("release lease %q: %w", l.entry.Key, err)
	}
	return nil
}

// Hold does the work while it renews the lease, and releases it afterwards. The context of the work ends when the lease
// is lost; then, unless the work succeeded all the same, the error is also ErrLeaseLost.
func (l *Lease) Hold(ctx context.Context, work func(context.Context) error) error {
	held, end := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		if err := l.keep(held); err != nil {
			end(err)
		}
	}()
	err := work(held)
	end(nil)
	<-renewed
	if lost := context.Cause(held); err != nil && errors.Is(lost, ErrLeaseLost) {
		return errors.Join(lost, err)
	}
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.ttl)
	defer cancel()
	// If that fails, the lease ends by itself a little later, and the outcome of the work is the same.
	_ = l.Release(releasing)
	return err
}

// keep renews the lease until the context ends, which is no error, or the lease does. Renewals that fail are tried again
// while there is time.
func (l *Lease) keep(ctx context.Context) error {
	wait := l.ttl / 3
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := l.renewWithin(ctx, l.ttl/4)
		switch {
		case err == nil:
			wait = l.ttl / 3
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the work is over, and with it the renewing
		case errors.Is(err, ErrLeaseLost):
			return err
		case time.Until(l.until) < l.ttl/3: // not enough for another try, and for the work to stop
			return fmt.Errorf("%w: %w", ErrLeaseLost, err)
		default:
			wait = l.ttl / 24
		}
	}
}

func (l *Lease) renewWithin(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return l.Renew(ctx)
}
