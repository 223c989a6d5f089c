package client

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/event"
	"dex/internal/faulttest"
	"dex/internal/limit"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// A client that doesn't form-encode its id below Basic is found by what it sends.
var _ = faulttest.Add("T-authenticate-100", func(t *testing.T) {
	r := NewRegistry([]*Client{{ID: "a+b%20", Secret: "s"}}, memory.New(), limit.NewSet(), slog.New(slog.DiscardHandler))
	req := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(""))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("a+b%20", "s")
	if err := req.ParseForm(); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Authenticate(req, event.Discard); err != nil || c.ID != "a+b%20" {
		t.Errorf("got %v, %v", c, err)
	}
})

// A secret that was right for one client is remembered for that one.
var _ = faulttest.Add("T-secret-182", func(t *testing.T) {
	s := newSecrets()
	one, another := &Client{ID: "one", Secret: HashSecret("secret of one")}, &Client{ID: "another", Secret: HashSecret("of another")}
	for range 2 {
		if m, err := s.match(t.Context(), one, "secret of one"); err != nil || m != matchedCurrent {
			t.Errorf("its own: %v, %v", m, err)
		}
		if m, err := s.match(t.Context(), another, "secret of one"); err != nil || m != matchedNone {
			t.Errorf("another's: %v, %v", m, err)
		}
	}
})

// A stored client that says that it is another one is none: on Kubernetes people edit them.
var _ = faulttest.Add("T-client-118", func(t *testing.T) {
	s := memory.New()
	if _, err := store.In(s, Kind).Create(t.Context(), "app", Client{ID: "admin", Public: true}); err != nil {
		t.Fatal(err)
	}
	r := NewRegistry(nil, s, limit.NewSet(), slog.New(slog.DiscardHandler))
	if c, err := r.Get(t.Context(), "app"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("got %+v, %v", c, err)
	}
})
