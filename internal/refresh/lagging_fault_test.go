package refresh

import (
	"context"
	"errors"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/store"
	"dex/internal/token"
)

// lagging is a server of a cluster that has not applied the last change of any record yet.
type lagging struct {
	store.Store
	before map[string]store.Record
}

func (l *lagging) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if r, ok := l.before[key]; ok && !store.WantsLatest(ctx) {
		return r, nil
	}
	return l.Store.Get(ctx, kind, key)
}

// A replica at a server that was a moment behind refused the refresh token that another replica had just given out, since
// the record that it read did not know it.
var _ = faulttest.Add("O12", func(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true})
	shown := b.begin()
	before, err := b.store.Get(t.Context(), "refresh", "f")
	if err != nil {
		t.Fatal(err)
	}
	shown = b.mustRefresh(shown)
	behind := *b
	behind.Families = New(&lagging{b.store, map[string]store.Record{"f": before}}, b.lifetimes, b.answers, b.now, b.log)
	read, _ := Read(shown)
	p, err := behind.Present(t.Context(), read, someone.ClientID)
	if err != nil || !p.Current {
		t.Fatalf("the token of another replica: %+v, %v", p, err)
	}
	if _, err := behind.Advance(t.Context(), p, p.Identity); err != nil {
		t.Errorf("advance: %v", err)
	}
	inspected, err := behind.Inspect(t.Context(), shown)
	if errors.Is(err, token.ErrRefused) {
		t.Errorf("Inspect: %+v, %v", inspected, err)
	}
})
