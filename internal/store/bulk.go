package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	// bulkRecords and bulkBytes bound what is created at once: others wait meanwhile, and servers bound the size of a packet.
	bulkRecords = 500
	bulkBytes   = 2 * MaxData
	// bulkWriters is how many records are created at once in a store that is no Bulk.
	bulkWriters = 32
)

// A Bulk is a Store that can create many records for the price of a few. None of them is of an announced kind, and no two
// have the same key.
type Bulk interface {
	// CreateAll stores those of the records whose keys are free and leaves the others as they are. After an error any of
	// them may have been stored.
	CreateAll(ctx context.Context, records []Record) error
}

// A Loader is a Store that takes many records faster if it knows that they are coming.
type Loader interface {
	// Load does work that creates many records. Everything else may take longer meanwhile, above all lists by owner.
	Load(ctx context.Context, work func(context.Context) error) error
}

// Load does work that creates many records, in whatever way is best for the store or the one that it wraps.
func Load(ctx context.Context, s Store, work func(context.Context) error) error {
	for {
		if loader, ok := s.(Loader); ok {
			return loader.Load(ctx, work)
		}
		outer, ok := s.(interface{ Unwrap() Store })
		if !ok {
			return work(ctx)
		}
		s = outer.Unwrap()
	}
}

// CreateAll stores those of the records whose keys are free and leaves the others as they are; of several with one key the
// first counts. After an error any of them may have been stored.
func CreateAll(ctx context.Context, s Store, records []Record) error {
	bulk, can := s.(Bulk)
	var together, alone []Record
	known := make(map[Change]bool, len(records))
	for _, r := range records {
		if err := r.Check(); err != nil {
			return err
		}
		name := Change{Kind: r.Kind, Key: r.Key}
		switch {
		case known[name]:
		case can && !Announced(r.Kind):
			together = append(together, r)
		default:
			alone = append(alone, r)
		}
		known[name] = true
	}
	// In one order, or two callers with the same records would wait for each other in a database.
	slices.SortFunc(together, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
	})
	for len(together) > 0 {
		n := portion(together)
		if err := bulk.CreateAll(ctx, together[:n]); err != nil {
			return err
		}
		together = together[n:]
	}
	return createEach(ctx, s, alone)
}

// portion returns how many of the records are created at once.
func portion(records []Record) int {
	bytes := 0
	for n, r := range records[:min(len(records), bulkRecords)] {
		bytes += len(r.Data)
		if n > 0 && bytes > bulkBytes {
			return n
		}
	}
	return min(len(records), bulkRecords)
}

func createEach(ctx context.Context, s Store, records []Record) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(bulkWriters)
	for _, r := range records {
		group.Go(func() error {
			if _, err := s.Create(ctx, r); err != nil && !errors.Is(err, ErrExists) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}
