package sealed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/store"
	"dex/internal/wait"
)

const (
	resealPage    = 200 // records; they may be as large as store.MaxData
	resealWriters = 16  // at once, so that a storage that gathers writes has some to gather
	resealTries   = 20  // a record that changes more often under our hands is a fault
)

// Resealed is what Reseal did.
type Resealed struct {
	Sealed  int // rewritten under the first key
	Current int // were under it already
	Failed  int // could not be opened
}

// Reseal rewrites all documents of some kinds that are in clear or under another key than the first. Kinds that are open
// are left out. The server may run meanwhile, if it has the same keys. Records that can't be opened are left as they are
// and counted, and the error is that of the first of them; every other error ends it at once. It is safe to call again.
// Progress, which may be nil, is told from time to time how many records of a kind have been looked at.
func Reseal(ctx context.Context, s store.Store, kinds []string, progress func(kind string, n int)) (Resealed, error) {
	w := find(s)
	if w == nil {
		return Resealed{}, errors.New("the storage was opened without its seal; this is a fault of the program")
	}
	if !w.keys.Any() {
		return Resealed{}, errNoKey
	}
	if progress == nil {
		progress = func(string, int) {}
	}
	job := resealing{sealing: w}
	for _, kind := range kinds {
		if !w.seals(kind) {
			continue
		}
		if err := job.kind(ctx, kind, progress); err != nil {
			return job.done, err
		}
	}
	return job.done, job.failure
}

type resealing struct {
	*sealing

	mu      sync.Mutex // never held over I/O
	done    Resealed
	failure error // of the first record that could not be opened
}

func (j *resealing) kind(ctx context.Context, kind string, progress func(kind string, n int)) error {
	seen := 0
	for q := (store.Query{Limit: resealPage}); ; {
		page, err := j.Store.List(ctx, kind, q)
		if err != nil {
			return fmt.Errorf("list %s: %w", kind, err)
		}
		if err := j.page(ctx, page); err != nil {
			return err
		}
		seen += len(page)
		progress(kind, seen)
		if len(page) < resealPage {
			return nil
		}
		q.After = page[len(page)-1].Key
	}
}

func (j *resealing) page(ctx context.Context, page []store.Record) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(resealWriters)
	for _, r := range page {
		group.Go(func() error {
			if err := j.record(ctx, r); err != nil {
				return fmt.Errorf("record %s %q: %w", r.Kind, r.Key, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// record rewrites a record of the store below, unless that is not needed.
func (j *resealing) record(ctx context.Context, r store.Record) error {
	for range resealTries {
		if j.current(r.Data) {
			j.count(func(done *Resealed) { done.Current++ })
			return nil
		}
		opened, err := j.opened(r)
		if err != nil {
			j.fail(err)
			return nil
		}
		_, err = j.Replace(ctx, opened)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil // it has ended meanwhile
		case err == nil:
			j.count(func(done *Resealed) { done.Sealed++ })
			return nil
		case !errors.Is(err, store.ErrConflict):
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
		r, err = j.Store.Get(ctx, r.Kind, r.Key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%w, %d times", store.ErrConflict, resealTries)
}

// current reports whether a document is under the first key.
func (j *resealing) current(data []byte) bool {
	e, ok, err := parse(data)
	return ok && err == nil && e.keyID == j.keys.keys[0].id
}

func (j *resealing) count(add func(*Resealed)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	add(&j.done)
}

func (j *resealing) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done.Failed++
	if j.failure == nil {
		j.failure = err
	}
}

// pause lets the winner of a race finish.
func pause(ctx context.Context) error {
	const longest = 20 * time.Millisecond
	return wait.For(ctx, rand.N(longest)) //nolint:gosec // jitter, not a secret
}
