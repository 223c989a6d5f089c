package signing_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const (
	period   = 6 * time.Hour
	lifetime = 24 * time.Hour
)

func config(algorithm string) signing.Config {
	return signing.Config{Algorithm: algorithm, RotationPeriod: period, TokenLifetime: lifetime}
}

// start opens a signer that rotates until the test ends.
func start(t *testing.T, s store.Store, cfg signing.Config) *signing.Local {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := signing.Open(ctx, s, cfg, quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return l
}

// published returns the ids of the published keys in their order.
func published(t *testing.T, l *signing.Local) []string {
	t.Helper()
	var set struct {
		Keys []struct {
			Kid, Use, Alg, Kty string
			D                  string
		}
	}
	if err := json.Unmarshal(l.JWKS().Body, &set); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		if k.D != "" {
			t.Fatal("a private key is published")
		}
		if k.Use != "sig" || k.Alg == "" {
			t.Fatalf("published key %+v has no use or alg", k)
		}
		ids = append(ids, k.Kid)
	}
	return ids
}

func sign(t *testing.T, l *signing.Local) string {
	t.Helper()
	token, err := l.Key().Sign(t.Context(), "", []byte(`{"sub":"somebody"}`))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSignedTokensVerifyUntilTheirKeyIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, memory.New(), config(signing.ES256))
		token := sign(t, l)

		time.Sleep(period + lifetime) // the key was retired after one period, the token may be as young as that
		if payload, err := l.Verify(token); err != nil || string(payload) != `{"sub":"somebody"}` {
			t.Fatalf("got %q, %v; want the payload back", payload, err)
		}
		time.Sleep(time.Hour)
		if _, err := l.Verify(token); !errors.Is(err, signing.ErrBadToken) {
			t.Fatalf("a token of a key that is gone: got %v, want ErrBadToken", err)
		}
	})
}

// A token lifetime that grows holds for keys that are retired afterwards, and one that shrinks takes nothing back.
func TestRetiredKeysOutlastTheLongestLivedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, memory.New(), config(signing.ES256))
		token := sign(t, l)
		l.Outlast(3 * lifetime)
		l.Outlast(time.Minute)
		time.Sleep(period + 3*lifetime)
		if _, err := l.Verify(token); err != nil {
			t.Errorf("a token that is still good: %v", err)
		}
	})
}

func TestNextKeyIsPublishedBeforeItSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, memory.New(), config(signing.ES256))
		first := published(t, l)
		if len(first) != 1 {
			t.Fatalf("at the start %d keys are published, want 1", len(first))
		}
		// Just before the rotation every application that reads the keys as often as it must knows the next one.
		time.Sleep(period - l.MaxAge())
		before := published(t, l)
		if len(before) != 2 || before[0] != first[0] {
			t.Fatalf("before the rotation %v are published, want %v and the next one", before, first)
		}
		time.Sleep(l.MaxAge() + time.Second)
		after := published(t, l)
		if len(after) != 2 || after[0] != before[1] || after[1] != before[0] {
			t.Fatalf("after the rotation %v are published, want the two of %v swapped", after, before)
		}
	})
}

func TestReplicasRotateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		a, b := start(t, s, config(signing.ES256)), start(t, s, config(signing.ES256))
		for range 5 {
			time.Sleep(period + time.Minute)
			synctest.Wait()
			if x, y := string(a.JWKS().Body), string(b.JWKS().Body); x != y {
				t.Fatalf("the replicas publish different keys:\n%s\n%s", x, y)
			}
			if _, err := b.Verify(sign(t, a)); err != nil {
				t.Fatal(err)
			}
		}
		// 24 h of retired keys at 6 h each, the current one, and the next if its time has come.
		if n := len(published(t, a)); n < 5 || n > 7 {
			t.Fatalf("%d keys are published after five rotations", n)
		}
	})
}

func TestAlgorithmChangesWithTheNextRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		ctx, cancel := context.WithCancel(t.Context())
		old, err := signing.Open(ctx, s, config(signing.RS256), quiet, event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		token := sign(t, old)
		cancel()

		l := start(t, s, config(signing.ES256))
		if got := l.Key().Algorithm(); got != signing.RS256 {
			t.Fatalf("right after the start the key is %s, want the old RS256", got)
		}
		time.Sleep(period + time.Minute)
		if got := l.Key().Algorithm(); got != signing.ES256 {
			t.Fatalf("after the rotation the key is %s, want ES256", got)
		}
		for _, tok := range []string{token, sign(t, l)} {
			if _, err := l.Verify(tok); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.Algorithms(); len(got) != 2 || got[0] != signing.ES256 {
			t.Fatalf("algorithms are %v, want ES256 first and RS256 for the old tokens", got)
		}
	})
}

