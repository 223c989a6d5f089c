package refresh

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dex/internal/answer/answertest"
	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// A bench is families with a clock that the test moves.
type bench struct {
	*testing.T
	*Families
	store store.Store
	clock time.Time
}

func newBench(t *testing.T, p Lifetimes) *bench {
	b := &bench{T: t, store: memory.New(), clock: time.Now()}
	now := func() time.Time { return b.clock }
	b.Families = New(b.store, p, answertest.New(b.store, now), now,
		slog.New(slog.NewTextHandler(io.Discard, nil)))
	return b
}

var someone = token.Authorization{ClientID: "app", ConnectorID: "mock", Identity: connector.Identity{UserID: "u"}}

// Making families changes nothing for others: a configuration that is refused never comes into force.
func TestOtherLifetimesDontChangeWhatReplicasAreTold(t *testing.T) {
	const reuse = time.Minute
	s, clock := memory.New(), time.Now()
	now := func() time.Time { return clock }
	answers := answertest.New(s, now)
	answers.TellAfter(reuse)
	log := slog.New(slog.DiscardHandler)
	if _, err := New(s, Lifetimes{ReuseInterval: reuse}, answers, now, log).Begin(t.Context(), "f", "code", someone); err != nil {
		t.Fatal(err)
	}
	New(s, Lifetimes{}, answers, now, log)
	tell := func(after time.Duration) bool {
		clock = clock.Add(after)
		told, err := answers.Tell(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	tell(20 * time.Second)
	if !tell(reuse) {
		t.Error("the others are not told when the token may no longer be repeated")
	}
}

func (b *bench) begin() string {
	b.Helper()
	shown, err := b.Begin(b.Context(), "f", "code", someone)
	if err != nil {
		b.Fatal(err)
	}
	return shown
}

// adopt stores a refresh token of upstream's.
func (b *bench) adopt(l Legacy) {
	b.Helper()
	records, err := b.Adopted(l)
	if err == nil {
		err = store.CreateAll(b.Context(), b.store, records)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// refresh presents a token that arrived at a time.
func (b *bench) refresh(shown string, arrived time.Time) (string, error) {
	b.Helper()
	id, secret := decode(shown)
	e, err := b.table.Get(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return b.Advance(b.Context(), &Presented{entry: e, secret: readSecret(secret), arrived: arrived}, e.Value.Identity)
}

func (b *bench) mustRefresh(shown string) string {
	b.Helper()
	next, err := b.refresh(shown, b.clock)
	if err != nil {
		b.Fatal(err)
	}
	return next
}

func (b *bench) wantRefused(shown string, want error) {
	b.Helper()
	if next, err := b.refresh(shown, b.clock); !errors.Is(err, want) {
		b.Errorf("got token %q and error %v, want %v", next, err, want)
	}
}

// Without a reuse interval only one of several requests at once gets the next token, and the login goes on.
func TestRaceIsNoReuse(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true})
	shown := b.begin()
	arrived := b.clock // both requests
	b.clock = b.clock.Add(time.Second)
	if _, err := b.refresh(shown, arrived); err != nil {
		t.Fatal(err)
	}
	if _, err := b.refresh(shown, arrived); !errors.Is(err, ErrRaced) {
		t.Errorf("the second of two at once: got %v, want ErrRaced", err)
	}
	b.clock = b.clock.Add(time.Second)
	b.wantRefused(shown, ErrReused)
}

func TestReuseWithinTheInterval(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true, ReuseInterval: 5 * time.Second})
	first := b.begin()
	second := b.mustRefresh(first)
	if second == first {
		t.Fatal("the token was not rotated")
	}
	for range 3 {
		b.clock = b.clock.Add(time.Second)
		if again := b.mustRefresh(first); again != second {
			t.Errorf("the token before: got %s, want the current one %s", again, second)
		}
		if again := b.mustRefresh(second); again != second {
			t.Errorf("the current token: got %s, want itself %s", again, second)
		}
	}
	b.clock = b.clock.Add(5 * time.Second)
	third := b.mustRefresh(second)
	b.clock = b.clock.Add(time.Second)
	b.wantRefused(first, ErrReused)
	if again := b.mustRefresh(second); again != third {
		t.Errorf("the token before: got %s, want %s", again, third)
	}
	b.clock = b.clock.Add(5 * time.Second)
	b.wantRefused(second, ErrReused)
}

func TestForgedRefreshTokens(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true})
	first := b.begin()
	second := b.mustRefresh(first)
	b.mustRefresh(second)
	_, good := decode(second)
	parts := strings.Split(good, "-")
	for _, secret := range []string{
		"", "-", "--", "2", good + "x", good[:len(good)-1], "2-" + parts[1] + "-" + parts[2], "2--" + parts[2],
		"0-" + parts[1] + "-" + parts[2], "z-" + parts[1] + "-" + parts[2], parts[1], strings.Repeat("a", 100),
	} {
		b.wantRefused(encode("f", secret), ErrForged)
	}
}

