package storetest

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/store"
)

// RunShared tests a backend with two clients on the same data, as two processes would be. Open returns both and sees to
// it that they are closed when the test ends.
func RunShared(t *testing.T, open func(t *testing.T) (a, b store.Store)) {
	for _, c := range sharedCases {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.run(newFixture(t, a), newFixture(t, b))
		})
	}
}

var sharedCases = []struct {
	name string
	run  func(a, b *fixture)
}{
	{"WritesAreSeenByTheOther", func(a, b *fixture) {
		b.kind = a.kind
		a.ctx, b.ctx = store.Latest(a.ctx), store.Latest(b.ctx)
		r := a.record("a")
		r.Revision = a.create(r)
		b.wantRecord(r)
		_, err := b.Create(b.ctx, r)
		b.wantError("Create by the other", err, store.ErrExists)
		stale := r
		r.Data = []byte("replaced by the other")
		if r.Revision, err = b.Replace(b.ctx, r); err != nil {
			b.Fatalf("Replace: %v", err)
		}
		a.wantRecord(r)
		_, err = a.Replace(a.ctx, stale)
		a.wantError("Replace with a stale revision", err, store.ErrConflict)
		if got := a.list(store.Query{}); !slices.Equal(got, []string{"a"}) {
			a.Errorf("List: got %q", got)
		}
		if err := a.Delete(a.ctx, a.kind, "a", r.Revision); err != nil {
			a.Fatalf("Delete: %v", err)
		}
		b.wantNotFound("a")
	}},
	{"WatchSeesTheOther", func(a, b *fixture) {
		changes := b.watch(b.ctx, b.Store)
		r := a.record("a")
		r.Revision = a.create(r)
		wantChange(b.T, changes, a.kind, "a")
		var err error
		if r.Revision, err = a.Replace(a.ctx, r); err != nil {
			a.Fatalf("Replace: %v", err)
		}
		wantChange(b.T, changes, a.kind, "a")
		if err := a.Delete(a.ctx, a.kind, "a", ""); err != nil {
			a.Fatalf("Delete: %v", err)
		}
		wantChange(b.T, changes, a.kind, "a")
	}},
	{"UpdateLosesNothing", func(a, b *fixture) { a.count("a", a.Store, b.Store) }},
	{"OneOfManyCreatesWins", func(a, b *fixture) {
		stores := []store.Store{a, b}
		a.exactlyOne("Create", store.ErrExists, func(i int) error {
			_, err := stores[i%2].Create(a.ctx, a.record("a"))
			return err
		})
	}},
	{"OneOfManyDeletesWins", func(a, b *fixture) {
		stores := []store.Store{a, b}
		a.create(a.record("a"))
		a.exactlyOne("Delete", store.ErrNotFound, func(i int) error {
			return stores[i%2].Delete(a.ctx, a.kind, "a", "")
		})
	}},
	{"SweepSparesWhatTheOtherExtended", func(a, b *fixture) { a.sweepAgainst(b.Store, a.Sweep) }},
	{"DiscardSparesWhatTheOtherExtended", func(a, b *fixture) { a.sweepAgainst(b.Store, a.discardExpired) }},
	{"SweepsTogetherRemoveEachOnce", func(a, b *fixture) {
		for _, key := range oddKeys {
			a.create(a.expiring(key, -time.Minute))
		}
		stores := []store.Store{a, b}
		var removed atomic.Int64
		atOnce(a.T, 10, func(i int) {
			for range 10 {
				n, err := stores[i%2].Sweep(a.ctx, a.kind, time.Now(), 3)
				if err != nil {
					a.Errorf("Sweep: %v", err)
				}
				removed.Add(int64(n))
			}
		})
		if int(removed.Load()) != len(oddKeys) {
			a.Errorf("%d records were removed, want %d", removed.Load(), len(oddKeys))
		}
	}},
	{"OneClosesTheOtherGoesOn", func(a, b *fixture) {
		b.kind = a.kind
		a.create(a.record("a"))
		if err := a.Close(); err != nil {
			a.Fatalf("Close: %v", err)
		}
		b.wantRecord(b.record("a"))
		b.create(b.record("b"))
		b.wantRecord(b.record("b"))
		if _, err := a.Get(a.ctx, a.kind, "a"); err == nil || errors.Is(err, store.ErrNotFound) {
			a.Errorf("Get after Close: got error %v", err)
		}
	}},
}
