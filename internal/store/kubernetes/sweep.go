package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/kubeapi"
	"dex/internal/store"
)

// sweepers is how many objects are deleted at once.
const sweepers = 8

// Sweep is part of store.Store. It reads all records of the kind, page by page, as the API server can't select by time.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (removed int, err error) {
	limit = store.PageLimit(limit)
	err = s.do(ctx, func(ctx context.Context) error {
		at, ok := placeOf(kind, "any")
		if !ok || at.shared != nil {
			return nil // upstream's objects don't expire
		}
		removed, err = s.sweep(ctx, at.resource, kind, before, limit)
		return err
	})
	return removed, err
}

// Expired is part of store.Store. It reads all records of the kind as Sweep does, and keeps those that expired first.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) (records []store.Record, err error) {
	limit = store.PageLimit(limit)
	err = s.do(ctx, func(ctx context.Context) error {
		at, ok := placeOf(kind, "any")
		if !ok || at.shared != nil {
			return nil // upstream's objects don't expire
		}
		records, err = s.expired(ctx, at.resource, kind, before, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

func (s *Store) expired(ctx context.Context, r resource, kind string, before time.Time, limit int) ([]store.Record, error) {
	first := earliest{limit: limit}
	q := kubeapi.PageQuery{Labels: recordLabel + "=" + kindLabel(kind), Limit: kubeapi.PageSize}
	for {
		end, err := s.client.Page(ctx, r.in(s.client), q, func(object json.RawMessage) error {
			var e expiring
			_ = json.Unmarshal(object, &e) // what isn't a record of ours has no kind
			if e.RecordKind != kind || !e.over(before) || !first.wants(e.RecordExpires) {
				return nil
			}
			o := recordObject{Metadata: e.Metadata, recordHead: e.recordHead}
			_ = json.Unmarshal(object, &o) // the room says what it thinks of a broken document; to hide it would keep it for ever
			first.add(o.record())
			return nil
		})
		if from, ok := kubeapi.ExpiredPage(err); ok {
			q.From = from
			continue
		}
		if err != nil {
			return nil, err
		}
		if q.From = end.Continue; q.From == "" {
			return first.records, nil
		}
	}
}

// Discard is part of store.Store.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (removed int, err error) {
	objects := make([]metadata, 0, len(expired))
	for _, r := range expired {
		if had, ok := parseRevision(r.Revision); ok {
			objects = append(objects, metadata{Name: recordName(kind, r.Key), ResourceVersion: had.version})
		}
	}
	err = s.do(ctx, func(ctx context.Context) error {
		at, ok := placeOf(kind, "any")
		if !ok || at.shared != nil {
			return nil
		}
		removed, err = s.removeAll(ctx, at.resource, objects)
		return err
	})
	return removed, err
}

// An expiring is what a sweep keeps of an object: not its document.
type expiring struct {
	Metadata metadata `json:"metadata"`
	recordHead
}

func (s *Store) sweep(ctx context.Context, r resource, kind string, before time.Time, limit int) (int, error) {
	q := kubeapi.PageQuery{Labels: recordLabel + "=" + kindLabel(kind), Limit: kubeapi.PageSize}
	removed := 0
	for {
		var expired []metadata
		end, err := s.client.Page(ctx, r.in(s.client), q, func(object json.RawMessage) error {
			var e expiring
			// What is no record of ours is left alone; List warns of it.
			if json.Unmarshal(object, &e) == nil && e.RecordKind == kind && e.over(before) {
				expired = append(expired, e.Metadata)
			}
			return nil
		})
		if from, ok := kubeapi.ExpiredPage(err); ok {
			q.From = from
			continue
		}
		if err != nil {
			return removed, err
		}
		for len(expired) > 0 && removed < limit {
			n := min(limit-removed, len(expired))
			count, err := s.removeAll(ctx, r, expired[:n])
			removed += count
			if err != nil {
				return removed, err
			}
			expired = expired[n:]
		}
		if q.From = end.Continue; q.From == "" || removed >= limit {
			return removed, nil
		}
	}
}

// over reports whether the record that an object holds expired before a time, and is not already deleted and waiting for
// a finalizer.
func (e *expiring) over(before time.Time) bool {
	return e.Metadata.Name == recordName(e.RecordKind, string(e.RecordKey)) && !e.Metadata.deleted() &&
		!e.RecordExpires.IsZero() && e.RecordExpires.Before(before)
}

// removeAll deletes objects in the versions that were read, and returns how many it did. A version that is gone was
// extended, or swept by somebody else.
func (s *Store) removeAll(ctx context.Context, r resource, objects []metadata) (int, error) {
	var removed atomic.Int64
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(sweepers)
	for _, o := range objects {
		work.Go(func() error {
			err := s.remove(ctx, r, o.Name, o.ResourceVersion)
			switch {
			case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
				return nil
			case err == nil:
				removed.Add(1)
			}
			return err
		})
	}
	err := work.Wait()
	return int(removed.Load()), err
}
