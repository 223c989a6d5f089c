package token

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/store/memory"
)

// Without a reuse interval only one of several requests at once gets the next token, and the login goes on.
func TestRaceIsNoReuse(t *testing.T) {
	now := time.Now()
	families := NewFamilies(memory.New(), Policy{Rotate: true}, func() time.Time { return now },
		slog.New(slog.NewTextHandler(io.Discard, nil)))
	login := Authorization{ClientID: "app", ConnectorID: "mock", Identity: connector.Identity{UserID: "u"}}
	token, err := families.begin(t.Context(), "f", login)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := decodeRefreshToken(token)
	if err != nil {
		t.Fatal(err)
	}
	e, err := families.table.Get(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}

	arrived := now // both requests
	now = now.Add(time.Second)
	if _, err := families.advance(t.Context(), e, secret, arrived, login); err != nil {
		t.Fatal(err)
	}
	if _, err := families.advance(t.Context(), e, secret, arrived, login); !errors.Is(err, errRaced) {
		t.Errorf("the second of two at once: got %v, want errRaced", err)
	}
	now = now.Add(time.Second)
	if _, err := families.advance(t.Context(), e, secret, now, login); !errors.Is(err, errReused) {
		t.Errorf("one that came later: got %v, want errReused", err)
	}
}
