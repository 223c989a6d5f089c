package federation_test

import (
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"testing"

	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// Connectors of a fallback are opened, replaced and removed as stored ones are, and hidden by those.
func TestConnectorsOfAFallback(t *testing.T) {
	s := memory.New()
	var f store.Fallback[federation.Definition]
	p := federation.NewPoolOver(&f, s, &url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler), event.Discard)
	r := p.Registry(nil)
	p.Use(r)
	w := &federation.Whole{Pool: p, Registry: r}
	put := func(revision string, all ...federation.Definition) {
		values := map[string]store.Entry[federation.Definition]{}
		for _, d := range all {
			values[d.ID] = store.Entry[federation.Definition]{Key: d.ID, Revision: revision, Value: d}
		}
		f.Replace(values)
		p.Look()
	}
	put("1", passwordSource("x", "First", "secret"), passwordSource("y", "Second", "secret"))
	if got := names(t, w); !slices.Equal(got, []string{"First", "Second"}) {
		t.Errorf("got %q", got)
	}
	first, err := r.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	put("1", passwordSource("x", "First", "secret"))
	if again, err := r.Open(t.Context(), "x"); err != nil || again.Instance != first.Instance {
		t.Errorf("the same revision is opened anew: %v", err)
	}
	put("2", passwordSource("x", "Renamed", "other"))
	if again, err := r.Open(t.Context(), "x"); err != nil || again.Instance == first.Instance || again.Name != "Renamed" {
		t.Errorf("another revision is not opened anew: %v", err)
	}
	if _, err := r.Open(t.Context(), "y"); !errors.Is(err, federation.ErrUnknown) {
		t.Errorf("one that was removed: %v", err)
	}
	if _, err := federation.NewCatalog(s, nil).Create(t.Context(), passwordSource("x", "Stored", "secret")); err != nil {
		t.Fatal(err)
	}
	p.Forget(store.Change{Kind: federation.Kind.Name(), Key: "x"})
	if got := names(t, w); !slices.Equal(got, []string{"Stored"}) {
		t.Errorf("beside a stored one: %q", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
