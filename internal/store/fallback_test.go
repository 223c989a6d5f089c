package store_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// TestFallback shows that a fallback counts where nothing else does, and never while the storage can't say so.
func TestFallback(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	table := store.In(s, rules().Kind)
	for key, c := range map[string]card{"b": {"b", "stored"}, "m": {"x", "under the key of another one"}} {
		if _, err := table.Create(ctx, key, c); err != nil {
			t.Fatal(err)
		}
	}
	values := map[string]store.Entry[card]{}
	for _, key := range []string{"a", "b", "c", "m"} {
		values[key] = store.Entry[card]{Key: key, Revision: "r", Value: card{key, "fallback"}}
	}
	var f store.Fallback[card]
	catalog := store.NewCatalog(s, rules(), slog.New(slog.DiscardHandler))
	l := store.NewLayered([]*card{{"a", "configured"}}, catalog).Over(&f)
	if _, err := l.Get(ctx, "c"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an empty fallback: %v", err)
	}
	f.Replace(values)
	for key, secret := range map[string]string{"a": "configured", "b": "stored", "c": "fallback"} {
		if e, err := l.Get(ctx, key); err != nil || e.Value.Secret != secret {
			t.Errorf("%s is %+v, %v", key, e, err)
		}
		if has, err := l.Has(ctx, key); !has || err != nil || !l.Knows(key) {
			t.Errorf("%s isn't known: %v, %v", key, has, err)
		}
	}
	if _, err := l.Get(ctx, "m"); !errors.Is(err, store.ErrMisplaced) {
		t.Errorf("a record that says it is another one: %v", err)
	}
	if !l.FallsBack("c") || l.FallsBack("d") || l.Configured("c") {
		t.Error("it is wrong about what is in the fallback")
	}
	var keys []string
	shown, err := l.Stored(ctx)
	for _, e := range shown {
		keys = append(keys, e.Key+" "+e.Value.Secret)
	}
	if err != nil || len(keys) != 3 || keys[0] != "b stored" || keys[2] != "c fallback" {
		t.Errorf("stored and not hidden: %q, %v", keys, err)
	}
	if e, err := l.With(nil).Get(ctx, "a"); err != nil || e.Value.Secret != "fallback" {
		t.Errorf("without the configured one: %+v, %v", e, err)
	}
	f.Replace(nil)
	if _, err := l.Get(ctx, "c"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after it is gone: %v", err)
	}

	f.Replace(values)
	broken := store.NewLayered(nil, store.NewCatalog(unreadable{s}, rules(), slog.New(slog.DiscardHandler))).Over(&f)
	if _, err := broken.Get(ctx, "c"); !errors.Is(err, errUnreadable) {
		t.Errorf("while the storage fails: %v", err)
	}
	if _, err := broken.Stored(ctx); !errors.Is(err, errUnreadable) {
		t.Errorf("a list while the storage fails: %v", err)
	}
}

var errUnreadable = errors.New("the storage can't be read")

// unreadable is a storage that can't be read.
type unreadable struct{ store.Store }

func (unreadable) Get(context.Context, string, string) (store.Record, error) {
	return store.Record{}, errUnreadable
}

func (unreadable) List(context.Context, string, store.Query) ([]store.Record, error) {
	return nil, errUnreadable
}
