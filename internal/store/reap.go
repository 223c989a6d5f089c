package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reap calls handle for each record of a table that expired before a time, the earliest first, and then removes it. It does so a
// page at a time, at most MaxLimit records, and returns how many it removed. No record is removed that was not handled
// as it is, however many expired at the same moment, and whoever changes one meanwhile. A record may be handled more than once: if
// Reap doesn't get to remove it, or if another process reaps too.
//
// An error from handle ends it, and leaves that record and the later ones. A record that can't be read can't be handled,
// ever: its key may be gone, see package sealed. Such records are removed too, as they would be in the way of all
// others, and are an error at the end.
func Reap[T any](
	ctx context.Context, t *Table[T], before time.Time, page int, handle func(context.Context, Entry[T]) error,
) (removed int, err error) {
	page = PageLimit(page)
	var lost unreadable
	for {
		records, err := t.store.Expired(ctx, t.kind.name, before, page)
		if err != nil {
			return removed, fmt.Errorf("list expired %s: %w", t.kind.name, err)
		}
		handled, failure := t.handleAll(ctx, records, handle, &lost)
		n, err := t.discard(ctx, records[:handled])
		removed += n
		// If none was removed, others are at work on the same records.
		if failure != nil || err != nil || len(records) < page || n == 0 {
			return removed, errors.Join(failure, err, lost.err())
		}
	}
}

// handleAll calls handle for records until it fails, and returns how many come before the one that it failed for.
func (t *Table[T]) handleAll(
	ctx context.Context, records []Record, handle func(context.Context, Entry[T]) error, lost *unreadable,
) (handled int, err error) {
	for i, r := range records {
		e, err := t.decode(r)
		if err != nil {
			lost.add(err)
			continue
		}
		if err := handle(ctx, e); err != nil {
			return i, fmt.Errorf("expired %s %q: %w", t.kind.name, r.Key, err)
		}
	}
	return len(records), nil
}

func (t *Table[T]) discard(ctx context.Context, records []Record) (int, error) {
	if len(records) == 0 {
		return 0, nil
	}
	n, err := t.store.Discard(ctx, t.kind.name, records)
	if err != nil {
		return n, fmt.Errorf("remove expired %s: %w", t.kind.name, err)
	}
	return n, nil
}

// unreadable counts records that can't be read.
type unreadable struct {
	count int
	first error
}

func (u *unreadable) add(err error) {
	if u.count++; u.count == 1 {
		u.first = err
	}
}

func (u *unreadable) err() error {
	if u.count == 0 {
		return nil
	}
	return fmt.Errorf("%d expired records could not be read and were removed: %w", u.count, u.first)
}
