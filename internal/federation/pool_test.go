package federation_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// replace puts another configuration's connectors in use, as a reload does, and returns them.
func (w *ward) replace(configured map[string]connector.Config) *federation.Registry {
	w.t.Helper()
	before := w.Registry
	w.Registry = w.Pool.Registry(definitions(configured))
	w.Use(w.Registry)
	if err := before.Release(); err != nil {
		w.t.Error(err)
	}
	synctest.Wait()
	return w.Registry
}

// ids returns the connectors whose health is shown.
func (w *ward) ids() string {
	var ids []string
	for _, h := range w.Health() {
		ids = append(ids, h.ID)
	}
	return strings.Join(ids, " ")
}

func wantPatient(t *testing.T, p *patient, opened, closed int) {
	t.Helper()
	if o, _, c := p.counts(); o != opened || c != closed {
		t.Errorf("opened %d times and closed %d times, want %d and %d", o, c, opened, closed)
	}
}

// A connector with the same settings goes over with its health, and one that no registry has any more is neither open nor asked.
func TestRegistriesThatReplaceEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, gone, added := &patient{}, &patient{}, &patient{}
		kept.set(nil, sick)
		w := newWard(t, memory.New(), map[string]connector.Config{"kept": kept, "gone": gone})
		pass(time.Minute)
		before := w.of("kept")

		r := w.replace(map[string]connector.Config{"kept": kept, "added": added})
		if all, fresh := r.Size(); all != 2 || fresh != 1 {
			t.Errorf("%d connectors, %d of them new", all, fresh)
		}
		if after := w.of("kept"); after.Failures < before.Failures || !after.Since.Equal(before.Since) {
			t.Errorf("health %+v, before %+v", after, before)
		}
		wantPatient(t, kept, 1, 0)
		wantPatient(t, gone, 1, 1)
		wantPatient(t, added, 1, 0) // without anybody who needs it
		if n := gone.questions(3 * time.Minute); n != 0 {
			t.Errorf("one that went was asked %d times", n)
		}
		if ids := w.ids(); ids != "added kept" {
			t.Errorf("there are %s", ids)
		}

		w.replace(map[string]connector.Config{"gone": gone}) // it is opened anew
		wantPatient(t, gone, 2, 1)
		wantPatient(t, kept, 1, 1)
	})
}

// A source stays open for as long as one of the registries that have it is not released.
func TestSourceOfSeveralRegistries(t *testing.T) {
	p := &patient{}
	w := federation.NewWhole(definitions(map[string]connector.Config{"a": p}), memory.New(), issuerURL, discard)
	first, second := w.Registry, w.Pool.Registry(definitions(map[string]connector.Config{"a": p}))
	w.Use(second)
	opened, err := second.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := first.Open(t.Context(), "a"); err != nil || again.Instance != opened.Instance {
		t.Errorf("the older registry has another instance, error %v", err)
	}
	w.Use(w.Pool.Registry(nil))
	for _, r := range []*federation.Registry{second, first} {
		wantPatient(t, p, 1, 0)
		if err := r.Release(); err != nil {
			t.Error(err)
		}
	}
	wantPatient(t, p, 1, 1)
}

// A configured connector hides a stored one of its id, which comes back when the configuration has it no more.
func TestStoredSourceIsHiddenAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stored, configured := memory.New(), &patient{}, &patient{}
		federation.Register(t, "patient", stored)
		if _, err := store.In(s, federation.Kind).Create(t.Context(), "p", storedPatient("Stored")); err != nil {
			t.Fatal(err)
		}
		w := newWard(t, s, nil)
		wantPatient(t, stored, 1, 0)
		older := w.Registry

		w.replace(map[string]connector.Config{"p": configured})
		if _, err := older.Open(t.Context(), "p"); err != nil { // a request that began before
			t.Fatal(err)
		}
		if ids := w.ids(); ids != "p" {
			t.Errorf("there are %s", ids)
		}
		pass(5 * time.Minute)
		opened, _, closed := stored.counts()
		if closed != opened {
			t.Errorf("the hidden one was opened %d times and closed %d times", opened, closed)
		}
		wantPatient(t, configured, 1, 0)

		w.replace(nil)
		wantPatient(t, stored, opened+1, closed)
		wantPatient(t, configured, 1, 1)
	})
}
