package memory_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s := memory.New()
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

func TestExpiryFollowsTheClock(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := memory.New(memory.WithClock(func() time.Time { return now }))
	expires := now.Add(time.Minute)
	if _, err := s.Create(t.Context(), store.Record{Kind: "k", Key: "a", Expires: expires}); err != nil {
		t.Fatalf("Create: %v", err)
	}
	now = expires.Add(-time.Millisecond)
	if _, err := s.Get(t.Context(), "k", "a"); err != nil {
		t.Errorf("Get a millisecond before the expiry: %v", err)
	}
	now = expires
	if _, err := s.Get(t.Context(), "k", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get at the expiry: got error %v", err)
	}
}

func TestExpiryInASynctestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		if _, err := s.Create(t.Context(), store.Record{Kind: "k", Key: "a", Expires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatalf("Create: %v", err)
		}
		time.Sleep(time.Hour - time.Millisecond)
		if _, err := s.Get(t.Context(), "k", "a"); err != nil {
			t.Errorf("Get a millisecond before the expiry: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := s.Get(t.Context(), "k", "a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get at the expiry: got error %v", err)
		}
	})
}
