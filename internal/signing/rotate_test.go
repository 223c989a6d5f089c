package signing_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func TestRotateAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l, other := start(t, s, config(signing.ES256)), start(t, s, config(signing.ES256))
		leaked := sign(t, l)
		before := l.List()[0].ID
		if err := l.Rotate(t.Context(), signing.AtOnce); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Verify(leaked); !errors.Is(err, signing.ErrBadToken) {
			t.Errorf("a token of the leaked key: %v", err)
		}
		time.Sleep(time.Minute)
		for _, replica := range []*signing.Local{l, other} {
			ids := published(t, replica)
			if len(ids) != 1 || ids[0] == before {
				t.Errorf("published %q, with the leaked %q", ids, before)
			}
		}
		if _, err := other.Verify(sign(t, l)); err != nil {
			t.Error(err)
		}
	})
}

// Whoever reads the keys' record today may have read it yesterday too: a leak is often found after the leaked key has been retired.
func TestRotateAtOnceForgetsRetiredKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l, other := start(t, s, config(signing.ES256)), start(t, s, config(signing.ES256))
		leaked := sign(t, l)
		time.Sleep(period + time.Minute)
		if ids := published(t, l); len(ids) != 2 {
			t.Fatalf("published %q, want the retired key too", ids)
		}
		if err := l.Rotate(t.Context(), signing.AtOnce); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, replica := range []*signing.Local{l, other} {
			if ids := published(t, replica); len(ids) != 1 {
				t.Errorf("published %q, want only the new key", ids)
			}
			if _, err := replica.Verify(leaked); !errors.Is(err, signing.ErrBadToken) {
				t.Errorf("a token of the leaked key: %v", err)
			}
		}
	})
}

func TestRotateGracefully(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, memory.New(), config(signing.ES256))
		old, token := l.List()[0].ID, sign(t, l)
		if err := l.Rotate(t.Context(), signing.Gracefully); err != nil {
			t.Fatal(err)
		}
		all := l.List()
		if len(all) != 2 || all[0].ID != old || all[1].State != signing.Next {
			t.Fatalf("keys %+v", all)
		}
		if wait := time.Until(all[1].From); wait <= 0 || wait > l.MaxAge() {
			t.Errorf("the next key signs in %s", wait)
		}
		// Asked again it goes on with the same key.
		if err := l.Rotate(t.Context(), signing.Gracefully); err != nil {
			t.Fatal(err)
		}
		time.Sleep(l.MaxAge() + time.Second)
		now := l.List()
		if now[0].ID != all[1].ID || now[1].ID != old || now[1].State != signing.Past {
			t.Errorf("keys %+v, want %s to sign", now, all[1].ID)
		}
		if _, err := l.Verify(token); err != nil {
			t.Errorf("a token of before: %v", err)
		}
	})
}

// lagging is a storage whose servers apply each other's writes late.
type lagging struct {
	store.Store
	old store.Record
}

func (l *lagging) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == "keys" && l.old.Key != "" && !store.WantsLatest(ctx) {
		return l.old, nil
	}
	return l.Store.Get(ctx, kind, key)
}

// The replica that was asked is the first that mustn't go on with the leaked key.
func TestRotateAtOnceOnALaggingStorage(t *testing.T) {
	t.Parallel()
	s := &lagging{Store: memory.New()}
	l, err := signing.Open(t.Context(), s, config(signing.ES256), slog.New(slog.DiscardHandler), event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	leaked := l.List()[0].ID
	if s.old, err = s.Get(t.Context(), "keys", signing.RecordKey); err != nil {
		t.Fatal(err)
	}
	if err := l.Rotate(t.Context(), signing.AtOnce); err != nil {
		t.Fatal(err)
	}
	if l.List()[0].ID == leaked {
		t.Error("the leaked key signs")
	}
}
