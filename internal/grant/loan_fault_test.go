package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/faulttest"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/refresh"
	"dex/internal/store/memory"
)

// A strict source ends the session when a refresh token comes twice, as Keycloak does with "Revoke Refresh Token".
type strict struct {
	mu      sync.Mutex
	current string
	asked   int
	ended   bool
}

func (s *strict) Open(context.Context, connector.Env) (any, error) { return s, nil }

func (*strict) Rotates() {}

func (s *strict) Refresh(_ context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	time.Sleep(25 * time.Millisecond) // the way there
	s.mu.Lock()
	s.asked++
	s.ended = s.ended || string(id.Data) != s.current
	s.current = fmt.Sprintf("token %d", s.asked)
	ended, data := s.ended, s.current
	s.mu.Unlock()
	time.Sleep(25 * time.Millisecond) // and back
	if ended {
		return connector.Identity{}, connector.ErrGone
	}
	return connector.Identity{UserID: "u", Data: []byte(data)}, nil
}

// Two logins of a user that were refreshed at once at two replicas both ended: turns were taken within one process only.
var _ = faulttest.Add("K2", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, src := memory.New(), &strict{current: "first"}
		p := refresh.Lifetimes{Rotate: true}
		var replicas []*replica
		for range 2 {
			r := newReplica(t, s, p, 0, same())
			r.refresh.connectors = federation.NewPool(s, &url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler), event.Discard).
				Registry([]*federation.Definition{{ID: "src", Config: src}})
			r.code.connectors = r.refresh.connectors
			r.untold = true
			replicas = append(replicas, r)
		}
		tokens := make([]string, 2)
		for i, r := range replicas {
			tokens[i] = r.must(r.redeem(r.issue("first")))
		}
		for round := range 4 {
			var both sync.WaitGroup
			for i, r := range replicas {
				both.Go(func() {
					next, err := r.renew(tokens[i])
					if err != nil {
						t.Errorf("round %d, replica %d: %v", round, i, err)
					}
					tokens[i] = next
				})
			}
			both.Wait()
		}
		// One that dies with the data costs the others a while.
		if _, err := replicas[0].offline.Borrow(t.Context(), "u", "src"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := replicas[1].renew(tokens[1]); err != nil || time.Since(begun) > turnTimeout {
			t.Errorf("after a replica that died: %v, after %v", err, time.Since(begun))
		}
	})
})

// A connector that panicked at a refresh ended the whole server, and not only the request.
var _ = faulttest.Add("A-refresh-panic", func(t *testing.T) {
	src := same()
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, src)
	tok := r.must(r.redeem(r.issue("data")))
	src.refresh = func() (connector.Identity, error) { panic("a bug") }
	got, err := r.renew(tok)
	if _, refused := errors.AsType[*oauth.Error](err); got != "" || err == nil || refused {
		t.Errorf("got token %q and error %v, want a failure of our own", got, err)
	}
	src.refresh = same().refresh
	r.must(r.renew(tok))
})
