package grant

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/answer/answertest"
	"dex/internal/code"
	"dex/internal/connector"
	"dex/internal/faulttest"
	"dex/internal/pkce"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// A muted storage says nothing more from a write of a family on.
type muted struct {
	store.Store
	armed, mute atomic.Bool
}

var errMuted = errors.New("no answer")

func (m *muted) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if m.mute.Load() {
		return store.Record{}, errMuted
	}
	return m.Store.Get(ctx, kind, key)
}

func (m *muted) Create(ctx context.Context, r store.Record) (string, error) {
	revision, err := m.Store.Create(ctx, r)
	return revision, m.answer(r, err)
}

func (m *muted) Replace(ctx context.Context, r store.Record) (string, error) {
	revision, err := m.Store.Replace(ctx, r)
	return revision, m.answer(r, err)
}

func (m *muted) answer(r store.Record, err error) error {
	if r.Kind == "refresh" && m.armed.CompareAndSwap(true, false) {
		m.mute.Store(true)
	}
	if m.mute.Load() {
		return errMuted
	}
	return err
}

// A write whose answer got lost at one replica, and the client that comes again to another one. The other one is told of it,
// or hears nothing of a replica that can't reach the storage; only of an answer that was given it takes the client for a thief.
var _ = faulttest.Add("O1", func(t *testing.T) {
	for _, told := range []bool{true, false} {
		for _, interval := range []time.Duration{0, 5 * time.Second} {
			m := &muted{Store: memory.New()}
			p := refresh.Lifetimes{Rotate: true, ReuseInterval: interval}
			here, there := newReplica(t, m, p, 0, same()), newReplica(t, m.Store, p, 0, same())
			pass := func(d time.Duration) { here.clock, there.clock = here.clock.Add(d), there.clock.Add(d) }
			lose := func(use func() (string, error)) {
				t.Helper()
				m.armed.Store(true)
				if tok, err := use(); !errors.Is(err, errMuted) {
					t.Fatalf("without an answer of the storage: got %q and error %v", tok, err)
				}
				m.mute.Store(false)
				pass(30 * time.Second)
				if told {
					answertest.Tell(t, here.answers)
				}
			}
			code := here.issue("")
			here.untold = true
			lose(func() (string, error) { return here.redeem(code) })
			tok := there.must(there.redeem(code))
			lose(func() (string, error) { return here.renew(tok) })
			next := there.must(there.renew(tok))
			if interval > 0 {
				if again := there.must(there.renew(tok)); again != next {
					t.Errorf("the same request has two answers: %s and %s", again, next)
				}
			}

			here.untold = false
			pass(time.Minute)
			last := here.must(here.renew(next))
			pass(interval + store.UsualSkew + time.Second)
			answertest.Tell(t, here.answers)
			again, err := there.renew(next)
			there.wantRefused("a thief", again, err)
			again, err = there.renew(last)
			there.wantRefused("the token of the login that has ended", again, err)

			code = here.issue("")
			tok = here.must(here.redeem(code))
			again, err = there.redeem(code)
			there.wantRefused("a code that was answered", again, err)
			again, err = there.renew(tok)
			there.wantRefused("the token of a code that was used twice", again, err)
		}
	}
})

// What a replica has not answered is nobody's for ever, even if nothing is heard of it.
var _ = faulttest.Add("O1", func(t *testing.T) {
	s := memory.New()
	p := refresh.Lifetimes{Rotate: true, ReuseInterval: time.Second}
	here, there := newReplica(t, s, p, 0, same()), newReplica(t, s, p, 0, same())
	here.untold = true
	tok := here.must(here.redeem(here.issue("")))
	here.must(here.renew(tok))
	there.clock = here.clock.Add(90*time.Second + store.ClockSkew + time.Second)
	again, err := there.renew(tok)
	there.wantRefused("a token that was used minutes ago by a replica that is gone", again, err)
})

// The code record of a code that was used keeps no identity that the storage could read.
var _ = faulttest.Add("T-code-139", func(t *testing.T) {
	for _, reuse := range []time.Duration{0, time.Second} {
		r := newReplica(t, memory.New(), refresh.Lifetimes{}, reuse, same())
		secret := code.NewSecret()
		a := token.Authorization{
			ClientID: "app", ConnectorID: "src", Identity: connector.Identity{UserID: "jane-id", Email: "jane@example.com"},
		}
		if err := r.codes.Issue(t.Context(), secret, a, "http://app.test/", pkce.Challenge{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.redeem(secret); err != nil {
			t.Fatal(err)
		}
		if data := string(r.record("code").Data); strings.Contains(data, "jane") || !strings.Contains(data, `"used":true`) {
			t.Errorf("got %s", data)
		}
	}
})
