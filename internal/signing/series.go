package signing

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/event"
	"dex/internal/store"
)

// A series is the keys of one record, which sign one after the other.
type series struct {
	cfg    Config
	record string // its key
	table  *store.Table[Keyset]
	log    *slog.Logger
	events event.Sink

	advancing     chan struct{} // held while current is made of what is stored, so that nothing older replaces it
	tokenLifetime *atomic.Int64 // a time.Duration
	current       atomic.Pointer[snapshot]
}

// MaxAge returns how long the published keys may be cached: never longer than a key is published before it signs.
func (s *series) MaxAge() time.Duration {
	if s.cfg.SignAtOnce {
		return maxAge // with nothing that it could be held to
	}
	return min(maxAge, s.cfg.RotationPeriod/4).Truncate(time.Second)
}

// untilNext returns when to look at the keys again.
func (s *series) untilNext(now time.Time) time.Duration {
	stored := s.current.Load().stored
	next := stored.RotateAt
	if stored.Next == nil {
		next = next.Add(-s.lead())
	} else if ready := stored.NextSince.Add(s.MaxAge()); ready.After(next) {
		next = ready
	}
	return max(min(next.Sub(now), checkEvery), 10*time.Millisecond)
}

// lead is how long before a rotation the next key is published: twice as long as the published keys may be cached.
func (s *series) lead() time.Duration {
	if s.cfg.SignAtOnce {
		return 0
	}
	return 2 * s.MaxAge()
}

// advance reads the keys, takes each step whose time has come, and makes the result current.
func (s *series) advance(ctx context.Context) error {
	select {
	case s.advancing <- struct{}{}:
		defer func() { <-s.advancing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e, err := s.table.Get(store.Latest(ctx), s.record) // or a key that has leaked could come back for a while
	if errors.Is(err, store.ErrNotFound) {
		e, err = s.create(ctx)
	}
	if err != nil {
		return err
	}
	for {
		changed, stepErr := s.step(ctx, &e)
		if stepErr != nil {
			// Signing goes on with what is there; Run tries again.
			err = stepErr
			break
		}
		if !changed {
			break
		}
	}
	next, prepareErr := prepare(e.Value, time.Now())
	if prepareErr != nil {
		return prepareErr
	}
	s.current.Store(next)
	return err
}

// create stores the first key, or returns the one that another replica was faster to store. Nobody can hold an older
// published document, so it signs at once.
func (s *series) create(ctx context.Context) (store.Entry[Keyset], error) {
	s.log.InfoContext(ctx, "rotating signing keys", "reason", "missing signing key", "algorithm", s.cfg.Algorithm)
	first, err := generate(s.cfg.Algorithm)
	if err != nil {
		return store.Entry[Keyset]{}, err
	}
	e, err := s.table.Create(ctx, s.record, Keyset{Current: first, CurrentPub: public(first), RotateAt: time.Now().Add(s.cfg.RotationPeriod)})
	if errors.Is(err, store.ErrExists) {
		return s.table.Get(ctx, s.record)
	}
	return e, err
}

// step takes at most one step of the keys' life in the storage and reports whether it did.
func (s *series) step(ctx context.Context, e *store.Entry[Keyset]) (bool, error) {
	now := time.Now()
	switch k := &e.Value; {
	case s.isAhead(k, now):
		s.log.WarnContext(ctx, "the next rotation of the signing keys is too far ahead, so it was brought forward: a clock was wrong, or "+
			"the rotation period was longer before", "next_rotation", k.RotateAt)
		return true, s.update(ctx, e, func(k *Keyset) bool {
			if !s.isAhead(k, now) {
				return false
			}
			s.bringForward(k, now)
			return true
		})
	case s.mustPublishNext(k, now):
		next, err := generate(s.cfg.Algorithm)
		if err != nil {
			return false, err
		}
		return true, s.update(ctx, e, func(k *Keyset) bool {
			if !s.mustPublishNext(k, now) {
				return false
			}
			k.Next, k.NextSince = &next, now
			return true
		})
	case s.mustRotate(k, now):
		s.log.InfoContext(ctx, "rotating signing keys", "reason", "expired", "algorithm", s.cfg.Algorithm)
		err := s.update(ctx, e, func(k *Keyset) bool {
			if !s.mustRotate(k, now) {
				return false
			}
			s.rotate(k, now)
			return true
		})
		if err == nil {
			s.events.Emit(ctx, event.KeysRotated{Next: e.Value.RotateAt})
		}
		return true, err
	}
	return false, nil
}

// update changes the stored keys; change reports false where another replica has done it already.
func (s *series) update(ctx context.Context, e *store.Entry[Keyset], change func(*Keyset) bool) error {
	updated, err := s.table.Update(ctx, s.record, func(k *Keyset) error {
		if !change(k) {
			return store.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	*e = updated
	return nil
}

// isAhead says that times are further away than any correct clock would have set them.
func (s *series) isAhead(k *Keyset, now time.Time) bool {
	return k.RotateAt.After(now.Add(s.cfg.RotationPeriod+signLag)) || k.Next != nil && k.NextSince.After(now.Add(signLag))
}

// bringForward corrects such times. Retired keys keep theirs: tokens may live as long, and one that is published for longer
// does no harm.
func (s *series) bringForward(k *Keyset, now time.Time) {
	if latest := now.Add(s.cfg.RotationPeriod); k.RotateAt.After(latest) {
		k.RotateAt = latest
	}
	if k.Next != nil && k.NextSince.After(now) {
		k.NextSince = now
	}
}

// mustPublishNext says that a rotation comes near and that no key of the right algorithm is published for it.
func (s *series) mustPublishNext(k *Keyset, now time.Time) bool {
	if now.Before(k.RotateAt.Add(-s.lead())) {
		return false
	}
	// While replicas have different settings, as during an update, they must not undo each other's work all the time.
	return k.Next == nil || k.Next.Algorithm != s.cfg.Algorithm && now.Sub(k.NextSince) > s.MaxAge()/2
}

// mustRotate says that the key's time is over and that everybody has had the time to see the next one.
func (s *series) mustRotate(k *Keyset, now time.Time) bool {
	if k.Next == nil || now.Before(k.RotateAt) {
		return false
	}
	return s.cfg.SignAtOnce || !now.Before(k.NextSince.Add(s.MaxAge()))
}

func (s *series) rotate(k *Keyset, now time.Time) {
	kept := []Retired{{Key: k.Current.Public(), Expires: now.Add(time.Duration(s.tokenLifetime.Load()) + signLag)}}
	for _, r := range k.Retired {
		if now.Before(r.Expires) {
			kept = append(kept, r)
		}
	}
	k.Retired = kept
	k.Current, k.Next, k.NextSince = *k.Next, nil, time.Time{}
	k.CurrentPub = public(k.Current)
	k.RotateAt = now.Add(s.cfg.RotationPeriod)
}

// public returns the half of a key that may be seen, which upstream reads from a member of its own.
func public(k jose.JSONWebKey) *jose.JSONWebKey {
	p := k.Public()
	return &p
}
