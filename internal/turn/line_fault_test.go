package turn

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"dex/internal/faulttest"
)

// Whoever had many addresses of one network filled the line in front of the hashes, and everybody else waited behind them.
var _ = faulttest.Add("R9", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := NewLine(1)
		busy, err := line.take(t.Context(), "busy")
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		var order []string
		wait := func(ctx context.Context, network string) {
			group.Go(func() {
				done, err := line.take(ctx, network)
				if err != nil {
					return
				}
				defer done()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, network)
			})
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		for range 100 {
			wait(t.Context(), "crowd")
		}
		wait(gone, "gone")
		wait(gone, "crowd")
		wait(t.Context(), "ann")
		wait(t.Context(), "bob")
		wait(t.Context(), "ann")
		leave()
		synctest.Wait()
		busy()
		group.Wait()
		if len(order) != 103 {
			t.Fatalf("%d had a turn, want 103", len(order))
		}
		for i, want := range []string{"crowd", "ann", "bob", "crowd", "ann", "crowd", "crowd"} {
			if order[i] != want {
				t.Fatalf("the order is %v", order[:7])
			}
		}
		if line.free != 1 || len(line.waiting) != 0 || line.order.Len() != 0 {
			t.Errorf("in the end %d are free, and %d networks wait", line.free, len(line.waiting))
		}
	})
})

// Whoever goes away just when their turn comes passes it on.
var _ = faulttest.Add("R9", func(t *testing.T) {
	line := NewLine(1)
	gone, leave := context.WithCancel(t.Context())
	for range 1000 {
		busy, err := line.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(busy)
		group.Go(leave)
		if done, err := line.take(gone, "b"); err == nil {
			done()
		}
		group.Wait()
		gone, leave = context.WithCancel(t.Context())
	}
	leave()
	if line.free != 1 {
		t.Errorf("%d turns are left, want 1", line.free)
	}
})
