package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dex/internal/store"
)

func covers(c store.Change, kind, key string) bool {
	return c.Kind == "" || c.Kind == kind && (c.Key == "" || c.Key == key)
}

func (f *fixture) watch(ctx context.Context, s store.Store) <-chan store.Change {
	f.Helper()
	changes, err := s.Watch(ctx)
	if err != nil {
		f.Fatalf("Watch: %v", err)
	}
	return changes
}

// wantChange reads changes until one stands for the key.
func wantChange(t *testing.T, changes <-chan store.Change, kind, key string) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case c, open := <-changes:
			if !open {
				t.Fatal("the channel was closed")
			}
			if covers(c, kind, key) {
				return
			}
		case <-end:
			t.Fatalf("no change of %s after %v", key, patience)
		}
	}
}

func wantClosed(t *testing.T, changes <-chan store.Change) {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case _, open := <-changes:
			if !open {
				return
			}
		case <-end:
			t.Fatalf("the channel is still open after %v", patience)
		}
	}
}

var watchCases = []testCase{
	{"SeesEveryKindOfWrite", func(f *fixture) {
		changes := f.watch(f.ctx, f.Store)
		r := f.record("a")
		r.Revision = f.create(r)
		wantChange(f.T, changes, f.kind, "a")
		if _, err := f.Replace(f.ctx, r); err != nil {
			f.Fatalf("Replace: %v", err)
		}
		wantChange(f.T, changes, f.kind, "a")
		if err := f.Delete(f.ctx, f.kind, "a", ""); err != nil {
			f.Fatalf("Delete: %v", err)
		}
		wantChange(f.T, changes, f.kind, "a")
	}},
	{"ChangeIsReadableWhenReported", func(f *fixture) {
		changes := f.watch(f.ctx, f.Store)
		for i := range 20 {
			go func() { _, _ = f.Create(f.ctx, f.record(fmt.Sprint(i))) }()
			wantChange(f.T, changes, f.kind, fmt.Sprint(i))
			f.get(fmt.Sprint(i))
		}
	}},
	{"EveryWatcherIsTold", func(f *fixture) {
		first, second := f.watch(f.ctx, f.Store), f.watch(f.ctx, f.Store)
		f.create(f.record("a"))
		wantChange(f.T, first, f.kind, "a")
		wantChange(f.T, second, f.kind, "a")
	}},
	{"SlowWatcherHoldsNobodyUp", func(f *fixture) {
		changes := f.watch(f.ctx, f.Store)
		keys := f.fill(listed)
		f.create(f.record("last"))
		missed := make(map[string]bool, len(keys))
		for _, key := range keys {
			missed[key] = true
		}
		end := time.After(patience)
		for last := false; !last; {
			select {
			case c := <-changes:
				if c.Key == "" {
					clear(missed)
				}
				delete(missed, c.Key)
				last = covers(c, f.kind, "last") && len(missed) == 0
			case <-end:
				f.Fatalf("%d changes were neither reported nor stood for", len(missed))
			}
		}
	}},
	{"ChannelClosesWithTheContext", func(f *fixture) {
		ctx, cancel := context.WithCancel(f.ctx)
		changes := f.watch(ctx, f.Store)
		other := f.watch(f.ctx, f.Store)
		f.create(f.record("a"))
		cancel()
		wantClosed(f.T, changes)
		f.create(f.record("b"))
		wantChange(f.T, other, f.kind, "b")
	}},
	{"ChannelClosesWithTheStore", func(f *fixture) {
		changes := f.watch(f.ctx, f.Store)
		if err := f.Close(); err != nil {
			f.Fatalf("Close: %v", err)
		}
		wantClosed(f.T, changes)
	}},
}
