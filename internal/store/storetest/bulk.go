package storetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"dex/internal/store"
)

// Quiet is a kind that is not announced, of which stores may create many records at once. All tests use it, so that
// keys have to be drawn at random.
var Quiet = store.Declare(store.Declaration[struct{}]{Name: "testquiet", Quiet: true})

var bulkCases = []testCase{
	{"CreateAllLeavesWhatIsThere", func(f *fixture) {
		f.kind = Quiet.Name()
		prefix := rand.Text()
		expired, taken, again := f.record(prefix+"-expired"), f.record(prefix+"-taken"), f.record(prefix+"-again")
		expired.Expires = time.Now().Add(-time.Minute)
		taken.Revision = f.create(expired, taken)
		var all []store.Record
		for i := range 700 { // more than one portion
			all = append(all, f.record(fmt.Sprintf("%s-%d\x00\xff", prefix, i)))
		}
		all[0].Owner, all[1].Expires = prefix, time.Now().Add(time.Hour)
		all[2].Data = nil
		all[3].Data = bytes.Repeat([]byte("x"), store.MaxData)
		all[4].Data = bytes.Repeat([]byte("y"), store.MaxData)
		other := taken
		other.Data = []byte("other")
		second := again
		second.Data = []byte("second of one key")
		revived := f.record(expired.Key)
		revived.Data = []byte("alive")
		given := append(slices.Clone(all), other, revived, again, second)
		if err := store.CreateAll(f.ctx, f.Store, given); err != nil {
			f.Fatalf("CreateAll: %v", err)
		}
		revisions := make(map[string]bool)
		for _, r := range append(all, taken, revived, again) {
			got := f.get(r.Key)
			revisions[got.Revision] = true
			if r.Key == taken.Key && got.Revision != taken.Revision {
				f.Error("the record that was there has another revision")
			}
			r.Revision = got.Revision
			f.wantRecord(r)
			if err := f.Delete(f.ctx, f.kind, r.Key, got.Revision); err != nil {
				f.Errorf("Delete %q: %v", r.Key, err)
			}
		}
		if len(revisions) < 2 {
			f.Error("all records have one revision")
		}
	}},
	{"CreateAllTwiceAtOnce", func(f *fixture) {
		f.kind = Quiet.Name()
		prefix := rand.Text()
		var all []store.Record
		for i := range 300 {
			all = append(all, f.record(fmt.Sprintf("%s-%d", prefix, i)))
		}
		var creating sync.WaitGroup
		for range 4 {
			slices.Reverse(all)
			records := slices.Clone(all)
			creating.Go(func() {
				if err := store.CreateAll(f.ctx, f.Store, records); err != nil {
					f.Errorf("CreateAll: %v", err)
				}
			})
		}
		creating.Wait()
		for _, r := range all {
			f.get(r.Key)
			if err := f.Delete(f.ctx, f.kind, r.Key, ""); err != nil {
				f.Errorf("Delete %q: %v", r.Key, err)
			}
		}
	}},
	{"CreateAllTellsOfAnnouncedKinds", func(f *fixture) {
		changes := f.watch(f.ctx, f.Store)
		if err := store.CreateAll(f.ctx, f.Store, []store.Record{f.record("a")}); err != nil {
			f.Fatalf("CreateAll: %v", err)
		}
		wantChange(f.T, changes, f.kind, "a")
	}},
}