// A troubled store fails while it is told to, and counts what is asked of it.
type troubled struct {
	store.Store
	fails              atomic.Bool
	reads, writes      atomic.Int64
	watches, unwatched atomic.Int64 // that succeeded, and that failed
}

var errTrouble = errors.New("storage can't be reached")

func (s *troubled) Get(ctx context.Context, kind, key string) (store.Record, error) {
	s.reads.Add(1)
	if s.fails.Load() {
		return store.Record{}, errTrouble
	}
	return s.Store.Get(ctx, kind, key)
}

func (s *troubled) Replace(ctx context.Context, r store.Record) (string, error) {
	s.writes.Add(1)
	return s.Store.Replace(ctx, r)
}

func (s *troubled) Watch(ctx context.Context) (<-chan store.Change, error) {
	if s.fails.Load() {
		s.unwatched.Add(1)
		return nil, errTrouble
	}
	s.watches.Add(1)
	return s.Store.Watch(ctx)
}

// A storage that fails when the server starts to watch it, or when a rotation is due, is asked again in peace, and the
// keys rotate when it is back.
func TestRotationOutlivesAStorageThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &troubled{Store: memory.New()}
		if _, err := signing.Open(t.Context(), s, config(signing.ES256), quiet, event.Discard); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		l, err := signing.Open(ctx, s, config(signing.ES256), quiet, event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		s.fails.Store(true)
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		defer running.Wait()
		defer cancel()

		before := l.Key()
		time.Sleep(period)
		s.reads.Store(0)
		time.Sleep(time.Minute)
		if n := s.reads.Load(); n > 20 {
			t.Errorf("%d reads in a minute in which the storage failed", n)
		}
		if s.unwatched.Load() == 0 {
			t.Error("watching did not fail: the test shows nothing")
		}
		s.fails.Store(false)
		time.Sleep(time.Hour)
		if l.Key() == before {
			t.Error("the keys did not rotate when the storage was back")
		}
		if n := s.watches.Load(); n != 1 {
			t.Errorf("the storage is watched %d times", n)
		}
	})
}

// During an update replicas may have different algorithms. They must not make the next key in turns.
func TestReplicasWithDifferentAlgorithms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &troubled{Store: memory.New()}
		start(t, s, config(signing.ES256))
		start(t, s, config(signing.RS256))
		time.Sleep(period)
		if n := s.writes.Load(); n < 1 || n > 10 {
			t.Errorf("%d writes before the first rotation", n)
		}
	})
}

func TestKeysSurviveARestart(t *testing.T) {
	s := memory.New()
	for _, algorithm := range []string{signing.RS256, signing.ES256} {
		a, err := signing.Open(t.Context(), s, config(algorithm), quiet, event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		b, err := signing.Open(t.Context(), s, config(algorithm), quiet, event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Verify(sign(t, a)); err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
	}
}

func TestForeignTokensAreRefused(t *testing.T) {
	ours, err := signing.Open(t.Context(), memory.New(), config(signing.ES256), quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := signing.Open(t.Context(), memory.New(), config(signing.ES256), quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, ours)
	for name, token := range map[string]string{
		"another signer's": sign(t, theirs),
		"unsigned":         "eyJhbGciOiJub25lIn0.e30.",
		"symmetric":        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
		"changed":          good[:len(good)-4] + "AAAA",
		"empty":            "",
		"no token":         "x",
	} {
		if _, err := ours.Verify(token); !errors.Is(err, signing.ErrBadToken) {
			t.Errorf("%s: got %v, want ErrBadToken", name, err)
		}
	}
}

func TestHalfHash(t *testing.T) {
	l, err := signing.Open(t.Context(), memory.New(), config(signing.ES256), quiet, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.Key().HalfHash("access-token-example"), "Dt8NXI5x6SvCnJPSBzY2iA"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func BenchmarkSign(b *testing.B) {
	for _, algorithm := range []string{signing.RS256, signing.ES256} {
		b.Run(algorithm, func(b *testing.B) {
			l, err := signing.Open(b.Context(), memory.New(), config(algorithm), quiet, event.Discard)
			if err != nil {
				b.Fatal(err)
			}
			payload := make([]byte, 500)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Key().Sign(b.Context(), "", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
