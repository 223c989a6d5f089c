package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/transfer"
)

// Two kinds of a room that nothing else knows of, which say the opposite of themselves.
var (
	keepsake = store.Declare(store.Declaration[badge]{
		Name: "testkeepsake", Durable: true,
		Expires: func(b *badge) time.Time { return b.Until },
	})
	trifle = store.Declare(store.Declaration[badge]{Name: "testtrifle", Quiet: true, Open: true})
)

// unknown is a kind that nobody declared, as a newer release may have left in a storage.
const unknown = "testunknown"

// RunKinds tests that a storage and what is around it treat each kind as it says of itself. S has a storage key, below is
// the same store without the seal, other is another client of it or the same, and sweep does what the server does.
func RunKinds(t *testing.T, s, below, other store.Store, sweep func(context.Context) error) {
	f := newFixture(t, s)
	changes := f.watch(f.ctx, other)
	kinds := []string{trifle.Name(), unknown, keepsake.Name()}
	names := map[string]string{}
	for _, kind := range kinds {
		names[kind] = rand.Text()
		f.create(store.Record{Kind: kind, Key: names[kind], Data: []byte(`{"name":"document"}`)},
			store.Record{Kind: kind, Key: names[kind] + "-ends", Expires: time.Now().Add(time.Second)})
	}
	f.checkTold(changes)
	for _, kind := range kinds {
		facts, _ := store.FactsOf(kind)
		r, err := below.Get(f.ctx, kind, names[kind])
		if err != nil || bytes.HasPrefix(r.Data, []byte(store.SealedPrefix)) == facts.Open {
			f.Errorf("kind %s: stored is %.40q, error %v; open is %v", kind, r.Data, err, facts.Open)
		}
	}
	f.checkExport(s, names)
	f.checkSweep(below, kinds, sweep)
}

// checkTold fails if the changes are others than those of the announced kinds, of which keepsake is the last.
func (f *fixture) checkTold(changes <-chan store.Change) {
	f.Helper()
	told := map[string]bool{}
	for end := time.After(patience); !told[keepsake.Name()]; {
		select {
		case c := <-changes:
			told[c.Kind] = true
		case <-end:
			f.Fatalf("no change of kind %s after %v", keepsake.Name(), patience)
		}
	}
	if told[trifle.Name()] || !told[unknown] && !told[""] {
		f.Errorf("the kinds told of are %v", told)
	}
}

// checkExport fails if other records than durable ones are exported.
func (f *fixture) checkExport(s store.Store, names map[string]string) {
	f.Helper()
	var file strings.Builder
	if _, err := transfer.Export(f.ctx, s, store.DurableKinds(), &file, nil, nil); err != nil {
		f.Fatalf("Export: %v", err)
	}
	for kind, name := range names {
		facts, _ := store.FactsOf(kind)
		if strings.Contains(file.String(), name) != facts.Durable {
			f.Errorf("kind %s: durable is %v, and the export is\n%s", kind, facts.Durable, file.String())
		}
	}
}

// checkSweep fails if other records than those of expiring kinds are swept.
func (f *fixture) checkSweep(below store.Store, kinds []string, sweep func(context.Context) error) {
	f.Helper()
	time.Sleep(1100 * time.Millisecond) // until they have expired
	if err := sweep(f.ctx); err != nil {
		f.Fatalf("sweep: %v", err)
	}
	for _, kind := range kinds {
		facts, _ := store.FactsOf(kind)
		left, err := below.Sweep(f.ctx, kind, time.Now(), 0)
		if err != nil || left > 0 == facts.Expires {
			f.Errorf("kind %s: expires is %v, and %d expired records were left; error %v", kind, facts.Expires, left, err)
		}
	}
}
