package postgres

import (
	"context"
	"time"

	"dex/internal/store"
)

// Sweep is part of store.Store. It passes over records that somebody is changing at this moment, so that it may remove
// fewer than there are.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	return s.remove(ctx, sweepStatement, bytea(kind), int8Of(before.UnixMilli()), int8Of(int64(store.PageLimit(limit))))
}

// Expired is part of store.Store.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	var page []store.Record
	err := s.do(ctx, reading, func(ctx context.Context) (err error) {
		page, err = s.list(ctx, kind, expiredStatement, bytea(kind), int8Of(before.UnixMilli()), int8Of(int64(store.PageLimit(limit))))
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Discard is part of store.Store. It passes over records as Sweep does.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	keys, revisions := make([][]byte, len(expired)), make([][]byte, len(expired))
	for i, r := range expired {
		keys[i], revisions[i] = bytea(r.Key), parseRevision(r.Revision)
	}
	return s.remove(ctx, discardStatement, bytea(kind), array(typeBytea, keys), array(typeUUID, revisions))
}

// remove runs a statement that removes records, and returns how many it has removed.
func (s *Store) remove(ctx context.Context, st *statement, args ...[]byte) (removed int, err error) {
	err = s.do(ctx, writing, func(ctx context.Context) error {
		result, err := s.run(ctx, st, args...)
		if err == nil {
			removed = int(result.CommandTag.RowsAffected())
		}
		return err
	})
	return removed, err
}
