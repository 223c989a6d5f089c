package storetest

import (
	"fmt"
	"slices"
	"time"

	"dex/internal/store"
)

// expired returns what Expired does.
func (f *fixture) expired(before time.Time, limit int) []store.Record {
	f.Helper()
	records, err := f.Expired(f.ctx, f.kind, before, limit)
	if err != nil {
		f.Fatalf("Expired: %v", err)
	}
	return records
}

func (f *fixture) wantExpired(before time.Time, want ...string) {
	f.Helper()
	if got := keysOf(f.expired(before, 0)); !slices.Equal(got, want) {
		f.Errorf("Expired: got %q, want %q", got, want)
	}
}

func (f *fixture) discard(records []store.Record) int {
	f.Helper()
	n, err := f.Discard(f.ctx, f.kind, records)
	if err != nil {
		f.Fatalf("Discard: %v", err)
	}
	return n
}

func keysOf(records []store.Record) []string {
	var keys []string
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys
}

// replace moves the expiry of a record.
func (f *fixture) replace(r store.Record, in time.Duration) {
	f.Helper()
	r.Expires = time.Now().Add(in)
	if _, err := f.Replace(f.ctx, r); err != nil {
		f.Fatalf("Replace: %v", err)
	}
}

// createExpired creates records that expired so many minutes ago, under these numbers.
func (f *fixture) createExpired(minutes ...int) {
	f.Helper()
	for _, m := range minutes {
		f.create(f.expiring(fmt.Sprint(m), -time.Duration(m)*time.Minute))
	}
}

var expiredCases = []testCase{
	{"EarliestFirst", func(f *fixture) {
		f.create(f.record("forever"), f.expiring("live", time.Hour))
		f.createExpired(3, 1, 5, 2, 4)
		f.create(store.Record{Kind: newKind(), Key: "other", Expires: time.Now().Add(-time.Hour)})
		f.wantExpired(time.Now(), "5", "4", "3", "2", "1")
		for limit, want := range map[int][]string{1: {"5"}, 2: {"5", "4"}, 5: {"5", "4", "3", "2", "1"}} {
			if got := keysOf(f.expired(time.Now(), limit)); !slices.Equal(got, want) {
				f.Errorf("Expired with limit %d: got %q, want %q", limit, got, want)
			}
		}
	}},
	{"WholeRecords", func(f *fixture) {
		want := f.expiring("a\x00/b", -time.Minute)
		want.Owner = "owner/\x01"
		want.Revision = f.create(want)
		got := f.expired(time.Now(), 0)
		if len(got) != 1 {
			f.Fatalf("Expired: got %d records", len(got))
		}
		wantSame(f.T, got[0], want)
	}},
	{"OnlyBeforeTheTimeGiven", func(f *fixture) {
		r := f.expiring("a", -time.Minute)
		f.create(r, f.expiring("live", time.Minute))
		f.wantExpired(r.Expires.Truncate(time.Millisecond))
		f.wantExpired(r.Expires.Add(time.Millisecond), "a")
		f.wantExpired(time.Now().Add(time.Hour), "a", "live")
	}},
	{"WhereItWasMovedTo", func(f *fixture) {
		r := f.expiring("moved", time.Minute)
		r.Revision = f.create(r)
		f.replace(r, 3*time.Minute)
		over := f.expiring("created anew", -time.Minute)
		f.create(over)
		over.Expires = time.Now().Add(4 * time.Minute)
		f.create(over)
		gone := f.expiring("deleted", time.Minute)
		gone.Owner = "owner"
		f.create(gone)
		if err := f.Delete(f.ctx, f.kind, gone.Key, ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		f.wantExpired(time.Now().Add(2 * time.Minute))
		f.wantExpired(time.Now().Add(time.Hour), "moved", "created anew")
	}},
	{"EmptyKind", func(f *fixture) { f.wantExpired(time.Now()) }},
}

var discardCases = []testCase{
	{"RemovesJustThose", func(f *fixture) {
		f.createExpired(5, 4, 3, 2, 1)
		owned := f.expiring("owned", -time.Hour)
		owned.Owner = "owner"
		f.create(owned)
		first := f.expired(time.Now(), 3)
		if n := f.discard(first); n != 3 {
			f.Errorf("Discard removed %d records, want 3", n)
		}
		f.wantExpired(time.Now(), "3", "2", "1")
		if n := f.discard(first); n != 0 {
			f.Errorf("Discard of the same removed %d more", n)
		}
		if n := f.discard(nil); n != 0 {
			f.Errorf("Discard of none removed %d", n)
		}
		f.create(owned)
		f.wantExpired(time.Now(), "owned", "3", "2", "1")
	}},
	{"SparesWhatWasChanged", func(f *fixture) {
		extended, stays := f.expiring("extended", time.Minute), f.expiring("created anew", -time.Minute)
		extended.Revision = f.create(extended)
		f.create(stays, f.expiring("goes", -time.Second))
		expired := f.expired(time.Now().Add(2*time.Minute), 0)
		f.replace(extended, time.Hour)
		f.create(stays) // with the same expiry
		if n := f.discard(expired); n != 1 {
			f.Errorf("Discard removed %d records, want 1", n)
		}
		f.get("extended")
		f.wantExpired(time.Now().Add(2*time.Minute), "created anew")
	}},
	{"NotARevision", func(f *fixture) {
		r := f.expiring("a", -time.Minute)
		f.create(r)
		for _, r.Revision = range []string{"", "not a revision", "-1"} {
			if n, err := f.Discard(f.ctx, f.kind, []store.Record{r}); n != 0 {
				f.Errorf("Discard of revision %q removed %d, error %v", r.Revision, n, err)
			}
		}
		f.wantExpired(time.Now(), "a")
	}},
	{"Many", func(f *fixture) {
		const many = 120
		for i := range many {
			f.create(f.expiring(fmt.Sprintf("%03d", i), -time.Hour+time.Duration(i)*time.Second))
		}
		expired := f.expired(time.Now(), 0)
		if len(expired) != many || !slices.IsSorted(keysOf(expired)) {
			f.Errorf("Expired: got %q", keysOf(expired))
		}
		if n := f.discard(expired); n != many {
			f.Errorf("Discard removed %d records, want %d", n, many)
		}
		f.wantExpired(time.Now())
	}},
}
