package federation_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/store/memory"
)

// source is a connector whose provider is down for a while.
type source struct {
	opened atomic.Int32
	down   atomic.Bool
	slow   time.Duration
}

func (s *source) Open(ctx context.Context, _ connector.Env) (any, error) {
	s.opened.Add(1)
	select {
	case <-time.After(s.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.down.Load() {
		return nil, errors.New("provider is down")
	}
	return s, nil
}

func registry(sources map[string]*source) *federation.Whole {
	var definitions []*federation.Definition
	for id, s := range sources {
		definitions = append(definitions, &federation.Definition{ID: id, Name: id, Config: s})
	}
	return federation.NewWhole(definitions, memory.New(), &url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.NewTextHandler(io.Discard, nil)))
}

func TestOpenedOnceForEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: time.Second}
		r := registry(map[string]*source{"a": s})
		if s.opened.Load() != 0 {
			t.Error("opened before it was needed")
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := r.Open(t.Context(), "a"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := s.opened.Load(); n != 1 {
			t.Errorf("opened %d times, want once", n)
		}
	})
}

func TestFailureRecoversAndStopsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := &source{slow: 10 * time.Second}, &source{}
		bad.down.Store(true)
		r := registry(map[string]*source{"bad": bad, "good": good})
		go func() {
			if _, err := r.Open(t.Context(), "bad"); err == nil {
				t.Error("opened although its provider is down")
			}
		}()
		synctest.Wait()
		if _, err := r.Open(t.Context(), "good"); err != nil {
			t.Errorf("the good one waits for the bad one: %v", err)
		}
		time.Sleep(10*time.Second + time.Millisecond)

		for range 5 { // those who come during the pause don't make it be tried again
			if _, err := r.Open(t.Context(), "bad"); err == nil {
				t.Error("opened although its provider is down")
			}
		}
		if n := bad.opened.Load(); n != 1 {
			t.Errorf("tried %d times, want once", n)
		}
		bad.down.Store(false)
		time.Sleep(time.Second)
		if _, err := r.Open(t.Context(), "bad"); err != nil {
			t.Errorf("did not recover: %v", err)
		}
	})
}

func TestVisitorWhoLeavesDoesNotEndTheTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: time.Second}
		r := registry(map[string]*source{"a": s})
		ctx, leave := context.WithCancel(t.Context())
		go func() { _, _ = r.Open(ctx, "a") }()
		synctest.Wait()
		leave()
		if _, err := r.Open(t.Context(), "a"); err != nil {
			t.Errorf("the next visitor got %v", err)
		}
	})
}

func TestUnknown(t *testing.T) {
	if _, err := registry(nil).Open(t.Context(), "x"); !errors.Is(err, federation.ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
}
