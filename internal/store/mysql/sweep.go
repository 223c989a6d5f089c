package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"dex/internal/store"
)

// sweepBatch is how many records a sweep deletes, and so locks, at a time.
const sweepBatch = 100

// Sweep is part of store.Store. It looks for expired records without a lock and deletes them by their keys, where it
// checks again that they are expired. What another sweeper has taken meanwhile does not count, so it goes on until it
// has its number, or finds no more.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	removed := 0
	for limit = store.PageLimit(limit); removed < limit; {
		var keys [][]byte
		err := s.do(ctx, func(ctx context.Context, db *sql.DB) (err error) {
			keys, err = expiredKeys(ctx, db, kind, before, min(sweepBatch, limit-removed))
			return err
		})
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
			n, err := sweeping(kind, keys, before.UnixMilli()).run(ctx, db)
			removed += int(n)
			return err
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// expiredKeys returns the keys of some records of a kind that expired before a time, those that did first.
func expiredKeys(ctx context.Context, db *sql.DB, kind string, before time.Time, limit int) (keys [][]byte, err error) {
	rows, err := db.QueryContext(ctx, expiredKeysText, []byte(kind), before.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what it could say, Err says
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// Expired is part of store.Store.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	var page []store.Record
	err := s.do(ctx, func(ctx context.Context, db *sql.DB) (err error) {
		page, err = list(ctx, db, kind, expiredText, []any{[]byte(kind), before.UnixMilli(), store.PageLimit(limit)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Discard is part of store.Store.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	removed := 0
	for batch := range slices.Chunk(expired, sweepBatch) {
		err := s.do(ctx, func(ctx context.Context, db *sql.DB) error {
			n, err := discarding(kind, batch).run(ctx, db)
			removed += int(n)
			return err
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// sweeping deletes records if they are still expired. It locks them in the order of their keys, and in no other index
// before, so that neither another sweep nor a replacement of one of them can be in its way crosswise.
func sweeping(kind string, keys [][]byte, before int64) statement {
	slices.SortFunc(keys, bytes.Compare)
	args := []any{[]byte(kind)}
	for _, key := range keys {
		args = append(args, key)
	}
	text := "DELETE FROM dex_record WHERE kind = ? AND `key` IN (?" + strings.Repeat(", ?", len(keys)-1) +
		") AND expires < ?"
	return statement{text, append(args, before)}
}

// discarding deletes records in these revisions, of which no two records have the same. It locks as sweeping does.
func discarding(kind string, records []store.Record) statement {
	keys := make([][]byte, len(records))
	for i, r := range records {
		keys[i] = []byte(r.Key)
	}
	slices.SortFunc(keys, bytes.Compare)
	args := []any{[]byte(kind)}
	for _, key := range keys {
		args = append(args, key)
	}
	for _, r := range records {
		args = append(args, parseRevision(r.Revision))
	}
	list := "(?" + strings.Repeat(", ?", len(records)-1) + ")"
	return statement{"DELETE FROM dex_record WHERE kind = ? AND `key` IN " + list + " AND revision IN " + list, args}
}
