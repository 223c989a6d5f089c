package answer

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// newLedger returns the ledger of a process that has its own clock and doesn't wait for others.
func newLedger(s store.Store, now func() time.Time) *Ledger {
	return New(s, now, slog.New(slog.DiscardHandler), Impatient())
}

// Nobody was told of clocks that differ.
var _ = faulttest.Add("O5", func(t *testing.T) {
	s, clock, ahead := memory.New(), time.Now(), store.ClockSkew
	here := newLedger(s, func() time.Time { return clock })
	there := newLedger(s, func() time.Time { return clock.Add(ahead) })
	compare := func() {
		t.Helper()
		for _, l := range []*Ledger{here, there} {
			if err := l.begin().end(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Tell(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.compareClocks(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 { // a process is alive if it was seen to tell something new
		compare()
	}
	if h, o := here.Behind(), there.Behind(); h != store.ClockSkew || o != 0 {
		t.Errorf("one clock is %v behind, the other %v", h, o)
	}
	ahead = 0
	compare()
	compare()
	if h := here.Behind(); h != 0 {
		t.Errorf("a clock that was put right is %v behind", h)
	}
})

// However many hang up, a bounded number of them is remembered.
var _ = faulttest.Add("A-hangup-flood", func(t *testing.T) {
	l := newLedger(memory.New(), time.Now)
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	for range 2*maxTold + 2*maxHungUp {
		_ = l.begin().end(gone, context.Canceled)
	}
	if n := len(l.hungUp) + len(l.lost); n > maxHungUp {
		t.Errorf("%d are remembered", n)
	}
})
