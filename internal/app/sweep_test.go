package app_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/event"
	"dex/internal/store"
)

type keepsake struct{ Ends time.Time }

var keepsakes = store.Declare(store.Declaration[keepsake]{
	Name: "testownsweep", Expires: func(k *keepsake) time.Time { return k.Ends }, OwnSweep: true,
})

// sweptEvents remembers what was swept, by kind.
type sweptEvents struct {
	sync.Mutex
	removed map[string]int
}

// Emit implements event.Sink.
func (s *sweptEvents) Emit(_ context.Context, e event.Event) {
	s.Lock()
	defer s.Unlock()
	if swept, ok := e.(event.Swept); ok {
		s.removed[swept.Kind] += swept.Removed
	}
}

// A room that sweeps its records itself sees each before it is gone, and its trouble is nobody else's.
func TestRoomsSweepThemselves(t *testing.T) {
	var kept store.Store
	events := &sweptEvents{removed: map[string]int{}}
	a := open(t, configuration, func(inner store.Store) store.Store { kept = inner; return inner },
		func(o *app.Options) { o.Events = append(o.Events, events) })
	table := store.In(kept, keepsakes)
	for _, key := range []string{"a", "b", "c"} {
		if _, err := table.Create(t.Context(), key, keepsake{Ends: time.Now().Add(-time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kept.Create(t.Context(), store.Record{Kind: "code", Key: "a", Expires: time.Now().Add(-time.Minute)}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	a.AddRoomSweep("testbroken", func(context.Context, func(context.Context) error) (int, error) { return 0, broken })
	var seen []string
	a.AddRoomSweep(keepsakes.Name(), func(ctx context.Context, renew func(context.Context) error) (int, error) {
		return store.Reap(ctx, table, time.Now(), 2, func(ctx context.Context, e store.Entry[keepsake]) error {
			if e.Key == "c" {
				return broken
			}
			seen = append(seen, e.Key)
			return renew(ctx)
		})
	})
	if err := a.Sweep(t.Context()); !errors.Is(err, broken) {
		t.Errorf("sweep: got error %v, want that of the room that is broken", err)
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []string{"a", "b"}) {
		t.Errorf("the room saw %q", seen)
	}
	left, err := table.Expired(t.Context(), time.Now(), 0)
	if err != nil || len(left) != 1 || left[0].Key != "c" {
		t.Errorf("left are %+v, error %v; want only c", left, err)
	}
	if events.removed[keepsakes.Name()] != 2 || events.removed["code"] != 1 {
		t.Errorf("told of %v", events.removed)
	}
}

// Nobody would notice for months that a kind is left to a room that does nothing.
func TestKindsWithOwnSweepHaveOne(t *testing.T) {
	a := open(t, configuration, func(inner store.Store) store.Store { return inner })
	for _, f := range store.Kinds() {
		if f.OwnSweep && !strings.HasPrefix(f.Name, "test") && !slices.Contains(a.RoomSweeps(), f.Name) {
			t.Errorf("nobody sweeps the kind %s", f.Name)
		}
	}
}
