package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dex/internal/store"
)

const racers = 100

// A counter is the document of tests that count.
type counter struct {
	N int `json:"n"`
}

// count increments the counter of a key through tables, in turns, and checks that no increment was lost.
func (f *fixture) count(key string, stores ...store.Store) {
	f.Helper()
	kind := store.Declare(store.Declaration[counter]{Name: f.kind})
	tables := make([]*store.Table[counter], len(stores))
	for i, s := range stores {
		tables[i] = store.In(s, kind)
	}
	if _, err := tables[0].Create(f.ctx, key, counter{}); err != nil {
		f.Fatalf("Create: %v", err)
	}
	var mu sync.Mutex
	var values []int
	atOnce(f.T, racers, func(i int) {
		e, err := tables[i%len(tables)].Update(f.ctx, key, func(c *counter) error {
			c.N++
			return nil
		})
		if err != nil {
			f.Errorf("Update: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		values = append(values, e.Value.N)
	})
	slices.Sort(values)
	for i, n := range values {
		if n != i+1 {
			f.Fatalf("the values written are %d, want 1 to %d, each once", values, racers)
		}
	}
	if e, err := tables[0].Get(f.ctx, key); err != nil || e.Value.N != racers {
		f.Errorf("the counter is %d, error %v; want %d", e.Value.N, err, racers)
	}
}

// exactlyOne makes the same call at once and checks that one succeeds and the others get the error given.
func (f *fixture) exactlyOne(what string, want error, call func(i int) error) {
	f.Helper()
	var won atomic.Int32
	atOnce(f.T, racers, func(i int) {
		switch err := call(i); {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, want):
			f.Errorf("%s: got error %v, want %v", what, err, want)
		}
	})
	if won.Load() != 1 {
		f.Errorf("%s: %d of %d succeeded, want exactly one", what, won.Load(), racers)
	}
}

var raceCases = []testCase{
	{"UpdateLosesNothing", func(f *fixture) { f.count("a", f.Store) }},
	{"OneOfManyCreatesWins", func(f *fixture) {
		var winner atomic.Pointer[string]
		f.exactlyOne("Create", store.ErrExists, func(i int) error {
			data := fmt.Sprint(i)
			_, err := f.Create(f.ctx, store.Record{Kind: f.kind, Key: "a", Data: []byte(data)})
			if err == nil {
				winner.Store(&data)
			}
			return err
		})
		if w := winner.Load(); w != nil && string(f.get("a").Data) != *w {
			f.Errorf("the record holds %q, but %q won", f.get("a").Data, *w)
		}
	}},
	{"OneOfManyCreatesOverExpiredWins", func(f *fixture) {
		f.create(f.expiring("a", -time.Minute))
		f.exactlyOne("Create", store.ErrExists, func(int) error {
			_, err := f.Create(f.ctx, f.record("a"))
			return err
		})
	}},
	{"OneOfManyReplacesWins", func(f *fixture) {
		r := f.record("a")
		r.Revision = f.create(r)
		f.exactlyOne("Replace", store.ErrConflict, func(int) error {
			_, err := f.Replace(f.ctx, r)
			return err
		})
	}},
	{"OneOfManyDeletesWins", func(f *fixture) {
		f.create(f.record("a"))
		f.exactlyOne("Delete", store.ErrNotFound, func(int) error { return f.Delete(f.ctx, f.kind, "a", "") })
		revision := f.create(f.record("a"))
		f.exactlyOne("Delete", store.ErrNotFound, func(int) error { return f.Delete(f.ctx, f.kind, "a", revision) })
	}},
	{"WritesToManyKeys", func(f *fixture) {
		atOnce(f.T, racers, func(i int) {
			r := f.record(fmt.Sprint(i))
			var err error
			if r.Revision, err = f.Create(f.ctx, r); err != nil {
				f.Errorf("Create: %v", err)
				return
			}
			wantRead(f, r)
			r.Data = []byte("replaced")
			if r.Revision, err = f.Replace(f.ctx, r); err != nil {
				f.Errorf("Replace: %v", err)
				return
			}
			wantRead(f, r)
			if err := f.Delete(f.ctx, f.kind, r.Key, r.Revision); err != nil {
				f.Errorf("Delete: %v", err)
			}
			if _, err := f.Get(f.ctx, f.kind, r.Key); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("Get after Delete: got error %v", err)
			}
		})
	}},
	{"SweepSparesWhatWasExtended", func(f *fixture) { f.sweepAgainst(f.Store, f.Sweep) }},
	{"DiscardSparesWhatWasExtended", func(f *fixture) { f.sweepAgainst(f.Store, f.discardExpired) }},
}

// wantRead checks that a write is seen by the next read; unlike wantRecord it may be used outside the test's goroutine.
func wantRead(f *fixture, want store.Record) {
	got, err := f.Get(f.ctx, f.kind, want.Key)
	if err != nil {
		f.Errorf("Get of what was just written: %v", err)
		return
	}
	wantSame(f.T, got, want)
}

// sweepAgainst lets a sweeper of this store race with owners who extend their records in another. The sweep is given a
// time ahead of the clock, so that the records are live for their owners and expired for the sweeper.
func (f *fixture) sweepAgainst(
	other store.Store, sweep func(ctx context.Context, kind string, before time.Time, limit int) (int, error),
) {
	f.Helper()
	records := make([]store.Record, racers)
	for i := range records {
		records[i] = f.expiring(fmt.Sprint(i), time.Minute)
		records[i].Revision = f.create(records[i])
	}
	extended, removed := make([]bool, racers), 0
	atOnce(f.T, racers+1, func(i int) {
		if i == racers {
			for range 20 {
				n, err := sweep(f.ctx, f.kind, time.Now().Add(2*time.Minute), 5)
				if err != nil {
					f.Errorf("sweep: %v", err)
				}
				removed += n
			}
			return
		}
		r := records[i]
		r.Expires = time.Now().Add(time.Hour)
		_, err := other.Replace(f.ctx, r)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			f.Errorf("Replace: %v", err)
		}
		extended[i] = err == nil
	})
	left := 0
	for i, r := range records {
		_, err := f.Get(f.ctx, f.kind, r.Key)
		if extended[i] && err != nil {
			f.Errorf("record %d was extended, and then: %v", i, err)
		}
		if err == nil {
			left++
		}
	}
	if left+removed != racers {
		f.Errorf("%d records are left and %d were removed, want %d together", left, removed, racers)
	}
}

// discardExpired does what Sweep does, in two steps.
func (f *fixture) discardExpired(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	records, err := f.Expired(ctx, kind, before, limit)
	if err != nil {
		return 0, err
	}
	return f.Discard(ctx, kind, records)
}
