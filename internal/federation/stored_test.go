package federation_test

import (
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dex/internal/connector/mock"
	"dex/internal/federation"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func passwordSource(id, name, password string) federation.Definition {
	return federation.Definition{
		ID: id, Type: "mockPassword", Name: name, Settings: []byte(`{"username":"u","password":"` + password + `"}`),
	}
}

func names(t *testing.T, r *federation.Whole) []string {
	t.Helper()
	list, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		names = append(names, d.Name)
	}
	return names
}

func TestStoredConnectors(t *testing.T) {
	s := memory.New()
	table := store.In(s, federation.Kind)
	for key, d := range map[string]federation.Definition{
		"b":       passwordSource("b", "Bees", "secret"),
		"static":  passwordSource("static", "Hidden", "secret"),
		"unknown": {ID: "unknown", Type: "telepathy", Name: "Unknown"},
		"broken":  {ID: "broken", Type: "mockPassword", Name: "Broken", Settings: []byte(`{"username": []}`)},
		"other":   passwordSource("b", "Other", "secret"),
	} {
		if _, err := table.Create(t.Context(), key, d); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	r := federation.NewWhole([]*federation.Definition{
		{ID: "static", Name: "ants", Config: &mock.CallbackConfig{}}, {ID: "later", Type: "ldap", Name: "Later"},
	}, s,
		&url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.NewTextHandler(&log, nil)))

	for range 2 {
		if got, want := names(t, r), []string{"ants", "Bees"}; !slices.Equal(got, want) {
			t.Errorf("got the connectors %q, want %q", got, want)
		}
	}
	for _, id := range []string{"unknown", "broken", "other"} {
		if n := strings.Count(log.String(), "connector_id="+id); n != 1 {
			t.Errorf("connector %s is told of %d times, want once:\n%s", id, n, log.String())
		}
		if _, err := r.Open(t.Context(), id); err == nil || errors.Is(err, federation.ErrUnknown) {
			t.Errorf("open %s: got error %v", id, err)
		}
	}
	// Who signed in through it before must not be told that their login has ended.
	if _, err := r.Open(t.Context(), "later"); err == nil || errors.Is(err, federation.ErrUnknown) {
		t.Errorf("open one of a type that is not there: got error %v", err)
	}
	if _, err := r.Open(t.Context(), "nobody"); !errors.Is(err, federation.ErrUnknown) {
		t.Errorf("open one that is not there: got error %v", err)
	}
	if o, err := r.Open(t.Context(), "static"); err != nil || o.Name != "ants" {
		t.Errorf("open the configured one: got %+v and error %v", o, err)
	}
}

func TestChangedConnectorIsOpenedAgain(t *testing.T) {
	s := memory.New()
	table := store.In(s, federation.Kind)
	if _, err := table.Create(t.Context(), "b", passwordSource("b", "Bees", "first")); err != nil {
		t.Fatal(err)
	}
	r := federation.NewWhole(nil, s, &url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler))
	first, err := r.Open(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Open(t.Context(), "b"); err != nil || again.Instance != first.Instance {
		t.Errorf("opened twice, error %v", err)
	}
	_, err = table.Update(t.Context(), "b", func(d *federation.Definition) error {
		*d = passwordSource("b", "Wasps", "second")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Forget(store.Change{Kind: "connector", Key: "b"})
	if changed, err := r.Open(t.Context(), "b"); err != nil || changed.Instance == first.Instance || changed.Name != "Wasps" {
		t.Errorf("after the change: got %+v and error %v", changed, err)
	}
	if err := table.Delete(t.Context(), "b", ""); err != nil {
		t.Fatal(err)
	}
	r.Forget(store.Change{})
	if got := names(t, r); len(got) != 0 {
		t.Errorf("after it was deleted: got %q", got)
	}
	if _, err := r.Open(t.Context(), "b"); !errors.Is(err, federation.ErrUnknown) {
		t.Errorf("after it was deleted: got error %v", err)
	}
}
