package backchannel_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/store"
)

// counting counts the lists that are read.
type counting struct {
	store.Store
	lists atomic.Int64
}

func (c *counting) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, kind, q)
}

func TestIdleQueueCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		idle := &counting{Store: w.store}
		w.replica(idle)
		time.Sleep(time.Hour)
		if n := idle.lists.Load(); n < 220 || n > 260 {
			t.Errorf("%d lists in an hour, want about one every 15 s", n)
		}
	})
}

// A queue that is longer than one look and than what a process remembers is delivered all the same, and nothing twice.
func TestLongQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app", "other")
		q, end := w.replica(w.store)
		end() // this one only adds
		const sessions = 2500
		for i := range sessions {
			w.end(q, fmt.Sprint(i), "app", "other")
		}
		time.Sleep(time.Minute)
		read := &counting{Store: w.store}
		w.replica(read)
		time.Sleep(2 * time.Minute)
		got := w.delivered()
		seen := map[string]bool{}
		for _, g := range got {
			seen[g.TokenID] = true
		}
		if len(got) != 2*sessions || len(seen) != 2*sessions || w.waiting() != 0 {
			t.Errorf("%d of %d were delivered in %d attempts; %d are left", len(seen), 2*sessions, len(got), w.waiting())
		}
		if n := read.lists.Load(); n > 200 {
			t.Errorf("%d lists", n)
		}
	})
}

// A long queue of a receiver that is down doesn't keep the storage busy.
func TestLongQueueOfAReceiverThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "app", "other")
		w.answer("app.test", hang)
		q, end := w.replica(w.store)
		end()
		for i := range 1100 {
			w.end(q, fmt.Sprint(i), "app")
		}
		w.end(q, "s", "other")
		time.Sleep(time.Minute)
		read := &counting{Store: w.store}
		w.replica(read)
		time.Sleep(10 * time.Second)
		if n := len(w.delivered()); n != 1 {
			t.Errorf("the other one was told %d times", n)
		}
		time.Sleep(5 * time.Minute)
		if n := read.lists.Load(); n > 320 {
			t.Errorf("%d lists in five minutes, want at most one a second", n)
		}
	})
}
