package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/memory"
)

func wantPanic(t *testing.T, what string, call func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	call()
}

func TestDeclare(t *testing.T) {
	for what, name := range map[string]string{
		"no name": "", "a name that is too long": strings.Repeat("k", store.MaxKey+1), "a name that is taken": "lease",
	} {
		wantPanic(t, what, func() { store.Declare(store.Declaration[note]{Name: name}) })
	}
	kind := store.Declare(store.Declaration[note]{Name: "declared", Durable: true, Quiet: true, Kubernetes: store.EditedObject})
	want := store.Facts{Name: "declared", Durable: true, Quiet: true, Kubernetes: store.EditedObject}
	if got, ok := store.FactsOf("declared"); kind.Name() != "declared" || !ok || got != want || !slices.Contains(store.Kinds(), want) {
		t.Errorf("the facts are %+v, %v", got, ok)
	}
	ends := func(*note) (never time.Time) { return never }
	store.Declare(store.Declaration[note]{Name: "swept", Expires: ends})
	store.Declare(store.Declaration[note]{Name: "swept by its room", Expires: ends, OwnSweep: true})
	if swept := store.ExpiringKinds(); !slices.Contains(swept, "swept") || slices.Contains(swept, "swept by its room") {
		t.Errorf("to be swept: %q", swept)
	}
	if f, _ := store.FactsOf("swept by its room"); !f.Expires || !f.OwnSweep {
		t.Errorf("swept by its room: %+v", f)
	}
	if open := store.OpenKinds(false); !slices.Equal(open, []string{"lease"}) {
		t.Errorf("open without objects: %q", open)
	}
	if open := store.OpenKinds(true); !slices.Equal(open, []string{"declared", "lease"}) {
		t.Errorf("open with objects: %q", open)
	}
}

// What nobody declared can't be opened, and what a newer release has left is told of.
func TestKindsThatNobodyDeclared(t *testing.T) {
	wantPanic(t, "In", func() { store.In(memory.New(), new(store.Kind[note])) })
	if _, ok := store.FactsOf("newer"); ok || !store.Announced("newer") {
		t.Errorf("a kind that nobody declared: known %v, announced %v", ok, store.Announced("newer"))
	}
}
