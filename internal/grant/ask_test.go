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

	"dex/internal/answer/answertest"
	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// rotating is a source whose tokens work once; the next one comes with the answer.
type rotating struct {
	mu      sync.Mutex
	current string
	asked   int
	during  func() // while it is asked
}

func (r *rotating) Open(context.Context, connector.Env) (any, error) { return r, nil }

func (r *rotating) Refresh(_ context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	time.Sleep(time.Second)
	if r.during != nil {
		r.during()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if string(id.Data) != r.current {
		return connector.Identity{}, fmt.Errorf("token %s was used: %w", id.Data, connector.ErrGone)
	}
	r.current = fmt.Sprintf("token %d", r.asked)
	return connector.Identity{UserID: "u", Data: []byte(r.current)}, nil
}

func (*rotating) Rotates() {}

func askRotating(s store.Store, src *rotating) *replica {
	r := &replica{clock: time.Now()}
	now, log := func() time.Time { return r.clock }, slog.New(slog.DiscardHandler)
	r.answers = answertest.New(s, now)
	r.codes, r.families = code.New(s, time.Minute, 0, r.answers, now), refresh.New(s, refresh.Lifetimes{Rotate: true}, r.answers, now, log)
	r.offline = refresh.NewOfflineSessions(s, refresh.Lifetimes{}, now)
	connectors := federation.NewPool(s, &url.URL{Scheme: "http", Host: "dex.test"}, log, event.Discard).
		Registry([]*federation.Definition{{ID: "src", Config: src}})
	revoked := token.NewRevocations(s, time.Hour)
	r.code = &codeGrant{beginner: beginner{r.families, r.offline}, codes: r.codes, connectors: connectors, revoked: revoked, events: event.Discard}
	r.refresh = &refreshGrant{
		families: r.families, offline: r.offline, connectors: connectors, revoked: revoked, turns: new(Turns), log: log,
		events: event.Discard,
	}
	return r
}

// A user with logins in many applications keeps them all, although the source's refresh tokens work once.
func TestLoginsOfAUserShareARotatingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &rotating{current: "first"}
		r := askRotating(memory.New(), src)
		r.t = t
		var tokens []string
		for range 10 {
			tokens = append(tokens, r.must(r.redeem(r.issue("first"))))
		}
		var all sync.WaitGroup
		for _, tok := range tokens {
			all.Go(func() {
				if _, err := r.renew(tok); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		r.wantData(src.current)
		if len(r.refresh.turns.held) != 0 {
			t.Errorf("%d turns are left", len(r.refresh.turns.held))
		}
	})
}

// Another replica that was faster costs no login either.
func TestReplicasShareARotatingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, src := memory.New(), &rotating{current: "first"}
		r := askRotating(s, src)
		r.t = t
		tok := r.must(r.redeem(r.issue("first")))
		src.during = sync.OnceFunc(func() { // the other one
			src.mu.Lock()
			src.current = "second"
			src.mu.Unlock()
			if err := r.offline.Keep(t.Context(), "u", "src", []byte("second"), nil); err != nil {
				t.Error(err)
			}
		})
		if _, err := r.renew(tok); err != nil {
			t.Error(err)
		}
		r.wantData(src.current)

		src.current = "changed behind our back"
		tok, err := r.renew(r.must(r.redeem(r.issue(""))))
		r.wantRefused("a token that the source refuses for good", tok, err)
	})
}

// What the source gave in place of what it had given before is kept, whatever fails after that.
func TestReplacedDataSurvivesAFailure(t *testing.T) {
	src := same()
	r := newReplica(t, memory.New(), refresh.Lifetimes{Rotate: true}, 0, src)
	tok := r.must(r.redeem(r.issue("first")))
	src.refresh = func() (connector.Identity, error) {
		return connector.Identity{Data: []byte("second")}, errors.New("userinfo is down")
	}
	if got, err := r.renew(tok); err == nil {
		t.Errorf("got %q", got)
	}
	r.wantData("second")
	src.refresh = func() (connector.Identity, error) { return connector.Identity{}, errors.New("all is down") }
	if got, err := r.renew(tok); err == nil {
		t.Errorf("got %q", got)
	}
	r.wantData("second")
}

// A slow source has replaced its token, and then does not answer within AskTimeout.
type slow struct{ shown string }

func (s *slow) Open(context.Context, connector.Env) (any, error) { return s, nil }

func (*slow) Rotates() {}

func (s *slow) Refresh(ctx context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	s.shown = string(id.Data)
	<-ctx.Done()
	return connector.Identity{Data: []byte("second")}, context.Cause(ctx)
}

func TestReplacedDataSurvivesATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, src := memory.New(), &slow{}
		r := newReplica(t, s, refresh.Lifetimes{Rotate: true}, 0, same())
		r.refresh.connectors = federation.NewPool(s, &url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler), event.Discard).
			Registry([]*federation.Definition{{ID: "src", Config: src}})
		tok := r.must(r.redeem(r.issue("first")))
		if got, err := r.renew(tok); err == nil || src.shown != "first" {
			t.Errorf("got %q, and %q was shown", got, src.shown)
		}
		r.wantData("second")
	})
}

// A connector that could tell who users are and can't any more vouches for nobody.
func TestConnectorThatNoLongerRefreshes(t *testing.T) {
	s := memory.New()
	r := newReplica(t, s, refresh.Lifetimes{Rotate: true}, 0, same())
	tok := r.must(r.redeem(r.issue("data")))
	later := newReplica(t, s, refresh.Lifetimes{Rotate: true}, 0, same())
	later.refresh.connectors = federation.NewPool(s, &url.URL{Scheme: "http", Host: "dex.test"}, slog.New(slog.DiscardHandler), event.Discard).
		Registry([]*federation.Definition{{ID: "src", Config: silent{}}})
	got, err := later.renew(tok)
	later.wantRefused("after the change", got, err)
}

// silent is a connector that knows nothing.
type silent struct{}

func (silent) Open(context.Context, connector.Env) (any, error) { return silent{}, nil }

func TestWaitingForATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Turns
		release, err := all.take(t.Context(), "u")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all.take(t.Context(), "other"); err != nil {
			t.Errorf("another user waits: %v", err)
		}
		start := time.Now()
		if _, err := all.take(t.Context(), "u"); err == nil || time.Since(start) != turnTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		release()
		if _, err := all.take(t.Context(), "u"); err != nil {
			t.Error(err)
		}
	})
}
