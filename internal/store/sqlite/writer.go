package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	driver "modernc.org/sqlite"

	"dex/internal/store"
	"dex/internal/store/watch"
)

const (
	// maxBatch is how many writes may wait, and so the most that one transaction holds.
	maxBatch = 256
	// pollEvery is how often the writer looks for changes by other processes, and after its file.
	pollEvery = time.Second
	// beginPause is how long to wait after an attempt to begin a transaction for which SQLite did not wait itself.
	beginPause = 10 * time.Millisecond
)

// A writer owns the one connection that writes. SQLite lets only one transaction write at a time, and makes it durable
// with a flush to disk, which costs more than all else. So the writer takes every write that waits, does them in one
// transaction, and answers them after its commit.
type writer struct {
	conn    *sql.Conn
	do      *statements
	changes *watch.Hub
	file    *presence
	// patience is how long writes wait for a lock of another process before they fail.
	patience time.Duration
	log      *slog.Logger

	queue   chan *write
	closing chan struct{} // closed by Close: no more writes
	stopped chan struct{} // closed when the last write was answered

	dataVersion int64 // of the database at the last poll
}

// An operation is what one write does within a transaction. Its context is the writer's.
type operation func(ctx context.Context, do *statements) error

// A write is an operation that waits for the writer.
type write struct {
	ctx context.Context // of the caller, who may have left before the writer comes to it
	// run does the operation within a transaction. It may run again, in another transaction, after a rollback.
	run operation
	// change is what watchers hear of when the write is committed; none for the zero value.
	change store.Change

	outcome error
	done    chan struct{} // closed when outcome is final
}

// isOutcome tells an answer to the caller, which leaves the transaction as it is, from a failure of the database.
func isOutcome(err error) bool {
	return err == nil || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrConflict) ||
		errors.Is(err, store.ErrNotFound)
}

// submit queues an operation and waits until it is committed.
func (w *writer) submit(ctx context.Context, change store.Change, run operation) error {
	if err := w.file.failure(); err != nil {
		return err
	}
	op := &write{ctx: ctx, run: run, change: change, done: make(chan struct{})}
	select {
	case <-w.closing:
		return store.ErrClosed
	default:
	}
	select {
	case w.queue <- op:
	case <-w.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-op.done:
		return op.outcome
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
	}
	select {
	case <-op.done:
		return op.outcome
	default: // queued after the writer had emptied the queue for the last time
		return store.ErrClosed
	}
}

// loop runs until closing, and until the writes that were queued by then are answered. Its context must not end: an
// interrupted statement would fail the writes of everybody in the batch.
func (w *writer) loop(ctx context.Context) {
	defer close(w.stopped)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case op := <-w.queue:
			w.handle(ctx, w.gather(op))
		case <-tick.C:
			_ = w.file.look() // Ping and the next write say what it found
			w.poll(ctx)
		case <-w.closing:
			w.drain(ctx)
			return
		}
	}
}

func (w *writer) drain(ctx context.Context) {
	for {
		select {
		case op := <-w.queue:
			w.handle(ctx, w.gather(op))
		default:
			return
		}
	}
}

// gather adds to the first write what else waits. Goroutines that are ready to run go first, as it may be about to write too: that
// costs nothing on an idle machine, and on a busy one it makes fewer and larger transactions.
func (w *writer) gather(first *write) []*write {
	batch := []*write{first}
	runtime.Gosched()
	for len(batch) < maxBatch {
		select {
		case op := <-w.queue:
			batch = append(batch, op)
		default:
			return batch
		}
	}
	return batch
}

// handle commits a batch and answers its callers. If the database fails, each write is tried alone, so that a bad one
// does not take the others with it; but not if the database could not be locked, which has nothing to do with them.
func (w *writer) handle(ctx context.Context, batch []*write) {
	err := w.commit(ctx, batch)
	switch {
	case isBusy(err):
		w.refuse(batch, err)
		return
	case err == nil || len(batch) == 1:
		w.answer(batch, err)
		return
	}
	for i := range batch {
		one := batch[i : i+1]
		err := w.commit(ctx, one)
		if isBusy(err) {
			w.refuse(batch[i:], err)
			return
		}
		w.answer(one, err)
	}
}

// refuse answers a batch for which there was no lock, and those writes that have waited with it: they must not wait once
// more.
func (w *writer) refuse(batch []*write, err error) {
	waited := slices.Clone(batch)
	for range len(w.queue) {
		select {
		case op := <-w.queue:
			waited = append(waited, op)
		default:
		}
	}
	w.answer(waited, err) // only now, so that nobody who writes again is refused without a try
}

// answer tells the callers of a batch how it went: the failure, or if there is none, the outcome of each.
func (w *writer) answer(batch []*write, failure error) {
	for _, op := range batch {
		if failure != nil {
			op.outcome = fmt.Errorf("write: %w", failure)
		}
		if op.outcome == nil && op.change != (store.Change{}) {
			w.changes.Publish(op.change)
		}
		close(op.done)
	}
}

// commit runs the batch in one transaction and notes the outcome of each write. An error means that nothing of it
// happened.
func (w *writer) commit(ctx context.Context, batch []*write) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	for _, op := range batch {
		if op.outcome = op.ctx.Err(); op.outcome != nil {
			continue
		}
		if op.outcome = op.run(ctx, w.do); !isOutcome(op.outcome) {
			w.rollback(ctx)
			return op.outcome
		}
	}
	if _, err := w.do.commit.ExecContext(ctx); err != nil {
		w.rollback(ctx)
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (w *writer) begin(ctx context.Context) error {
	for end := time.Now().Add(w.patience); ; time.Sleep(beginPause) {
		_, err := w.do.begin.ExecContext(ctx)
		switch {
		case err == nil:
			return nil
		case !isBusy(err):
			w.rollback(ctx) // in case the last one failed
			return fmt.Errorf("begin: %w", err)
		case !time.Now().Before(end):
			w.rollback(ctx)
			return fmt.Errorf("another process has held the lock for %v, try again: begin: %w", w.patience, err)
		}
	}
}

// rollback ends the transaction after a failure. SQLite may have ended it already, which is an error to ROLLBACK; if it
// really fails, so does the next begin, which reports it.
func (w *writer) rollback(ctx context.Context) {
	if _, err := w.do.rollback.ExecContext(ctx); err != nil {
		w.log.Debug("SQLite transaction could not be rolled back", "error", err)
	}
}

// poll tells watchers to forget everything if another process wrote to the database. Data_version is only changed by
// other connections, and none of our others writes.
func (w *writer) poll(ctx context.Context) {
	if !w.changes.Watched() {
		return
	}
	version, err := readDataVersion(ctx, w.do)
	if err != nil {
		w.log.Warn("SQLite database could not be checked for changes by others", "error", err)
		return
	}
	if version != w.dataVersion {
		w.dataVersion = version
		w.changes.Publish(store.Change{})
	}
}

// isBusy reports whether another connection held a lock for too long.
func isBusy(err error) bool {
	const busy, locked = 5, 6 // SQLITE_BUSY and SQLITE_LOCKED; extended codes have more in the upper bytes
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return false
	}
	code := e.Code() & 0xff
	return code == busy || code == locked
}
