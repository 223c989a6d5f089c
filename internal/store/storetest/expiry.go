package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/store"
)

// expiring returns a record that ends at a time relative to now.
func (f *fixture) expiring(key string, in time.Duration) store.Record {
	r := f.record(key)
	r.Expires = time.Now().Add(in)
	return r
}

var expiryCases = []testCase{
	{"ExpiredIsNotFound", func(f *fixture) {
		r := f.expiring("a", -time.Millisecond)
		r.Owner = "owner"
		r.Revision = f.create(r)
		f.create(f.expiring("live", time.Hour))
		f.wantNotFound("a")
		_, err := f.Replace(f.ctx, r)
		f.wantError("Replace", err, store.ErrNotFound)
		f.wantError("Delete", f.Delete(f.ctx, f.kind, "a", r.Revision), store.ErrNotFound)
		f.wantError("Delete whatever is there", f.Delete(f.ctx, f.kind, "a", ""), store.ErrNotFound)
		if got := f.list(store.Query{}); !slices.Equal(got, []string{"live"}) {
			f.Errorf("List: got %q, want only live", got)
		}
		if got := f.list(store.Query{Owner: "owner"}); len(got) != 0 {
			f.Errorf("List of the owner: got %q", got)
		}
	}},
	{"ExpiresInTime", func(f *fixture) {
		r := f.expiring("a", 100*time.Millisecond)
		f.create(r)
		eventually(f.T, "the record is expired", func() bool {
			asked := time.Now()
			_, err := f.Get(f.ctx, f.kind, "a")
			switch {
			case errors.Is(err, store.ErrNotFound):
				if now := time.Now(); now.Before(r.Expires.Truncate(time.Millisecond)) {
					f.Errorf("not found %v too early", r.Expires.Sub(now))
				}
				return true
			case err != nil:
				f.Fatalf("Get: %v", err)
			case asked.After(r.Expires.Add(time.Millisecond)):
				f.Errorf("found %v too late", asked.Sub(r.Expires))
			}
			return false
		})
		f.create(f.record("a"))
	}},
	{"MillisecondsAreKept", func(f *fixture) {
		for i := range 20 {
			r := f.expiring(fmt.Sprint(i), time.Hour+time.Duration(i)*time.Millisecond+time.Microsecond)
			f.create(r)
			f.wantRecord(r)
		}
	}},
	{"FarFuture", func(f *fixture) {
		r := f.record("a")
		r.Expires = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		f.create(r)
		f.wantRecord(r)
	}},
	{"CreateOverExpired", func(f *fixture) {
		old := f.expiring("a", -time.Hour)
		old.Owner = "old owner"
		old.Revision = f.create(old)
		r := f.record("a")
		r.Owner, r.Data = "owner", []byte("new")
		r.Revision = f.create(r)
		if r.Revision == old.Revision {
			f.Error("the new record has the revision of the expired one")
		}
		f.wantRecord(r)
		if got := f.list(store.Query{Owner: "old owner"}); len(got) != 0 {
			f.Errorf("List of the old owner: got %q", got)
		}
		if got := f.list(store.Query{Owner: "owner"}); !slices.Equal(got, []string{"a"}) {
			f.Errorf("List of the new owner: got %q", got)
		}
		if n := f.sweep(time.Now(), 0); n != 0 {
			f.Errorf("Sweep removed %d records, want none", n)
		}
		f.wantRecord(r)
		_, err := f.Create(f.ctx, r)
		f.wantError("Create once more", err, store.ErrExists)
	}},
	{"ReplaceMovesExpiry", func(f *fixture) {
		r := f.expiring("a", time.Hour)
		r.Revision = f.create(r)
		r.Expires = time.Time{}
		var err error
		if r.Revision, err = f.Replace(f.ctx, r); err != nil {
			f.Fatalf("Replace: %v", err)
		}
		f.wantRecord(r)
		r.Expires = time.Now().Add(-time.Second)
		if _, err = f.Replace(f.ctx, r); err != nil {
			f.Fatalf("Replace: %v", err)
		}
		f.wantNotFound("a")
	}},
}

var sweepCases = []testCase{
	{"RemovesOnlyExpired", func(f *fixture) {
		f.create(f.record("forever"), f.expiring("live", time.Hour))
		for i := range 3 {
			f.create(f.expiring(fmt.Sprint(i), -time.Minute))
		}
		other := store.Record{Kind: newKind(), Key: "0", Expires: time.Now().Add(-time.Minute)}
		f.create(other)
		if n := f.sweep(time.Now(), 0); n != 3 {
			f.Errorf("Sweep removed %d records, want 3", n)
		}
		if n := f.sweep(time.Now(), 0); n != 0 {
			f.Errorf("Sweep removed %d more records", n)
		}
		f.wantSameKeys(f.list(store.Query{}), []string{"forever", "live"})
		if n, err := f.Sweep(f.ctx, other.Kind, time.Now(), 0); n != 1 || err != nil {
			f.Errorf("Sweep of the other kind removed %d records, error %v; want 1", n, err)
		}
	}},
	{"OnlyBeforeTheTimeGiven", func(f *fixture) {
		expired := f.expiring("a", -time.Minute)
		f.create(expired)
		if n := f.sweep(expired.Expires.Truncate(time.Millisecond), 0); n != 0 {
			f.Errorf("Sweep before its very expiry removed %d records", n)
		}
		if n := f.sweep(expired.Expires.Add(time.Millisecond), 0); n != 1 {
			f.Errorf("Sweep after its expiry removed %d records, want 1", n)
		}
	}},
	{"Limit", func(f *fixture) {
		for i, minutes := range []time.Duration{3, 1, 5, 2, 4} {
			f.create(f.expiring(fmt.Sprint(i), -minutes*time.Minute))
		}
		if n := f.sweep(time.Now(), 2); n != 2 {
			f.Fatalf("Sweep removed %d records, want 2", n)
		}
		if n := f.sweep(time.Now(), 2); n != 2 {
			f.Errorf("the next Sweep removed %d records, want 2", n)
		}
		if n := f.sweep(time.Now(), 2); n != 1 {
			f.Errorf("the last Sweep removed %d records, want 1", n)
		}
	}},
	{"EmptyKind", func(f *fixture) {
		if n := f.sweep(time.Now(), 0); n != 0 {
			f.Errorf("Sweep removed %d records of an empty kind", n)
		}
	}},
}