// Who has read the whole storage still can't refresh: not even with an old token as well.
func TestTheStorageHoldsNoRefreshToken(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true})
	shown := b.begin()
	for range 3 {
		_, secret := decode(shown)
		r, err := b.store.Get(t.Context(), "refresh", "f")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(r.Data), readSecret(secret).secret) {
			t.Errorf("the record holds the secret: %s", r.Data)
		}
		e, err := b.table.Get(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		// The thief can make tags, but not the secret below them.
		for _, guess := range []string{string(e.Value.Secret), nextSecret("", e.Value.Salt), "guess"} {
			b.wantRefused(encode("f", e.Value.secretText("f", e.Value.Generation, guess)), ErrForged)
		}
		shown = b.mustRefresh(shown)
	}
}

func TestUpstreamsRefreshToken(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true, ReuseInterval: 5 * time.Second})
	legacy := Legacy{
		ID: "abc", Token: "def", ObsoleteToken: "before", CreatedAt: b.clock.Add(-time.Hour), LastUsed: b.clock.Add(-time.Hour),
		ClientID: "app", ConnectorID: "mock", Identity: connector.Identity{UserID: "u"},
	}
	for range 2 { // the second time finds it there
		b.adopt(legacy)
	}
	b.wantRefused(encode("abc", "xyz"), ErrForged)
	b.wantRefused(encode("abc", ""), ErrForged)
	b.wantRefused(encode("abc", "before"), ErrReused)
	second := b.mustRefresh("CgNhYmMSA2RlZg")
	if again := b.mustRefresh("CgNhYmMSA2RlZg"); again != second {
		t.Errorf("within the reuse interval: got %s, want %s", again, second)
	}
	b.clock = b.clock.Add(time.Minute)
	third := b.mustRefresh(second)
	b.wantRefused("CgNhYmMSA2RlZg", ErrReused)
	b.clock = b.clock.Add(time.Minute)
	b.mustRefresh(third)
	b.wantRefused("CgNhYmMSA2RlZg", ErrReused)
}

// Without rotation upstream's token stays good.
func TestUpstreamsRefreshTokenWithoutRotation(t *testing.T) {
	b := newBench(t, Lifetimes{})
	for _, l := range []Legacy{{ID: "abc", Token: "def"}, {ID: "bare"}} {
		l.CreatedAt = b.clock
		b.adopt(l)
	}
	for range 3 {
		b.clock = b.clock.Add(time.Hour)
		if next := b.mustRefresh("CgNhYmMSA2RlZg"); next != "CgNhYmMSA2RlZg" {
			t.Errorf("got %s", next)
		}
		b.mustRefresh("bare") // as very old releases gave out
	}
}

func TestUpstreamsExpiredRefreshTokenIsLeft(t *testing.T) {
	b := newBench(t, Lifetimes{AbsoluteLifetime: time.Hour})
	b.adopt(Legacy{ID: "old", Token: "t", CreatedAt: b.clock.Add(-2 * time.Hour)})
	if _, err := b.table.Get(context.Background(), "old"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// A code may still be good when the login that it gave has ended; it must not begin that login again.
func TestEndedFamilyCantBeginAgain(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true})
	shown := b.begin()
	for range 2 {
		if err := b.End(t.Context(), "f"); err != nil {
			t.Fatal(err)
		}
		b.wantRefused(shown, ErrForged)
		if _, err := b.Begin(t.Context(), "f", "code", someone); !errors.Is(err, store.ErrExists) {
			t.Errorf("begin again: got error %v", err)
		}
		if begun, possible, err := b.Begun(t.Context(), "f"); !begun.IsZero() || possible || err != nil {
			t.Errorf("begun: got %v and error %v", begun, err)
		}
	}
}

func TestFirstTokenIsGivenAgainToWhoHasTheCode(t *testing.T) {
	b := newBench(t, Lifetimes{Rotate: true})
	shown := b.begin()
	again, begun, err := b.First(t.Context(), "f", "code")
	if err != nil || again != shown || !begun.At.Equal(b.clock) {
		t.Errorf("got %s of %+v and error %v, want %s", again, begun, err, shown)
	}
	if other, begun, err := b.First(t.Context(), "f", "another code"); err != nil || other != "" || !begun.At.IsZero() {
		t.Errorf("with another code: got %s of %+v and error %v", other, begun, err)
	}
	b.clock = b.clock.Add(time.Second)
	b.mustRefresh(shown)
	if used, begun, err := b.First(t.Context(), "f", "code"); err != nil || used != "" || !begun.At.IsZero() {
		t.Errorf("after its use: got %s of %+v and error %v", used, begun, err)
	}
}
