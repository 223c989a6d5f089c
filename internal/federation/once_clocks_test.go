package federation_test

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// kept is a storage that tells until when the last record is kept.
type kept struct {
	store.Store
	until *time.Time
}

func (k kept) Create(ctx context.Context, r store.Record) (string, error) {
	*k.until = r.Expires
	return k.Store.Create(ctx, r)
}

// A replica whose clock is ahead must not forget what another would still take.
func TestWhatCountsOnceOutlivesDifferencesOfClocks(t *testing.T) {
	var until time.Time
	c := &told{}
	r := federation.NewWhole([]*federation.Definition{{ID: "a", Config: c}}, kept{memory.New(), &until},
		&url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler))
	if _, err := r.Open(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Hour)
	if first, err := c.env.Once(t.Context(), "assertion", end); err != nil || !first {
		t.Fatalf("first is %t, %v", first, err)
	}
	if until.Before(end.Add(time.Minute)) {
		t.Errorf("an assertion that ends at %v is remembered until %v", end, until)
	}
}
