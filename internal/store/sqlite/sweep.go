package sqlite

import (
	"context"
	"time"

	"dex/internal/store"
)

// Sweep is part of store.Store.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	var removed int64
	err := s.writer.submit(ctx, store.Change{}, func(ctx context.Context, do *statements) (err error) {
		removed, err = sweepRecords(ctx, do, kind, before.UnixMilli(), store.PageLimit(limit))
		return err
	})
	if err != nil {
		return 0, err // removed may still be written to
	}
	return int(removed), nil
}

// Expired is part of store.Store.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	page, err := list(ctx, kind, s.read.expired, []any{[]byte(kind), before.UnixMilli(), store.PageLimit(limit)})
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	return page, nil
}

// Discard is part of store.Store.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	var removed int64
	err := s.writer.submit(ctx, store.Change{}, func(ctx context.Context, do *statements) (err error) {
		removed, err = discardRecords(ctx, do, kind, expired)
		return err
	})
	if err != nil {
		return 0, err // removed may still be written to
	}
	return int(removed), nil
}

func sweepRecords(ctx context.Context, do *statements, kind string, before int64, limit int) (int64, error) {
	return affected(do.sweep.ExecContext(ctx, []byte(kind), before, limit))
}

func discardRecords(ctx context.Context, do *statements, kind string, expired []store.Record) (removed int64, err error) {
	for _, r := range expired {
		changed, err := affected(do.discard.ExecContext(ctx, []byte(kind), []byte(r.Key), parseRevision(r.Revision)))
		if err != nil {
			return 0, err
		}
		removed += changed
	}
	return removed, nil
}
