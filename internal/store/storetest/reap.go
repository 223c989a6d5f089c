package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/store"
)

var errBroken = errors.New("broken")

// reap calls Reap with pages of three. Handle is told how often it has been called so far, and the key of the record. The keys
// that were handled are returned in that order.
func (f *fixture) reap(
	table *store.Table[badge], before time.Time, handle func(n int, key string) error,
) (handled []string, removed int, err error) {
	f.Helper()
	removed, err = store.Reap(f.ctx, table, before, 3, func(_ context.Context, e store.Entry[badge]) error {
		if e.Value.Name != "badge "+e.Key {
			f.Errorf("record %s was handled as %+v", e.Key, e.Value)
		}
		handled = append(handled, e.Key)
		return handle(len(handled), e.Key)
	})
	return handled, removed, err
}

func (f *fixture) wantReaped(table *store.Table[badge], want ...string) {
	f.Helper()
	handled, removed, err := f.reap(table, time.Now(), func(int, string) error { return nil })
	if err != nil || removed != len(want) || !slices.Equal(handled, want) {
		f.Errorf("Reap: handled %q and removed %d, error %v; want %q", handled, removed, err, want)
	}
}

// addBadges creates records of which the first expires that long from now, and each other one so long after the one before.
func (f *fixture) addBadges(table *store.Table[badge], in, apart time.Duration, keys ...string) {
	f.Helper()
	for i, until := 0, time.Now().Add(in); i < len(keys); i, until = i+1, until.Add(apart) {
		if _, err := table.Create(f.ctx, keys[i], badge{Name: "badge " + keys[i], Until: until}); err != nil {
			f.Fatalf("Create: %v", err)
		}
	}
}

var seven = []string{"c", "a", "g", "b", "f", "d", "e"}

var reapCases = []testCase{
	{"PageByPage", func(f *fixture) {
		table := f.badges()
		f.addBadges(table, time.Hour, time.Second, "live", "lives on")
		f.wantReaped(table)
		f.addBadges(table, -time.Hour, time.Second, seven...)
		if entries, err := table.Expired(f.ctx, time.Now(), 2); err != nil || len(entries) != 2 || entries[0].Value.Name != "badge c" {
			f.Errorf("Expired: got %+v and error %v", entries, err)
		}
		f.wantReaped(table, seven...)
		f.wantReaped(table)
		f.wantSameKeys(f.list(store.Query{}), []string{"live", "lives on"})
	}},
	{"ManyOfTheSameMoment", func(f *fixture) {
		table := f.badges()
		f.addBadges(table, -time.Minute, 0, seven...)
		handled, removed, err := f.reap(table, time.Now(), func(int, string) error { return nil })
		if err != nil || removed != len(seven) {
			f.Errorf("Reap removed %d, error %v", removed, err)
		}
		f.wantSameKeys(handled, seven)
	}},
	{"HandlerFails", func(f *fixture) {
		table := f.badges()
		for _, apart := range []time.Duration{time.Second, 0} {
			f.addBadges(table, -time.Hour, apart, seven...)
			for n := 1; n <= len(seven); n++ {
				handled, removed, err := f.reap(table, time.Now(), func(i int, _ string) error {
					if i == 2 {
						return errBroken
					}
					return nil
				})
				if left := len(seven) - n; removed != 1 || len(handled) != min(2, left+1) || errors.Is(err, errBroken) != (left > 0) {
					f.Errorf("Reap: handled %q and removed %d, error %v", handled, removed, err)
				}
			}
			f.wantReaped(table)
		}
	}},
	{"MovedMeanwhile", func(f *fixture) {
		table := f.badges()
		f.addBadges(table, time.Minute, time.Second, seven...)
		handled, removed, err := f.reap(table, time.Now().Add(2*time.Minute), func(n int, key string) error {
			moved := key // itself, and one of a later page
			if n == 1 {
				moved = "b"
			}
			if n == 5 {
				return nil
			}
			_, err := table.Update(f.ctx, moved, func(b *badge) error {
				b.Until = time.Now().Add(time.Hour)
				return nil
			})
			return err
		})
		if want := []string{"c", "a", "g", "f", "d", "e"}; err != nil || removed != 2 || !slices.Equal(handled, want) {
			f.Errorf("Reap: handled %q and removed %d, error %v", handled, removed, err)
		}
		f.wantSameKeys(f.list(store.Query{}), []string{"a", "b", "e", "f", "g"})
	}},
	{"ExpiredMeanwhile", func(f *fixture) {
		table := f.badges()
		f.addBadges(table, -time.Minute, time.Second, "a", "b", "c")
		handled, removed, err := f.reap(table, time.Now(), func(n int, _ string) error {
			if n == 1 {
				f.addBadges(table, -time.Hour, 0, "earlier")
			}
			return nil
		})
		if want := []string{"a", "b", "c", "earlier"}; err != nil || removed != 4 || !slices.Equal(handled, want) {
			f.Errorf("Reap: handled %q and removed %d, error %v; want %q", handled, removed, err, want)
		}
	}},
	{"Unreadable", func(f *fixture) {
		table := f.badges()
		for i := range 4 {
			r := f.expiring(fmt.Sprint("unreadable ", i), -2*time.Hour)
			r.Data = []byte(`{"name": "secret`)
			f.create(r)
		}
		f.addBadges(table, -time.Hour, time.Second, seven...)
		_, err := table.Expired(f.ctx, time.Now(), 0)
		f.wantRefused("Expired", err)
		handled, removed, err := f.reap(table, time.Now(), func(int, string) error { return nil })
		f.wantRefused("Reap", err)
		if removed != 4+len(seven) || !slices.Equal(handled, seven) {
			f.Errorf("Reap: handled %q and removed %d", handled, removed)
		}
		f.wantReaped(table)
	}},
}
