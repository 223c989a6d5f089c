package kubernetes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/store"
)

// fill creates many records of a kind: every third has expired, and every second has an owner. It returns the keys of the live
// ones, and of the owned ones among them.
func fill(t *testing.T, s store.Store, kind string, n int) (live, owned []string) {
	t.Helper()
	var work errgroup.Group
	work.SetLimit(16)
	for i := range n {
		r := store.Record{Kind: kind, Key: fmt.Sprintf("%05d", i), Data: []byte("x")}
		if i%2 == 0 {
			r.Owner = "owner"
		}
		if i%3 == 0 {
			r.Expires = time.Now().Add(-time.Minute)
		} else {
			live = append(live, r.Key)
			if r.Owner != "" {
				owned = append(owned, r.Key)
			}
		}
		work.Go(func() error {
			_, err := s.Create(t.Context(), r)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	return live, owned
}

// pages reads a list page by page.
func pages(t *testing.T, s store.Store, kind string, q store.Query) []string {
	t.Helper()
	var all []string
	for {
		page := keys(t, s, kind, q)
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		q.After = page[len(page)-1]
	}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// TestManyPages reads and sweeps more objects than fit into one of the API server's pages.
func TestManyPages(t *testing.T) {
	const many = 1300
	rec := &recorder{}
	n := fresh(t)
	s := open(t, config(n), quiet, rec.option())
	live, owned := fill(t, s, "refresh", many)
	for _, limit := range []int{100, 500, store.MaxLimit} {
		rec.take()
		got := pages(t, s, "refresh", store.Query{Limit: limit})
		if first := count(rec.take(), "GET refreshtokens"); first != 1 {
			t.Errorf("pages of %d: %d of them were read from the start", limit, first)
		}
		if slices.Sort(got); !slices.Equal(got, live) {
			t.Errorf("pages of %d: got %d records, want %d", limit, len(got), len(live))
		}
		got = pages(t, s, "refresh", store.Query{Limit: limit, Owner: "owner"})
		if slices.Sort(got); !slices.Equal(got, owned) {
			t.Errorf("pages of %d of an owner: got %d records, want %d", limit, len(got), len(owned))
		}
	}

	// Another process, which has read no page before.
	first := keys(t, s, "refresh", store.Query{Limit: 600})
	other := open(t, config(n), quiet)
	second := keys(t, other, "refresh", store.Query{Limit: 600, After: first[599]})
	if got := slices.Sorted(slices.Values(slices.Concat(first, second))); !slices.Equal(got, live) {
		t.Errorf("two pages by two processes: got %d records, want %d", len(got), len(live))
	}

	// Starting again sees what has changed since.
	if err := other.Delete(t.Context(), "refresh", second[0], ""); err != nil {
		t.Fatal(err)
	}
	keys(t, s, "refresh", store.Query{Limit: 600})
	if got := keys(t, s, "refresh", store.Query{After: first[599]}); !slices.Equal(got, second[1:]) {
		t.Errorf("after a deletion: got %d records, want %d", len(got), len(second)-1)
	}
	if got := keys(t, s, "refresh", store.Query{After: first[599]}); !slices.Equal(got, second[1:]) {
		t.Errorf("the same page again: got %d records, want %d", len(got), len(second)-1)
	}

	// The server forgets the state that the pages are of.
	first = keys(t, s, "refresh", store.Query{Limit: 600})
	create(t, s, "login", "a", 1) // there is a newer state
	if err := server.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec.take()
	if got := keys(t, s, "refresh", store.Query{After: first[599]}); !slices.Equal(got, second[1:]) {
		t.Errorf("after the server has forgotten: got %d records, want %d", len(got), len(second)-1)
	}
	if got := rec.take(); count(got, "GET refreshtokens on") < 2 {
		t.Errorf("the requests are %q, as if the server had not forgotten", got)
	}

	dead := many - len(live)
	for _, limit := range []int{100, 0} {
		want := min(dead, store.MaxLimit)
		if limit > 0 {
			want = limit
		}
		if n, err := s.Sweep(t.Context(), "refresh", time.Now(), limit); n != want || err != nil {
			t.Errorf("Sweep up to %d: got %d, %v; want %d", limit, n, err, want)
		}
		dead -= want
	}
	if left := names(t, n, "refreshtokens"); len(left) != len(live)-1 {
		t.Errorf("%d objects are left, want %d", len(left), len(live)-1)
	}
}

// TestManyClients reads more of upstream's objects than fit into a page.
func TestManyClients(t *testing.T) {
	s := open(t, config(fresh(t)), quiet)
	var work errgroup.Group
	work.SetLimit(16)
	var want []string
	for i := range 1201 {
		id := fmt.Sprintf("client-%04d", i)
		want = append(want, id)
		work.Go(func() error {
			_, err := s.Create(t.Context(), store.Record{Kind: "client", Key: id, Data: []byte(`{"id":"` + id + `"}`)})
			return err
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{250, store.MaxLimit} {
		got := pages(t, s, "client", store.Query{Limit: limit})
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %d clients, want %d", limit, len(got), len(want))
		}
	}
	if got := keys(t, s, "client", store.Query{Owner: "somebody"}); len(got) != 0 {
		t.Errorf("clients of an owner: got %q", got)
	}
}

// TestEmptyNamesReachNobody shows that no key can become the path of a collection, or of another object.
func TestEmptyNamesReachNobody(t *testing.T) {
	n := fresh(t)
	s := open(t, config(n), quiet)
	for _, kind := range []string{"client", "password", "connector", "keys", "login"} {
		create(t, s, kind, "bystander", object{"id": "bystander", "email": "bystander"})
	}
	for _, kind := range []string{"client", "password", "connector", "keys", "login", ""} {
		for _, key := range []string{"", ".", "..", "/", "../oauth2clients", "?limit=1", "%2e%2e", strings.Repeat("a", 254), " "} {
			_, err := s.Get(t.Context(), kind, key)
			wantIs(t, "Get "+kind+" "+key, err, store.ErrNotFound)
			wantIs(t, "Delete "+kind+" "+key, s.Delete(t.Context(), kind, key, ""), store.ErrNotFound)
			wantIs(t, "Delete of a version of "+kind+" "+key, s.Delete(t.Context(), kind, key, "1"), store.ErrNotFound)
		}
	}
	for _, plural := range []string{"oauth2clients", "passwords", "connectors", "signingkeies", "authrequests"} {
		if left := names(t, n, plural); len(left) != 1 {
			t.Errorf("%s has the objects %q", plural, left)
		}
	}
}
