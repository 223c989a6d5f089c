package app_test

import (
	"errors"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// Nothing noticed when kinds of records were left out of the sweep: a storage grew for ever.
var _ = faulttest.Add("T-maintain-47", func(t *testing.T) {
	clock := time.Now()
	below := memory.New(memory.WithClock(func() time.Time { return clock })) // sees a record still that the sweep must take
	a := open(t, configuration, func(store.Store) store.Store { return below })
	kinds := []string{"device", "revoked", "seen", "request", "code", "login", "refresh", "offline", "answers", "lease"}
	clock = clock.Add(-time.Hour)
	for _, kind := range kinds {
		for key, ends := range map[string]time.Time{"gone": time.Now().Add(-time.Minute), "alive": time.Now().Add(time.Hour)} {
			if _, err := below.Create(t.Context(), store.Record{Kind: kind, Key: key, Expires: ends}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		if _, err := below.Get(t.Context(), kind, "gone"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an expired record of kind %s is still there: %v", kind, err)
		}
		if _, err := below.Get(t.Context(), kind, "alive"); err != nil {
			t.Errorf("a record of kind %s that is alive: %v", kind, err)
		}
	}
})
