package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"dex/internal/store"
	"dex/internal/store/sealed"
)

func TestReseal(t *testing.T) {
	below := newMemory(t)
	const plain, old = 450, 5
	for i := range plain {
		put(t, below, "refresh", fmt.Sprint("clear", i), `{"n":1}`)
	}
	for i := range old {
		put(t, sealed.New(below, keys(t, firstText), nil), "refresh", fmt.Sprint("old", i), `{"n":1}`)
	}
	put(t, below, "keys", "a", `{"n":1}`)
	put(t, below, "client", "a", `{"n":1}`)
	s := sealed.New(below, keys(t, secondText, firstText), []string{"client"})
	kinds := []string{"refresh", "keys", "client", "nothing"}

	var told []string
	got, err := sealed.Reseal(t.Context(), outer{s}, kinds, func(kind string, n int) {
		told = append(told, fmt.Sprint(kind, n))
	})
	if want := (sealed.Resealed{Sealed: plain + old + 1}); err != nil || got != want {
		t.Fatalf("Reseal: got %+v and error %v, want %+v", got, err, want)
	}
	if got := strings.Join(told, " "); got != "refresh200 refresh400 refresh455 keys1 nothing0" {
		t.Errorf("progress: %s", got)
	}
	alone := sealed.New(below, keys(t, secondText), nil)
	for _, place := range [][2]string{{"refresh", "clear0"}, {"refresh", "clear449"}, {"refresh", "old4"}, {"keys", "a"}} {
		if raw := get(t, below, place[0], place[1]); strings.Contains(string(raw.Data), `"n"`) {
			t.Errorf("%q is still in clear", place)
		}
		wantDocument(t, alone, place[0], place[1], `{"n":1}`)
	}
	wantDocument(t, below, "client", "a", `{"n":1}`)

	got, err = sealed.Reseal(t.Context(), s, kinds, nil)
	if want := (sealed.Resealed{Current: plain + old + 1}); err != nil || got != want {
		t.Errorf("Reseal again: got %+v and error %v, want %+v", got, err, want)
	}
}

func TestResealKeepsOwnerAndExpiry(t *testing.T) {
	below := newMemory(t)
	want := store.Record{Kind: "refresh", Key: "a", Owner: "owner", Data: []byte("{}"), Expires: inAnHour()}
	if _, err := below.Create(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	s := sealed.New(below, keys(t, firstText), nil)
	if _, err := sealed.Reseal(t.Context(), s, []string{"refresh"}, nil); err != nil {
		t.Fatalf("Reseal: %v", err)
	}
	if got := get(t, s, "refresh", "a"); got.Owner != "owner" || !got.Expires.Equal(want.Expires) || string(got.Data) != "{}" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestResealGoesOnPastWhatDoesNotOpen(t *testing.T) {
	below := newMemory(t)
	put(t, sealed.New(below, keys(t, secondText), nil), "refresh", "a", "{}")
	put(t, sealed.New(below, keys(t, secondText), nil), "refresh", "b", "{}")
	put(t, below, "refresh", "c", "{}")
	s := sealed.New(below, keys(t, firstText), nil)
	got, err := sealed.Reseal(t.Context(), s, []string{"refresh"}, nil)
	if want := (sealed.Resealed{Sealed: 1, Failed: 2}); !errors.Is(err, sealed.ErrSealed) || got != want {
		t.Errorf("Reseal: got %+v and error %v, want %+v and ErrSealed", got, err, want)
	}
}

func TestResealNeedsAKey(t *testing.T) {
	for want, s := range map[string]store.Store{
		"without its seal": newMemory(t), "DEX_STORAGE_KEY": sealed.New(newMemory(t), sealed.Keys{}, nil),
	} {
		_, err := sealed.Reseal(t.Context(), s, []string{"refresh"}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

// A rival changes every record once, between Reseal's read and its write.
type rival struct {
	store.Store
	change func(r store.Record)
	lost   atomic.Int64
}

func (s *rival) Replace(ctx context.Context, r store.Record) (string, error) {
	if s.lost.Add(1) <= 3 {
		s.change(r)
	}
	return s.Store.Replace(ctx, r)
}

func TestResealAgainstWriters(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, below store.Store, r store.Record){
		"writes in clear": func(t *testing.T, below store.Store, r store.Record) {
			r.Data = []byte(`{"n":2}`)
			if _, err := below.Replace(t.Context(), r); err != nil && !errors.Is(err, store.ErrConflict) {
				t.Errorf("Replace: %v", err)
			}
		},
		"deletes": func(t *testing.T, below store.Store, r store.Record) {
			if err := below.Delete(t.Context(), r.Kind, r.Key, ""); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Delete: %v", err)
			}
		},
	} {
		below := newMemory(t)
		put(t, below, "refresh", "a", `{"n":1}`)
		s := sealed.New(&rival{Store: below, change: func(r store.Record) { change(t, below, r) }}, keys(t, firstText), nil)
		if _, err := sealed.Reseal(t.Context(), s, []string{"refresh"}, nil); err != nil {
			t.Errorf("%s: Reseal: %v", name, err)
		}
		raw, err := below.Get(t.Context(), "refresh", "a")
		switch {
		case name == "deletes":
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: a deleted record came back: error %v", name, err)
			}
		case err != nil || strings.Contains(string(raw.Data), `"n"`):
			t.Errorf("%s: got %q and error %v", name, raw.Data, err)
		default:
			wantDocument(t, s, "refresh", "a", `{"n":2}`)
		}
	}
}

func TestResealEndsWithItsContext(t *testing.T) {
	below := newMemory(t)
	put(t, below, "refresh", "a", "{}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sealed.Reseal(ctx, sealed.New(below, keys(t, firstText), nil), []string{"refresh"}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}
