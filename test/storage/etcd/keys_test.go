package etcd_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"dex/internal/store"
	"dex/internal/store/storetest"
)

// keys returns all keys of a store's namespace, without it, with their revisions.
func keys(t *testing.T, client *clientv3.Client, namespace string) map[string]int64 {
	t.Helper()
	found, err := client.Get(t.Context(), namespace, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	for _, kv := range found.Kvs {
		all[strings.TrimPrefix(string(kv.Key), namespace)] = kv.ModRevision
	}
	return all
}

func put(t *testing.T, client *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := client.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

func TestKeysOfUpstreamAreLeftAlone(t *testing.T) {
	config := fresh(t, plain)
	s := open(t, config)
	client, namespace := s.Upstream()
	if namespace != config.Namespace {
		t.Errorf("Upstream: got namespace %q, want %q", namespace, config.Namespace)
	}
	for _, key := range []string{"auth_code/a", "client/a", "dex", "dey", "openid-connect-keys", "password/a@example.com"} {
		put(t, client, namespace+key, `{"id":"a"}`)
	}
	before := keys(t, client, namespace)

	for _, kind := range []string{"client", "refresh", "../client", "dex"} {
		r := store.Record{Kind: kind, Key: "a", Owner: "owner", Expires: time.Now().Add(-time.Minute)}
		create(t, s, r)
		if n, err := s.Sweep(t.Context(), kind, time.Now(), 0); n != 1 || err != nil {
			t.Errorf("Sweep: got %d and error %v, want 1", n, err)
		}
		r.Expires = time.Time{}
		create(t, s, r)
		if page, err := s.List(t.Context(), kind, store.Query{}); len(page) != 1 || err != nil {
			t.Errorf("List: got %d records and error %v, want 1", len(page), err)
		}
		if err := s.Delete(t.Context(), kind, "a", ""); err != nil {
			t.Errorf("Delete: %v", err)
		}
		create(t, s, r)
	}
	after := keys(t, client, namespace)
	ours := len(after)
	maps.DeleteFunc(after, func(key string, _ int64) bool { return strings.HasPrefix(key, "dex/") })
	if !maps.Equal(before, after) {
		t.Errorf("the keys beside ours are %v, and were %v", after, before)
	}
	if ours == len(after) {
		t.Error("the store has no keys below dex/")
	}
}

func TestNamespacesDoNotMix(t *testing.T) {
	outer := fresh(t, plain)
	inner := outer
	inner.Namespace += "dex/record/" // used verbatim, however odd
	a, b := open(t, outer), open(t, inner)
	changes := watch(t, b)
	r := store.Record{Kind: "client", Key: "a", Owner: "owner", Expires: time.Now().Add(-time.Minute)}
	create(t, a, r)
	if n, err := b.Sweep(t.Context(), "client", time.Now(), 0); n != 0 || err != nil {
		t.Errorf("Sweep of the other namespace: got %d and error %v", n, err)
	}
	r.Expires = time.Time{}
	create(t, a, r)
	for _, q := range []store.Query{{}, {Owner: "owner"}} {
		if page, err := b.List(t.Context(), "client", q); len(page) != 0 || err != nil {
			t.Errorf("List %+v of the other namespace: got %d records and error %v", q, len(page), err)
		}
	}
	create(t, b, r)
	if err := b.Delete(t.Context(), "client", "a", ""); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := a.Get(t.Context(), "client", "a"); err != nil {
		t.Errorf("Get of what was deleted in the other namespace: %v", err)
	}
	create(t, a, store.Record{Kind: "client", Key: "b"})
	create(t, b, store.Record{Kind: "client", Key: "c"})
	create(t, b, store.Record{Kind: "client", Key: "d"})
	told := make(map[string]int)
	for told["c"] < 2 || told["d"] == 0 { // told at once, and again by the cluster
		select {
		case c := <-changes:
			told[c.Key]++
		case <-time.After(patience):
			t.Fatalf("no more changes after %v", told)
		}
	}
	if told["b"] > 0 || told[""] > 0 {
		t.Errorf("told of changes in the other namespace: %v", told)
	}
}

// What a write leaves behind in the indexes is removed when the store is closed, at the latest.
func TestNothingIsLeftInTheIndexes(t *testing.T) {
	config := fresh(t, plain)
	s, observer := open(t, config), open(t, config)
	const kind, n = "refresh", 200
	for i := range n {
		r := store.Record{Kind: kind, Key: fmt.Sprint(i), Owner: "first", Expires: time.Now().Add(time.Hour)}
		r.Revision = create(t, s, r)
		r.Owner, r.Expires = "second", r.Expires.Add(time.Hour)
		if _, err := s.Replace(t.Context(), r); err != nil {
			t.Fatalf("Replace: %v", err)
		}
		if i == 0 {
			continue
		}
		if err := s.Delete(t.Context(), kind, r.Key, ""); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	client, namespace := observer.Upstream()
	left := slices.Sorted(maps.Keys(keys(t, client, namespace)))
	if len(left) != 3 || left[1] != "dex/owner/refresh/second/0" || left[2] != "dex/record/refresh/0" {
		t.Errorf("the keys left are %q, want those of one record", left)
	}
}

// A process that ends between a write and its cleanup leaves entries in the indexes.
func TestEntriesWithoutRecord(t *testing.T) {
	config := fresh(t, plain)
	s := open(t, config)
	client, namespace := s.Upstream()
	create(t, s, store.Record{Kind: "refresh", Key: "other", Owner: "another"})
	create(t, s, store.Record{Kind: "refresh", Key: "extended", Expires: time.Now().Add(time.Hour)})
	const longAgo = "8000018000000000"
	for key, owner := range map[string]string{
		"owner/refresh/owner/gone":                     "",
		"owner/refresh/owner/other":                    "",
		"expires/refresh/" + longAgo + "/gone":         "owner",
		"expires/refresh/" + longAgo + "/extended":     "",
		"expires/refresh/" + longAgo[:10] + "/foreign": "",
	} {
		put(t, client, namespace+"dex/"+key, owner)
	}
	if page, err := s.List(t.Context(), "refresh", store.Query{Owner: "owner"}); len(page) != 0 || err != nil {
		t.Errorf("List: got %d records and error %v, want none", len(page), err)
	}
	if n, err := s.Sweep(t.Context(), "refresh", time.Now(), 0); n != 0 || err != nil {
		t.Errorf("Sweep: got %d and error %v, want 0", n, err)
	}
	for _, key := range []string{"other", "extended"} {
		if _, err := s.Get(t.Context(), "refresh", key); err != nil {
			t.Errorf("Get %s: %v", key, err)
		}
	}
	eventually(t, "the entries are removed", func() bool {
		left := keys(t, client, namespace)
		for key := range left {
			if strings.Contains(key, "/owner/refresh/owner/") || strings.Contains(key, longAgo+"/") {
				return false
			}
		}
		return true
	})
}

// A leftover entry may be written again before it is removed.
func TestTidyingSparesWhatWasCreatedAgain(t *testing.T) {
	s := open(t, fresh(t, plain))
	expires := time.Now().Add(time.Hour)
	for i := range 300 {
		r := store.Record{Kind: "refresh", Key: fmt.Sprint(i % 3), Owner: "owner", Expires: expires}
		create(t, s, r)
		if i >= 297 {
			continue
		}
		if err := s.Delete(t.Context(), r.Kind, r.Key, ""); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	time.Sleep(200 * time.Millisecond) // time for the cleanup to do harm
	if page, err := s.List(t.Context(), "refresh", store.Query{Owner: "owner"}); len(page) != 3 || err != nil {
		t.Errorf("List: got %d records and error %v, want 3", len(page), err)
	}
	if n, err := s.Sweep(t.Context(), "refresh", expires.Add(time.Second), 0); n != 3 || err != nil {
		t.Errorf("Sweep: got %d and error %v, want 3", n, err)
	}
}

func TestSweepOfMany(t *testing.T) {
	s := open(t, fresh(t, plain))
	const n = 260 // several transactions, the last one not full
	for i := range n {
		create(t, s, store.Record{
			Kind: storetest.Quiet.Name(), Key: fmt.Sprint(i), Owner: strings.Repeat("\xff", store.MaxKey), Expires: time.Now().Add(-time.Hour),
		})
	}
	for _, want := range []int{200, 60, 0} {
		if got, err := s.Sweep(t.Context(), storetest.Quiet.Name(), time.Now(), 200); got != want || err != nil {
			t.Errorf("Sweep: got %d and error %v, want %d", got, err, want)
		}
	}
	client, namespace := s.Upstream()
	if left := keys(t, client, namespace); len(left) != 0 {
		t.Errorf("%d keys are left", len(left))
	}
}

func TestUnknownLayoutIsNotTakenForAbsence(t *testing.T) {
	s := open(t, fresh(t, plain))
	client, namespace := s.Upstream()
	for key, value := range map[string]string{"a": "\x02of a later version", "b": "\x01cut"} {
		put(t, client, namespace+"dex/record/client/"+key, value)
		_, err := s.Get(t.Context(), "client", key)
		wantNoAnswer(t, "Get", err)
	}
	_, err := s.List(t.Context(), "client", store.Query{})
	wantNoAnswer(t, "List", err)
	if _, err := s.Create(t.Context(), store.Record{Kind: "client", Key: "a"}); err == nil {
		t.Error("Create over a record of a later version succeeded")
	}
}

// If many records have expired and are not swept yet, a short list must not take a request for each.
func TestListPassesOverManyExpired(t *testing.T) {
	t.Parallel()
	config := fresh(t, plain)
	p := behindProxy(t, &config, codes.Unknown)
	s := open(t, config)
	past := time.Now().Add(-time.Hour)
	for i := range 500 {
		create(t, s, store.Record{Kind: "refresh", Key: fmt.Sprintf("a%03d", i), Owner: "o", Expires: past})
	}
	create(t, s, store.Record{Kind: "refresh", Key: "b", Owner: "o"}, store.Record{Kind: "refresh", Key: "c", Owner: "o"})
	for _, owner := range []string{"", "o"} {
		before := p.reads.Load()
		found, err := s.List(t.Context(), "refresh", store.Query{Owner: owner, Limit: 1})
		if err != nil || len(found) != 1 || found[0].Key != "b" {
			t.Errorf("List of owner %q: got %d records, error %v", owner, len(found), err)
		}
		if n := p.reads.Load() - before; n > 20 {
			t.Errorf("List of owner %q took %d requests", owner, n)
		}
	}
}
