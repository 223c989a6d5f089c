package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"dex/internal/store"
)

// Sweep is part of store.Store. It passes over records that somebody is changing at this moment, so that it may remove
// fewer than there are.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	var removed int64
	err := s.do(ctx, writing, func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, sweepText, []byte(kind), before.UnixMilli(), store.PageLimit(limit))
		removed = tag.RowsAffected()
		return err
	})
	return int(removed), err
}

// Expired is part of store.Store.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	var page []store.Record
	err := s.do(ctx, reading, func(ctx context.Context) (err error) {
		page, err = s.list(ctx, kind, expiredText, []any{[]byte(kind), before.UnixMilli(), store.PageLimit(limit)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Discard is part of store.Store. It passes over records as Sweep does.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	keys, revisions := make([][]byte, len(expired)), make([]pgtype.UUID, len(expired))
	for i, r := range expired {
		keys[i], revisions[i] = []byte(r.Key), parseRevision(r.Revision)
	}
	var removed int64
	err := s.do(ctx, writing, func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, discardText, []byte(kind), keys, revisions)
		removed = tag.RowsAffected()
		return err
	})
	return int(removed), err
}
