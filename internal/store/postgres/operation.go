package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"dex/internal/store"
)

// do runs an operation within its time limit, again if that is safe and may help, and returns its error as the caller
// should see it.
func (s *Store) do(ctx context.Context, reads bool, operation func(context.Context) error) error {
	if s.isClosing() {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := operation(limited)
		if err == nil || isAnswer(err) {
			return err
		}
		s.notePooler(err)
		if attempt == maxAttempts || limited.Err() != nil || s.isClosing() || !retriable(err, reads) {
			return s.failure(ctx, err)
		}
		pause(limited, attempt)
	}
}

// notePooler gives up prepared statements when a pooler has led a connection to a server that has the statement already.
func (s *Store) notePooler(err error) {
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || server.Code != duplicateStatement || s.unprepared.Swap(true) {
		return
	}
	s.log.Info("PostgreSQL: a pooler gives each transaction another connection; statements are not prepared any more")
	s.pool.conns.Reset()
}

func (s *Store) failure(ctx context.Context, err error) error {
	switch {
	case s.isClosing():
		return store.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer within %v: %w", s.place, operationTimeout, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %w", s.place, explain(err))
}

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
