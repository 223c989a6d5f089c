package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dex/internal/store"
	"dex/internal/wait"
)

// maxConnections is how many more connections an operation tries that turn out to be of no use.
const maxConnections = 4

// do runs an operation within the bounds of the caller's context and of operationTimeout, again if the server gave it
// up for another one or never got it, and returns its error as the caller should see it. Each try must have either
// succeeded or changed nothing. In a cluster, an operation that met no record, or another one than it should have, is run
// once more when its server has caught up with the others.
func (s *Store) do(ctx context.Context, operation func(context.Context, *sql.DB) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	inTime, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	db := s.db
	if store.WantsLatest(ctx) && s.cluster.replicates() {
		db = s.waiting
	}
	for lost := 0; ; lost++ {
		if s.closed.Load() {
			return store.ErrClosed
		}
		err := operation(inTime, db)
		if isAnswer(err) && db == s.db && s.cluster.replicates() {
			db = s.waiting
			continue
		}
		again := lostRace(err) || notReady(err) || unsent(err) && lost < maxConnections
		if !again || !backOff(inTime, lost, err) {
			return s.told(ctx, inTime, err)
		}
	}
}

// isAnswer tells an answer to the caller from a failure.
func isAnswer(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrConflict)
}

// backOff waits a little at random, longer with each race that was lost and longest for a server that does not work yet,
// and reports whether there is time for another try.
func backOff(ctx context.Context, lost int, err error) bool {
	longest := 50 * time.Millisecond
	if notReady(err) {
		longest = 500 * time.Millisecond
	}
	return wait.For(ctx, rand.N(min(time.Millisecond<<min(lost, 10), longest))) == nil //nolint:gosec // jitter, not a secret
}

// told returns the error of an operation as the caller should see it.
func (s *Store) told(caller, inTime context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case isAnswer(err):
		return err
	case s.closed.Load():
		return store.ErrClosed
	case caller.Err() != nil:
		return caller.Err()
	case late(caller):
		return context.DeadlineExceeded
	case inTime.Err() != nil:
		return fmt.Errorf("MySQL did not do its work within %v: %w", operationTimeout, err)
	}
	return fmt.Errorf("MySQL: %w", advised(err))
}

// late reports whether the deadline is over. Dialing may notice it a moment before the context ends.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// possible reports whether there can be a record of that kind and key.
func possible(kind, key string) bool {
	return kind != "" && key != "" && len(kind) <= store.MaxKey && len(key) <= store.MaxKey
}
