package federation_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// told is a connector that keeps what it is told.
type told struct{ env connector.Env }

func (c *told) Open(_ context.Context, env connector.Env) (any, error) {
	c.env = env
	return c, nil
}

// What counts once counts once at all connectors of all replicas: two may be of one source.
func TestWhatCountsOnce(t *testing.T) {
	s := memory.New()
	var all []*told
	for range 2 { // replicas
		a, b := &told{}, &told{}
		r := federation.NewWhole([]*federation.Definition{{ID: "a", Config: a}, {ID: "b", Config: b}}, s,
			&url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler))
		for _, id := range []string{"a", "b"} {
			if _, err := r.Open(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, a, b)
	}
	for i, c := range all {
		first, err := c.env.Once(t.Context(), "ticket of jane", time.Now().Add(time.Hour))
		if err != nil || first != (i == 0) {
			t.Errorf("connector %d: first is %t, %v", i, first, err)
		}
	}
	if first, err := all[0].env.Once(t.Context(), "another ticket", time.Now().Add(time.Hour)); err != nil || !first {
		t.Errorf("another ticket: first is %t, %v", first, err)
	}
	if first, err := all[0].env.Once(t.Context(), "over", time.Now().Add(-time.Hour)); err != nil || !first {
		t.Errorf("what is over: first is %t, %v", first, err)
	}
	broken := &told{}
	r := federation.NewWhole([]*federation.Definition{{ID: "a", Config: broken}}, down{s},
		&url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler))
	if _, err := r.Open(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if first, err := broken.env.Once(t.Context(), "x", time.Now().Add(time.Hour)); err == nil || first {
		t.Errorf("a storage that is down: first is %t, %v", first, err)
	}
}

// down is a storage that writes nothing.
type down struct{ store.Store }

func (down) Create(context.Context, store.Record) (string, error) {
	return "", errors.New("storage is down")
}
