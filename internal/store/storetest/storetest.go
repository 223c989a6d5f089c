// Package storetest holds every backend to the contract of package store.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/store"
)

// patience is how long a test waits for what must happen soon, before it fails.
const patience = 30 * time.Second

// Run tests a backend. Open returns a store and sees to it that it is closed when the test ends; the store may hold
// records of earlier tests, of other kinds than the tests to come use.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"Record", recordCases},
		{"Bounds", boundsCases},
		{"Expiry", expiryCases},
		{"Sweep", sweepCases},
		{"Expired", expiredCases},
		{"Discard", discardCases},
		{"Reap", reapCases},
		{"List", listCases},
		{"Race", raceCases},
		{"Watch", watchCases},
		{"Context", contextCases},
		{"Close", closeCases},
		{"Table", tableCases},
		{"Bulk", bulkCases},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					c.run(newFixture(t, open(t)))
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(f *fixture)
}

// A fixture is a store with a kind that no other test uses.
type fixture struct {
	*testing.T
	store.Store
	ctx  context.Context // lives as long as the test
	kind string
}

func newFixture(t *testing.T, s store.Store) *fixture {
	return &fixture{T: t, Store: s, ctx: t.Context(), kind: newKind()}
}

func newKind() string { return "test" + strings.ToLower(rand.Text()) }

// record returns a record of the fixture's kind with some data.
func (f *fixture) record(key string) store.Record {
	return store.Record{Kind: f.kind, Key: key, Data: []byte("data of " + key)}
}

// create stores records and returns the revision of the last.
func (f *fixture) create(records ...store.Record) (revision string) {
	f.Helper()
	for _, r := range records {
		var err error
		if revision, err = f.Create(f.ctx, r); err != nil {
			f.Fatalf("Create %.40q: %v", r.Key, err)
		}
		if revision == "" {
			f.Fatalf("Create %.40q: no revision", r.Key)
		}
	}
	return revision
}

func (f *fixture) get(key string) store.Record {
	f.Helper()
	r, err := f.Get(f.ctx, f.kind, key)
	if err != nil {
		f.Fatalf("Get %.40q: %v", key, err)
	}
	return r
}

// list returns the keys that a query selects.
func (f *fixture) list(q store.Query) []string {
	f.Helper()
	records, err := f.List(f.ctx, f.kind, q)
	if err != nil {
		f.Fatalf("List %+v: %v", q, err)
	}
	keys := make([]string, 0, len(records))
	for _, r := range records {
		if r.Kind != f.kind {
			f.Errorf("List %+v: got a record of kind %q", q, r.Kind)
		}
		keys = append(keys, r.Key)
	}
	return keys
}

func (f *fixture) sweep(before time.Time, limit int) int {
	f.Helper()
	n, err := f.Sweep(f.ctx, f.kind, before, limit)
	if err != nil {
		f.Fatalf("Sweep: %v", err)
	}
	return n
}

func (f *fixture) wantError(what string, err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func (f *fixture) wantNotFound(key string) {
	f.Helper()
	_, err := f.Get(f.ctx, f.kind, key)
	f.wantError("Get", err, store.ErrNotFound)
}

// wantRecord checks that the record is stored as given, its revision aside unless it is set.
func (f *fixture) wantRecord(want store.Record) {
	f.Helper()
	got := f.get(want.Key)
	wantSame(f.T, got, want)
}

func wantSame(t *testing.T, got, want store.Record) {
	t.Helper()
	if got.Kind != want.Kind || got.Key != want.Key || got.Owner != want.Owner {
		t.Errorf("got record %q %.40q of %.40q, want %q %.40q of %.40q",
			got.Kind, got.Key, got.Owner, want.Kind, want.Key, want.Owner)
	}
	if string(got.Data) != string(want.Data) {
		t.Errorf("record %.40q: got %d bytes %.40q, want %d bytes %.40q",
			want.Key, len(got.Data), got.Data, len(want.Data), want.Data)
	}
	if !got.Expires.Truncate(time.Millisecond).Equal(want.Expires.Truncate(time.Millisecond)) {
		t.Errorf("record %.40q: expires %v, want %v", want.Key, got.Expires, want.Expires)
	}
	if want.Revision != "" && got.Revision != want.Revision {
		t.Errorf("record %.40q: revision %q, want %q", want.Key, got.Revision, want.Revision)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not so after %v", what, patience)
}

// atOnce calls a function from n goroutines that start together, and fails if they are not done in time.
func atOnce(t *testing.T, n int, call func(i int)) {
	t.Helper()
	start, done := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			<-start
			call(i)
		})
	}
	go func() {
		calls.Wait()
		close(done)
	}()
	close(start)
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%d calls at once: not done after %v", n, patience)
	}
}
