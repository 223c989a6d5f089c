package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

type note struct{ Text string }

var notes = store.Declare(store.Declaration[note]{Name: "note"})

// A counter counts the reads that reach the storage, and may change something in the middle of one.
type counter struct {
	store.Store
	mu    sync.Mutex
	reads int
	after func() // runs when the storage has answered, before the answer is given
	fail  error
}

func (c *counter) read() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.after != nil {
		c.after()
	}
}

func (c *counter) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r, err := c.Store.Get(ctx, kind, key)
	c.read()
	return r, errors.Join(err, c.fail)
}

func (c *counter) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	page, err := c.Store.List(ctx, kind, q)
	c.read()
	return page, errors.Join(err, c.fail)
}

func (c *counter) wantReads(t *testing.T, want int) {
	t.Helper()
	if c.reads != want {
		t.Errorf("%d reads reached the storage, want %d", c.reads, want)
	}
}

func cached(t *testing.T) (*store.Cache[note], *store.Table[note], *counter) {
	t.Helper()
	s := &counter{Store: memory.New()}
	table := store.In[note](s, notes)
	for i := range 3 {
		if _, err := table.Create(t.Context(), fmt.Sprint(i), note{Text: "old"}); err != nil {
			t.Fatal(err)
		}
	}
	return store.NewCache(table), table, s
}

func set(t *testing.T, table *store.Table[note], key, text string) {
	t.Helper()
	err := table.Delete(t.Context(), key, "")
	if err == nil {
		_, err = table.Create(t.Context(), key, note{Text: text})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantText(t *testing.T, c *store.Cache[note], key, want string) {
	t.Helper()
	if e, err := c.Get(t.Context(), key); err != nil || e.Value.Text != want {
		t.Errorf("got %+v and error %v, want %s", e, err, want)
	}
}

func TestCacheRemembersUntilToldOtherwise(t *testing.T) {
	c, table, s := cached(t)
	for range 3 {
		wantText(t, c, "1", "old")
		if _, err := c.Get(t.Context(), "absent"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got error %v", err)
		}
		if all, err := c.All(t.Context()); err != nil || len(all) != 3 {
			t.Errorf("got %d and error %v", len(all), err)
		}
	}
	s.wantReads(t, 3)
	set(t, table, "1", "new")
	wantText(t, c, "1", "old")
	c.Forget(store.Change{Kind: "another", Key: "1"})
	c.Forget(store.Change{Kind: "note", Key: "2"})
	wantText(t, c, "1", "old")
	for i, change := range []store.Change{{Kind: "note", Key: "1"}, {Kind: "note"}, {}} {
		text := fmt.Sprint("new", i)
		set(t, table, "1", text)
		c.Forget(change)
		wantText(t, c, "1", text)
		if all, err := c.All(t.Context()); err != nil || all[1].Value.Text != text {
			t.Errorf("got %+v and error %v", all, err)
		}
	}
}

// A read that was under way when a change came must not be remembered.
func TestCacheForgetsWhatIsBeingRead(t *testing.T) {
	c, table, s := cached(t)
	s.after = func() {
		s.after = nil
		set(t, table, "1", "new")
		c.Forget(store.Change{Kind: "note", Key: "1"})
	}
	wantText(t, c, "1", "old") // it was when the read began
	wantText(t, c, "1", "new")
	s.after = func() {
		s.after = nil
		set(t, table, "1", "newer")
		c.Forget(store.Change{Kind: "note", Key: "1"})
	}
	if _, err := c.All(t.Context()); err != nil {
		t.Error(err)
	}
	if all, err := c.All(t.Context()); err != nil || all[1].Value.Text != "newer" {
		t.Errorf("got %+v and error %v", all, err)
	}
}

func TestCacheAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, table, _ := cached(t)
		wantText(t, c, "1", "old")
		set(t, table, "1", "new")
		time.Sleep(31 * time.Second)
		wantText(t, c, "1", "new")
	})
}

func TestCacheRemembersNoFailure(t *testing.T) {
	c, _, s := cached(t)
	s.fail = errors.New("storage is down")
	if _, err := c.Get(t.Context(), "1"); !errors.Is(err, s.fail) {
		t.Errorf("got error %v", err)
	}
	if _, err := c.All(t.Context()); !errors.Is(err, s.fail) {
		t.Errorf("got error %v", err)
	}
	s.fail = nil
	wantText(t, c, "1", "old")
}

func TestCacheIsBounded(t *testing.T) {
	c, _, s := cached(t)
	wantText(t, c, "1", "old")
	for i := range 10_000 {
		if _, err := c.Get(t.Context(), fmt.Sprint("stranger", i)); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	before := s.reads
	wantText(t, c, "1", "old") // is remembered, however many others are asked for
	s.wantReads(t, before)
	for range 2 { // were forgotten to make room
		if _, err := c.Get(t.Context(), "stranger"); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if _, err := c.Get(t.Context(), "stranger0"); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	s.wantReads(t, before+2)
}

// Keys come from strangers, cut out of a request that may be large; the request must not be kept with them.
func TestCacheKeepsNoRequests(t *testing.T) {
	c, _, _ := cached(t)
	const requests, size = 64, 1 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range requests {
		request := fmt.Sprintf("client_id=absent%02d&%s", i, strings.Repeat("x", size))
		key := request[len("client_id="):strings.IndexByte(request, '&')]
		if _, err := c.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("got error %v", err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > requests*size/4 {
		t.Errorf("the cache keeps %d bytes for %d absent keys", grown, requests)
	}
	runtime.KeepAlive(c)
}
