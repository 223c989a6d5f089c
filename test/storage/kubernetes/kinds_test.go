package kubernetes_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/sealed"
	"dex/internal/store/storetest"
)

// TestKindsAreTreatedAsTheySay uses kinds whose names the storage does not know.
func TestKindsAreTreatedAsTheySay(t *testing.T) {
	environment := func(name string) (string, bool) {
		return strings.Repeat("a storage key ", 3), name == "DEX_STORAGE_KEY"
	}
	keys, err := sealed.ReadKeys(environment, "")
	if err != nil {
		t.Fatal(err)
	}
	n := fresh(t)
	below, other := open(t, config(n), quiet), open(t, config(n), quiet)
	s := sealed.New(below, keys, store.OpenKinds(true))
	storetest.RunKinds(t, s, below, other, func(ctx context.Context) error {
		var errs []error
		for _, kind := range store.ExpiringKinds() {
			_, err := s.Sweep(ctx, kind, time.Now(), 0)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}
