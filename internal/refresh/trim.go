package refresh

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/store"
)

const (
	// maxFamilies is how many logins of one user stay alive; beyond it the least recently used end.
	maxFamilies = 1000
	// trimEvery is how many logins pass between two counts, as counting reads them all.
	trimEvery = 512
	// trimAtOnce is how many logins are ended at once, so that a storage that commits writes together has some to commit.
	trimAtOnce = 64
	// tombstoneTime is how long a family that has ended is kept from beginning again; longer than any code is good.
	tombstoneTime = time.Hour
)

// trim ends the least recently used families of a user at a client until no more than maxFamilies are left.
func (s *Families) trim(ctx context.Context, owner, clientID string) error {
	var logins []store.Entry[family]
	for after := ""; ; {
		page, err := s.table.List(ctx, store.Query{Owner: owner, After: after})
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.Value.ClientID == clientID {
				// Of a page's documents only this much is kept.
				logins = append(logins, store.Entry[family]{Key: e.Key, Revision: e.Revision, Value: family{
					Created: e.Value.Created, LastUsed: e.Value.LastUsed,
				}})
			}
		}
		if len(page) < store.MaxLimit {
			break
		}
		after = page[len(page)-1].Key
	}
	slices.SortFunc(logins, func(a, b store.Entry[family]) int { return a.Value.LastUsed.Compare(b.Value.LastUsed) })
	ending, ctx := errgroup.WithContext(ctx)
	ending.SetLimit(trimAtOnce)
	for _, e := range logins[:max(0, len(logins)-maxFamilies)] {
		ending.Go(func() error { return s.remove(ctx, e) })
	}
	return ending.Wait()
}

// remove ends a family that nobody has used since it was read.
func (s *Families) remove(ctx context.Context, e store.Entry[family]) error {
	var err error
	if s.now().Sub(e.Value.Created) > tombstoneTime {
		err = s.table.Delete(ctx, e.Key, e.Revision)
	} else {
		e.Value = s.tombstone()
		_, err = s.table.Replace(ctx, e)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}
