package federation_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// reads counts what is read of a storage.
type reads struct {
	store.Store
	n int
}

func (r *reads) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r.n++
	return r.Store.Get(ctx, kind, key)
}

func (r *reads) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	r.n++
	return r.Store.List(ctx, kind, q)
}

// Whoever asked for the metadata of connectors that there are none of had the storage read each time.
var _ = faulttest.Add("R27", func(t *testing.T) {
	s := &reads{Store: memory.New()}
	r := federation.NewWhole([]*federation.Definition{{ID: "configured"}}, s, &url.URL{Scheme: "https", Host: "dex.test"}, slog.New(slog.DiscardHandler))
	if _, err := store.In(s, federation.Kind).Create(t.Context(), "stored", federation.Definition{ID: "stored", Type: "mockCallback"}); err != nil {
		t.Fatal(err)
	}
	known := func(id string) bool {
		t.Helper()
		known, err := r.Knows(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	if !known("configured") || !known("stored") || known("") {
		t.Error("what there is, is not known")
	}
	before := s.n
	for i := range 1000 {
		if known(fmt.Sprint("random", i)) {
			t.Error("a connector is known that there is none of")
		}
	}
	if s.n != before {
		t.Errorf("strangers cost %d reads", s.n-before)
	}
})
