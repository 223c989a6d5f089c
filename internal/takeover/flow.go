package takeover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/store"
)

// A reader reads the entities of a kind that follow a place.
type reader[T any] func(ctx context.Context, after string, each func(Item[T]) error) error

// A flow imports one kind of entities: it reads one after the other and stores them in batches. Once a second it waits until
// all that were read are stored, and notes how far it is.
type flow[T any] struct {
	*run
	step  step
	size  int // of a batch
	store func(ctx context.Context, batch []Item[T], left func(Item[T], error)) error

	limit   int // of batches at a time
	group   *errgroup.Group
	writing context.Context // of the group
	batch   []Item[T]
	last    string // the place of the last item that was read

	mu    sync.Mutex
	tally struct{ done, leftOut int64 } // since the last note

	saved, told time.Time
}

// importSingly returns an import of entities one by one, for kinds with few.
func importSingly[T any](r *run, read reader[T], put func(context.Context, Item[T]) error) func(context.Context, step, string) error {
	return func(ctx context.Context, s step, after string) error {
		f := &flow[T]{run: r, step: s, size: 1, limit: writers}
		f.store = func(ctx context.Context, batch []Item[T], left func(Item[T], error)) error {
			for _, i := range batch {
				if err := put(ctx, i); isUnusable(err) {
					left(i, err)
				} else if err != nil {
					return fmt.Errorf("%s %q: %w", i.Table, i.Key, err)
				}
			}
			return nil
		}
		return f.importAll(ctx, read, after)
	}
}

// importTogether returns an import of entities in batches, for kinds with many; each becomes several records.
func importTogether[T any](
	r *run, read reader[T], records func(context.Context, Item[T]) ([]store.Record, error),
) func(context.Context, step, string) error {
	return func(ctx context.Context, s step, after string) error {
		f := &flow[T]{run: r, step: s, size: bulkSize, limit: bulkWriters}
		f.store = func(ctx context.Context, batch []Item[T], left func(Item[T], error)) error {
			var all []store.Record
			for _, i := range batch {
				made, err := records(ctx, i)
				if isUnusable(err) {
					left(i, err)
				} else if err != nil {
					return fmt.Errorf("%s %q: %w", i.Table, i.Key, err)
				} else {
					all = append(all, made...)
				}
			}
			if err := store.CreateAll(ctx, r.Store, all); err != nil {
				return fmt.Errorf("%s %q to %q: %w", batch[0].Table, batch[0].Key, batch[len(batch)-1].Key, err)
			}
			return nil
		}
		return f.importAll(ctx, read, after)
	}
}

func isUnusable(err error) bool {
	_, ok := errors.AsType[*store.InvalidError](err)
	return ok
}

func (f *flow[T]) importAll(ctx context.Context, read reader[T], after string) error {
	f.saved, f.told = time.Now(), time.Now()
	f.begin(ctx)
	err := read(ctx, after, func(i Item[T]) error { return f.take(ctx, i) })
	if err == nil {
		f.flush(ctx)
	}
	// After a failed write the reader's error only says that the reader was stopped.
	if writeErr := f.group.Wait(); writeErr != nil {
		err = writeErr
	}
	f.count()
	return err
}

func (f *flow[T]) begin(ctx context.Context) {
	f.group, f.writing = errgroup.WithContext(ctx)
	f.group.SetLimit(f.limit)
}

// take imports the next item that was read.
func (f *flow[T]) take(ctx context.Context, i Item[T]) error {
	f.last = i.Place
	if i.Err != nil {
		f.leave(ctx, i, i.Err)
	} else if f.batch = append(f.batch, i); len(f.batch) == f.size {
		f.flush(ctx)
	}
	if time.Since(f.saved) >= saveEvery {
		if err := f.note(ctx); err != nil {
			return err
		}
	}
	return context.Cause(f.writing) //nolint:contextcheck // ended by a write that failed
}

// flush stores the current batch.
func (f *flow[T]) flush(ctx context.Context) {
	if len(f.batch) == 0 {
		return
	}
	batch, writing := f.batch, f.writing
	f.batch = nil
	f.group.Go(func() error {
		left := 0
		err := f.store(writing, batch, func(i Item[T], why error) {
			left++
			f.leave(ctx, i, why)
		})
		if err == nil {
			f.add(len(batch)-left, 0)
		}
		return err
	})
}

// leave leaves out an item that can't be imported.
func (f *flow[T]) leave(ctx context.Context, i Item[T], why error) {
	if f.add(0, 1) <= shownFailures {
		f.log.ErrorContext(ctx, "left out what can't be taken over", "table", i.Table, "key", i.Key, "err", why)
	}
}

// add counts items, and returns how many have been left out so far.
func (f *flow[T]) add(done, leftOut int) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.done += int64(done)
	f.tally.leftOut += int64(leftOut)
	return f.counts[f.step.entity].LeftOut + f.tally.leftOut
}

// note waits until everything that was read is stored, and notes how far the import is.
func (f *flow[T]) note(ctx context.Context) error {
	f.flush(ctx)
	if err := f.group.Wait(); err != nil {
		return err
	}
	f.begin(ctx)
	f.count()
	done := f.counts[f.step.entity].Done
	f.progress("taking over upstream's data: %s, %d done", f.step.entity, done)
	if time.Since(f.told) >= progressEvery {
		f.told = time.Now()
		f.log.InfoContext(ctx, "taking over upstream's data", "entity", f.step.entity, "done", done)
	}
	f.saved = time.Now()
	return f.save(ctx, f.step, f.last)
}

// count adds this flow's numbers to those of the whole import.
func (f *flow[T]) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[f.step.entity]
	f.counts[f.step.entity] = count{Done: c.Done + f.tally.done, LeftOut: c.LeftOut + f.tally.leftOut}
	f.tally.done, f.tally.leftOut = 0, 0
}
