package storetest

import (
	"errors"
	"fmt"
	"slices"

	"dex/internal/store"
)

// listed is one more than fits a page.
const listed = store.MaxLimit + 1

// fill creates records with the keys 0000, 0001, ... of which every tenth has the owner "tenth".
func (f *fixture) fill(n int) []string {
	f.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%04d", i)
	}
	const writers = 20
	failures := make([]error, writers)
	atOnce(f.T, writers, func(w int) {
		for i := w; i < n; i += writers {
			r := f.record(keys[i])
			if i%10 == 0 {
				r.Owner = "tenth"
			}
			_, err := f.Create(f.ctx, r)
			failures[w] = errors.Join(failures[w], err)
		}
	})
	if err := errors.Join(failures...); err != nil {
		f.Fatalf("Create: %v", err)
	}
	return keys
}

// wantSameKeys compares keys without regard to their order, which is the store's own.
func (f *fixture) wantSameKeys(got, want []string) {
	f.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		f.Errorf("got the keys %q, want %q", got, want)
	}
}

// pages reads a query page by page.
func (f *fixture) pages(q store.Query) []string {
	f.Helper()
	var keys []string
	for {
		page := f.list(q)
		if len(page) > q.Limit {
			f.Fatalf("List %+v: got %d keys", q, len(page))
		}
		keys = append(keys, page...)
		if len(page) < q.Limit {
			return keys
		}
		q.After = page[len(page)-1]
		if len(keys) > listed {
			f.Fatalf("List %+v: the pages have no end", q)
		}
	}
}

var listCases = []testCase{
	{"Empty", func(f *fixture) {
		for _, q := range []store.Query{{}, {Owner: "nobody"}, {After: "a"}, {Limit: 1}} {
			if got := f.list(q); len(got) != 0 {
				f.Errorf("List %+v: got %q", q, got)
			}
		}
	}},
	{"WholeRecords", func(f *fixture) {
		r := f.record("a")
		r.Owner = "owner"
		f.create(r)
		want := f.get("a")
		for _, q := range []store.Query{{}, {Owner: "owner"}} {
			page, err := f.List(f.ctx, f.kind, q)
			if err != nil || len(page) != 1 {
				f.Fatalf("List %+v: got %d records and error %v", q, len(page), err)
			}
			wantSame(f.T, page[0], want)
		}
	}},
	{"Limit", func(f *fixture) {
		keys := f.fill(listed)
		order := f.pages(store.Query{Limit: store.MaxLimit})
		f.wantSameKeys(order, keys)
		for limit, want := range map[int]int{
			0: store.MaxLimit, -1: store.MaxLimit, store.MaxLimit: store.MaxLimit, listed: store.MaxLimit, 1: 1, 7: 7,
		} {
			if got := f.list(store.Query{Limit: limit}); !slices.Equal(got, order[:want]) {
				f.Errorf("List with limit %d: got %d keys, want the first %d", limit, len(got), want)
			}
		}
	}},
	{"Pages", func(f *fixture) {
		keys := f.fill(50)
		for _, limit := range []int{1, 7, 50, 100} {
			f.wantSameKeys(f.pages(store.Query{Limit: limit}), keys)
		}
	}},
	{"PageAfterItsLastKeyWasDeleted", func(f *fixture) {
		f.fill(10)
		keys := f.list(store.Query{})
		page := f.list(store.Query{Limit: 5})
		if err := f.Delete(f.ctx, f.kind, page[4], ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		if got := f.list(store.Query{After: page[4]}); !slices.Equal(got, keys[5:]) {
			f.Errorf("List after a deleted key: got %q, want %q", got, keys[5:])
		}
	}},
	{"Owner", func(f *fixture) {
		f.fill(100)
		want := []string{"0000", "0010", "0020", "0030", "0040", "0050", "0060", "0070", "0080", "0090"}
		for _, limit := range []int{1, 3, 10, 100} {
			f.wantSameKeys(f.pages(store.Query{Owner: "tenth", Limit: limit}), want)
		}
		for _, stranger := range []string{"tent", "tenth ", "Tenth", "tenth\x00", "%"} {
			if got := f.list(store.Query{Owner: stranger}); len(got) != 0 {
				f.Errorf("List of the owner %q: got %q", stranger, got)
			}
		}
	}},
	{"ReplaceChangesOwner", func(f *fixture) {
		r := f.record("a")
		r.Owner = "first"
		r.Revision = f.create(r)
		for _, owner := range []string{"second", "", "third"} {
			before := r.Owner
			r.Owner = owner
			var err error
			if r.Revision, err = f.Replace(f.ctx, r); err != nil {
				f.Fatalf("Replace: %v", err)
			}
			if got := f.list(store.Query{Owner: owner}); !slices.Equal(got, []string{"a"}) {
				f.Errorf("List of the owner %q: got %q", owner, got)
			}
			if before == "" {
				continue
			}
			if got := f.list(store.Query{Owner: before}); len(got) != 0 {
				f.Errorf("List of the owner before, %q: got %q", before, got)
			}
		}
		if err := f.Delete(f.ctx, f.kind, "a", ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		if got := f.list(store.Query{Owner: "third"}); len(got) != 0 {
			f.Errorf("List of the owner of a deleted record: got %q", got)
		}
	}},
}
