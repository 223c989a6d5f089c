package mysql

import (
	"context"
	"time"

	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// followEvery is how often the changes by other replicas are looked for while somebody watches.
	followEvery = time.Second
	// followSeldom is the longest pause between two looks while the server can't be reached.
	followSeldom = 30 * time.Second
)

// counters are how often records of each kind have changed.
type counters map[string]uint64

// follow tells watchers what other replicas change, until its context ends. Known is the state of the counters before
// anybody could watch; while nobody does, it only gets older, and the first look after that reports too much rather than
// too little.
func (s *Store) follow(ctx context.Context, known counters) {
	defer close(s.stopped)
	failed := 0
	for pause(ctx, followEvery<<min(failed, 10)) {
		if !s.changes.Watched() {
			continue
		}
		current, err := s.readCounters(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failed++; failed == 1 {
				s.log.Warn("MySQL: changes by other replicas can't be seen", "error", advised(err))
			}
			continue
		case failed > 0:
			s.log.Info("MySQL: changes by other replicas are seen again")
			s.changes.Publish(store.Change{})
		default:
			s.publish(known, current)
		}
		known, failed = current, 0
	}
}

// pause waits for a while, but not longer than followSeldom, and reports whether the context is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	return wait.For(ctx, min(d, followSeldom)) == nil
}

// publish tells watchers which kinds have changed. Our own changes are among them, which costs watchers no more than a
// read. A counter that is gone or has gone back means that somebody else has been at the table, such as a restored
// backup.
func (s *Store) publish(known, current counters) {
	for kind := range known {
		if _, ok := current[kind]; !ok {
			s.changes.Publish(store.Change{})
			return
		}
	}
	for kind, n := range current {
		if known[kind] != n {
			s.changes.Publish(store.Change{Kind: kind})
		}
	}
}

func (s *Store) readCounters(ctx context.Context) (counters, error) {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, countersText)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err has said it already
	current := make(counters)
	for rows.Next() {
		var kind string
		var n uint64
		if err := rows.Scan(&kind, &n); err != nil {
			return nil, err
		}
		current[kind] = n
	}
	return current, rows.Err()
}
