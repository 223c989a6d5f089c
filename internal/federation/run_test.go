package federation_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func storedPatient(name string) federation.Definition {
	return federation.Definition{ID: "p", Type: "patient", Name: name}
}

func rename(t *testing.T, s store.Store, name string) {
	t.Helper()
	_, err := store.In(s, federation.Kind).Update(t.Context(), "p", func(d *federation.Definition) error {
		d.Name = name
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoredSourcesComeAndGo(t *testing.T) {
	for name, told := range map[string]bool{"the change is reported": true, "nobody reports the change": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := &patient{}, memory.New()
				federation.Register(t, "patient", p)
				w := newWard(t, s, map[string]connector.Config{"other": &patient{}})
				notice := func() {
					if !told {
						pass(70 * time.Second)
						return
					}
					w.Forget(store.Change{Kind: federation.Kind.Name(), Key: "p"})
					pass(time.Millisecond)
				}
				if n := len(w.Health()); n != 1 {
					t.Fatalf("%d connectors at first", n)
				}

				table := store.In(s, federation.Kind)
				if _, err := table.Create(t.Context(), "p", storedPatient("First")); err != nil {
					t.Fatal(err)
				}
				notice()
				if h := w.of("p"); h.Checked.IsZero() || h.Err != nil || h.Type != "patient" {
					t.Errorf("after it came: %+v", h)
				}

				rename(t, s, "Second")
				notice()
				if opened, _, closed := p.counts(); opened != 2 || closed != 0 {
					t.Errorf("after a change: opened %d times, closed %d times while requests may use it", opened, closed)
				}
				pass(3 * time.Minute)
				if opened, _, closed := p.counts(); opened != 2 || closed != 1 {
					t.Errorf("some time after a change: opened %d times, closed %d times", opened, closed)
				}

				if err := table.Delete(t.Context(), "p", ""); err != nil {
					t.Fatal(err)
				}
				notice()
				if n := len(w.Health()); n != 1 || w.Failing("p") {
					t.Errorf("%d connectors after one went", n)
				}
				if n := p.questions(3 * time.Minute); n != 0 {
					t.Errorf("asked %d times after it went", n)
				}
				if _, _, closed := p.counts(); closed != 2 {
					t.Errorf("closed %d times", closed)
				}
			})
		})
	}
}

// One stored connector goes and another comes, while a third is hidden by the configuration.
func TestSourceThatIsReplacedByAnotherOneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		federation.Register(t, "patient", &patient{})
		table := store.In(s, federation.Kind)
		create := func(id string) {
			if _, err := table.Create(t.Context(), id, federation.Definition{ID: id, Type: "patient", Name: id}); err != nil {
				t.Fatal(err)
			}
		}
		create("hidden")
		create("old")
		w := newWard(t, s, map[string]connector.Config{"hidden": &patient{}})
		if err := table.Delete(t.Context(), "old", ""); err != nil {
			t.Fatal(err)
		}
		create("new")
		w.Forget(store.Change{})
		synctest.Wait()
		var ids []string
		for _, h := range w.Health() {
			ids = append(ids, h.ID)
		}
		if got := strings.Join(ids, " "); got != "hidden new" {
			t.Errorf("there are %s", got)
		}
	})
}

func TestStoredSourceThatCantBeUsedIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		d := federation.Definition{ID: "p", Type: "telepathy", Name: "P"}
		if _, err := store.In(s, federation.Kind).Create(t.Context(), "p", d); err != nil {
			t.Fatal(err)
		}
		w := newWard(t, s, nil)
		if h := w.of("p"); h.Err == nil || !strings.Contains(h.Err.Error(), "telepathy") || h.Since.IsZero() {
			t.Errorf("got %+v", h)
		}
	})
}

// broken is a storage that can't list anything while it is down.
type broken struct {
	store.Store
	down atomic.Bool
}

func (b *broken) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	if b.down.Load() {
		return nil, errors.New("the storage is down")
	}
	return b.Store.List(ctx, kind, q)
}

func TestSourcesAreWatchedWhileTheStorageIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &broken{Store: memory.New()}
		p := &patient{}
		federation.Register(t, "patient", p)
		if _, err := store.In(s, federation.Kind).Create(t.Context(), "p", storedPatient("P")); err != nil {
			t.Fatal(err)
		}
		s.down.Store(true)
		configured := &patient{}
		w := newWard(t, s, map[string]connector.Config{"configured": configured})
		if n := configured.questions(5 * time.Minute); n < 8 {
			t.Errorf("the configured one is asked %d times in five minutes", n)
		}
		s.down.Store(false)
		pass(40 * time.Second)
		if w.of("p").Checked.IsZero() {
			t.Error("the stored one is not watched once the storage works")
		}
		s.down.Store(true)
		pass(time.Minute)
		if n := p.questions(5 * time.Minute); n < 8 {
			t.Errorf("the stored one is asked %d times in five minutes", n)
		}
		if n := strings.Count(w.log.String(), "the storage is down"); n != 2 {
			t.Errorf("told of %d times, want once for each time that it was down:\n%s", n, w.log)
		}
	})
}

func TestCloseClosesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configured, stored, s := &patient{}, &patient{}, memory.New()
		federation.Register(t, "patient", stored)
		if _, err := store.In(s, federation.Kind).Create(t.Context(), "p", storedPatient("P")); err != nil {
			t.Fatal(err)
		}
		r := federation.NewWhole([]*federation.Definition{{ID: "a", Config: configured}, {ID: "unused", Config: &patient{}}},
			s, &url.URL{}, slog.New(slog.DiscardHandler))
		open := func(id string) error { _, err := r.Open(t.Context(), id); return err }
		if err := errors.Join(open("a"), open("p")); err != nil {
			t.Fatal(err)
		}
		rename(t, s, "Changed")
		r.Forget(store.Change{})
		if err := open("p"); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, _, closed := configured.counts(); closed != 1 {
			t.Errorf("the configured one is closed %d times", closed)
		}
		if _, _, closed := stored.counts(); closed != 2 {
			t.Errorf("the stored one and what it was before are closed %d times", closed)
		}
		if err := open("a"); !errors.Is(err, federation.ErrDown) {
			t.Errorf("open after the end: got error %v", err)
		}
	})
}

func TestSourceThatOpensAfterTheEndIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		p.set(func() error { time.Sleep(time.Second); return nil }, nil)
		r := federation.NewWhole([]*federation.Definition{{ID: "a", Config: p}}, memory.New(), &url.URL{}, slog.New(slog.DiscardHandler))
		ended := make(chan error)
		go func() { _, err := r.Open(t.Context(), "a"); ended <- err }()
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, federation.ErrDown) {
			t.Errorf("got error %v", err)
		}
		if opened, _, closed := p.counts(); opened != 1 || closed != 1 {
			t.Errorf("opened %d times, closed %d times", opened, closed)
		}
	})
}
