package takeover_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/faulttest"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/takeover"
)

// many is a storage of upstream's with a number of refresh tokens and nothing else.
type many int

func (many) Layout(context.Context) (string, error)        { return "many", nil }
func (many) Keys(context.Context) (*signing.Keyset, error) { return nil, nil }
func (many) Clients(context.Context, string, func(takeover.Item[client.Client]) error) error {
	return nil
}
func (many) Connectors(context.Context, string, func(takeover.Item[federation.Definition]) error) error {
	return nil
}
func (many) Passwords(context.Context, string, func(takeover.Item[local.User]) error) error {
	return nil
}
func (many) OfflineSessions(context.Context, string, func(takeover.Item[takeover.OfflineSession]) error) error {
	return nil
}

func (many) Identities(context.Context, string, func(takeover.Item[identity.Legacy]) error) error {
	return nil
}
func (many) Sessions(context.Context, string, func(takeover.Item[session.Legacy]) error) error {
	return nil
}

func (n many) RefreshTokens(_ context.Context, after string, each func(takeover.Item[takeover.RefreshToken]) error) error {
	for i := range int(n) {
		id := fmt.Sprintf("%08d", i)
		if id <= after {
			continue
		}
		t := takeover.RefreshToken{Legacy: refresh.Legacy{
			ID: id, Token: "secret", ClientID: "app", ConnectorID: "mock", CreatedAt: time.Now(),
			Identity: connector.Identity{UserID: id},
		}}
		if err := each(takeover.Item[takeover.RefreshToken]{Table: "many", Key: id, Place: id, Value: t}); err != nil {
			return err
		}
	}
	return nil
}

// slow is a storage that takes its time, counts what it is given, and is told when the import notes how far it is.
type slow struct {
	store.Store
	created atomic.Int64
	noted   func()
}

func (s *slow) CreateAll(ctx context.Context, records []store.Record) error {
	time.Sleep(400 * time.Millisecond)
	s.created.Add(int64(len(records)))
	return store.CreateAll(ctx, s.Store, records)
}

func (s *slow) Create(ctx context.Context, r store.Record) (string, error) {
	defer s.note(r)
	return s.Store.Create(ctx, r)
}

func (s *slow) Replace(ctx context.Context, r store.Record) (string, error) {
	defer s.note(r)
	return s.Store.Replace(ctx, r)
}

func (s *slow) note(r store.Record) {
	if r.Kind == "takeover" && strings.Contains(string(r.Data), "position") {
		s.noted()
	}
}

// An import that was cut off began at the first row again and tried each one that was there, so that one which was cut off
// every ten seconds didn't end.
var _ = faulttest.Add("O2", func(t *testing.T) {
	const tokens = 60_000
	synctest.Test(t, func(t *testing.T) {
		s := &slow{Store: memory.New()}
		cut := 0
		for ; ; cut++ {
			ctx, cancel := context.WithCancel(t.Context())
			s.noted = cancel
			err := takeover.Run(ctx, many(tokens), target(s), discard)
			cancel()
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) || cut > 1000 {
				t.Fatalf("Run after %d cuts: %v", cut, err)
			}
		}
		if cut < 5 {
			t.Errorf("it was cut off %d times only", cut)
		}
		if n := s.created.Load(); n != tokens {
			t.Errorf("%d records were created, want %d", n, tokens)
		}
		for _, key := range []string{"00000000", "00030000", "00059999"} {
			if _, err := s.Get(t.Context(), "refresh", key); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		r, err := s.Get(t.Context(), "takeover", "upstream")
		if want := fmt.Sprintf(`"refresh tokens":{"done":%d}`, tokens); err != nil || !strings.Contains(string(r.Data), want) {
			t.Errorf("the marker is %s, %v; want %s", r.Data, err, want)
		}
	})
})

// A position that is old counts no more: upstream may have run meanwhile.
func TestOldPositionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{Store: memory.New()}
		ctx, cancel := context.WithCancel(t.Context())
		s.noted = cancel
		if err := takeover.Run(ctx, many(20_000), target(s), discard); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.created.Store(0)
		s.noted = func() {}
		if err := takeover.Run(t.Context(), many(20_000), target(s), discard); err != nil {
			t.Fatal(err)
		}
		if n := s.created.Load(); n != 20_000 {
			t.Errorf("%d records were tried, want all", n)
		}
	})
}
