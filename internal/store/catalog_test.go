package store_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/memory"
)

type card struct{ ID, Secret string }

var cards = store.Declare(store.Declaration[card]{Name: "card"})

var errNoSecret = errors.New("secret: is required")

func rules() store.Rules[card] {
	return store.Rules[card]{
		Kind: cards,
		Key:  func(c *card) string { return c.ID },
		Validate: func(c *card) error {
			if c.Secret == "" {
				return errNoSecret
			}
			return nil
		},
		Conceal: func(before, c *card) {
			if c.Secret != before.Secret {
				c.Secret = "hash of " + c.Secret
			}
		},
	}
}

func TestCatalog(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	var log strings.Builder
	c := store.NewCatalog(s, rules(), slog.New(slog.NewTextHandler(&log, nil)))
	invalid := func(name string, err error) {
		t.Helper()
		if _, ok := errors.AsType[*store.InvalidError](err); !ok {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	_, err := c.Create(ctx, card{ID: "a"})
	invalid("no secret", err)
	_, err = c.Create(ctx, card{Secret: "s"})
	invalid("no key", err)
	_, err = c.Create(ctx, card{ID: strings.Repeat("k", store.MaxKey+1), Secret: "s"})
	invalid("a key too long", err)
	_, err = c.Adopt(ctx, card{ID: "a", Secret: strings.Repeat("s", store.MaxDocument)})
	invalid("too large", err)

	if e, err := c.Create(ctx, card{"a", "s"}); err != nil || e.Value.Secret != "hash of s" {
		t.Errorf("created %+v, %v", e, err)
	}
	if _, err := c.Create(ctx, card{"a", "s"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("created again: %v", err)
	}
	_, err = c.Update(ctx, "a", func(c *card) error { c.Secret = ""; return nil })
	invalid("updated to none", err)
	_, err = c.Update(ctx, "a", func(c *card) error { c.ID = "b"; return nil })
	invalid("renamed", err)
	if _, err := c.Update(ctx, "a", func(*card) error { return nil }); err != nil {
		t.Error(err)
	}
	if e, err := c.Get(ctx, "a"); err != nil || e.Value.Secret != "hash of s" {
		t.Errorf("updated without a change: %+v, %v", e, err)
	}
	if _, err := c.Update(ctx, "a", func(c *card) error { c.Secret = "t"; return nil }); err != nil {
		t.Error(err)
	}
	if e, err := c.Get(ctx, "a"); err != nil || e.Value.Secret != "hash of t" {
		t.Errorf("its own update isn't seen at once: %+v, %v", e, err)
	}
	if created, err := c.Adopt(ctx, card{"a", "u"}); created || err != nil {
		t.Errorf("adopted what is there: %t, %v", created, err)
	}
	if list, err := c.List(ctx, store.Query{Limit: 10}); err != nil || len(list) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	if err := c.Delete(ctx, "a", ""); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}

	if created, err := c.Adopt(ctx, card{ID: "old"}); !created || err != nil {
		t.Errorf("what upstream left was refused: %t, %v", created, err)
	}
	for range 2 {
		if e, err := c.Get(ctx, "old"); err != nil || e.Value.ID != "old" {
			t.Errorf("what isn't valid is kept back: %+v, %v", e, err)
		}
		c.Forget(store.Change{})
	}
	if n := strings.Count(log.String(), `msg="stored card is not valid" id=old err="secret: is required"`); n != 1 {
		t.Errorf("told of %d times, want once:\n%s", n, log.String())
	}
}

func TestLayered(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	table := store.In(s, rules().Kind)
	for key, c := range map[string]card{"a": {"a", "stored"}, "b": {"b", "stored"}, "c": {"x", "stored"}} {
		if _, err := table.Create(ctx, key, c); err != nil {
			t.Fatal(err)
		}
	}
	l := store.NewLayered([]*card{{"a", "first"}, {"a", "last"}}, store.NewCatalog(s, rules(), slog.New(slog.DiscardHandler)))
	want := func(l *store.Layered[card], key, secret string) {
		t.Helper()
		if e, err := l.Get(ctx, key); err != nil || e.Value.Secret != secret || (e.Revision == "") != l.Configured(key) {
			t.Errorf("%s is %+v, %v", key, e, err)
		}
	}
	want(l, "a", "last")
	want(l, "b", "stored")
	if e, err := l.Get(ctx, "c"); !errors.Is(err, store.ErrMisplaced) || e.Key != "c" {
		t.Errorf("under the key of another one: %+v, %v", e, err)
	}
	for _, key := range []string{"", "d", strings.Repeat("k", store.MaxKey+1)} {
		if _, err := l.Get(ctx, key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%.10q: %v", key, err)
		}
	}
	if !l.Knows("a") || !l.Knows("b") || l.Knows("d") {
		t.Error("doesn't know what it has been asked for")
	}
	if list, err := l.Stored(ctx); err != nil || len(list) != 2 {
		t.Errorf("stored and not hidden: %v, %v", list, err)
	}
	other := l.With([]*card{{"b", "configured"}})
	want(other, "a", "stored")
	want(other, "b", "configured")
	want(l, "a", "last")
	for key, there := range map[string]bool{"a": true, "b": true, "d": false} {
		if has, err := other.Has(ctx, key); err != nil || has != there {
			t.Errorf("has %s: %t, %v", key, has, err)
		}
	}
}
