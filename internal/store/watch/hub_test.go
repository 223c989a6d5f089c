package watch_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dex/internal/store"
	"dex/internal/store/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func subscribe(ctx context.Context, t *testing.T, h *watch.Hub) <-chan store.Change {
	t.Helper()
	changes, err := h.Subscribe(ctx)
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	return changes
}

func TestEveryWatcherHearsEveryChangeInOrder(t *testing.T) {
	var h watch.Hub
	defer h.Close()
	first, second := subscribe(t.Context(), t, &h), subscribe(t.Context(), t, &h)
	want := []store.Change{{Kind: "a", Key: "1"}, {Kind: "a", Key: "2"}, {Kind: "b", Key: "1"}}
	for _, c := range want {
		h.Publish(c)
	}
	for _, c := range want {
		if got := <-first; got != c {
			t.Errorf("first watcher got %v, want %v", got, c)
		}
		if got := <-second; got != c {
			t.Errorf("second watcher got %v, want %v", got, c)
		}
	}
}

func TestSlowWatcherGetsOneChangeForThoseItMissed(t *testing.T) {
	var h watch.Hub
	changes := subscribe(t.Context(), t, &h)
	const published = 65 // one more than a watcher may be behind
	for i := range published {
		h.Publish(store.Change{Kind: "a", Key: strconv.Itoa(i)})
	}
	h.Close()
	var got []store.Change
	for c := range changes {
		got = append(got, c)
	}
	if len(got) != 1 || got[0] != (store.Change{}) {
		t.Errorf("got %v, want one empty change", got)
	}
}

func TestChannelClosesWhenTheContextEnds(t *testing.T) {
	var h watch.Hub
	defer h.Close()
	ctx, cancel := context.WithCancel(t.Context())
	changes := subscribe(ctx, t, &h)
	if !h.Watched() {
		t.Error("Watched is false with a watcher")
	}
	cancel()
	select {
	case _, open := <-changes:
		if open {
			t.Error("got a change, want a closed channel")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the channel is still open")
	}
	if h.Watched() {
		t.Error("Watched is true without a watcher")
	}
	h.Publish(store.Change{Kind: "a"}) // must not send on the closed channel
	if _, err := h.Subscribe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Subscribe with an ended context: %v", err)
	}
}

func TestClose(t *testing.T) {
	var h watch.Hub
	changes := subscribe(t.Context(), t, &h)
	h.Close()
	h.Close()
	if _, open := <-changes; open {
		t.Error("the channel is still open")
	}
	if _, err := h.Subscribe(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Subscribe after Close: %v", err)
	}
}
