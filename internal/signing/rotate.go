package signing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/event"
)

// A State is what a key is for.
type State string

// The states of a key.
const (
	Signs State = "signing"
	Next  State = "next"    // it is published, and will sign
	Past  State = "retired" // it is published for the tokens that it has signed
)

// A Described key is what those who run Dex may know of it: nothing that is private.
type Described struct {
	ID        string
	Algorithm string
	State     State
	// Until is when a signing key is due to be rotated, or when a retired one is no longer published; zero if nobody knows.
	Until time.Time
	// From is when the next key may sign at the earliest; zero for other keys.
	From time.Time
}

// A Mode is a way to rotate.
type Mode string

// The ways to rotate.
const (
	// Gracefully has a new key sign once it was published for long enough that all applications know it.
	Gracefully Mode = "graceful"
	// AtOnce has a new key sign from now on, and accepts no token that any key before has signed: one has leaked. The key that was
	// published to be the next is dropped too, as it was in the same place, and so are those that are retired: they were there before.
	AtOnce Mode = "now"
)

// ErrElsewhere says that keys are rotated elsewhere.
var ErrElsewhere = errors.New("the keys are in Vault, and are rotated there: vault write -f transit/keys/NAME/rotate; after a leak, " +
	"raise min_decryption_version and min_encryption_version of the key too")

// List describes all keys, those of the server's algorithm first, and of each algorithm the one that signs.
func (l *Local) List() []Described {
	var all []Described
	for _, s := range l.all() {
		all = append(all, s.list()...)
	}
	return all
}

func (s *series) list() []Described {
	stored, now := s.current.Load().stored, time.Now()
	all := []Described{{ID: stored.Current.KeyID, Algorithm: stored.Current.Algorithm, State: Signs, Until: stored.RotateAt}}
	if next := stored.Next; next != nil {
		from := stored.NextSince.Add(s.MaxAge())
		if stored.RotateAt.After(from) {
			from = stored.RotateAt
		}
		all = append(all, Described{ID: next.KeyID, Algorithm: next.Algorithm, State: Next, From: from})
	}
	for _, r := range stored.Retired {
		if now.Before(r.Expires) {
			all = append(all, Described{ID: r.Key.KeyID, Algorithm: r.Key.Algorithm, State: Past, Until: r.Expires})
		}
	}
	return all
}

// Rotate begins to rotate the keys of all algorithms, on all replicas. After an error the keys are as they were, or the rotation has
// begun and this replica learns of it later; those of some algorithms may be rotated already.
func (l *Local) Rotate(ctx context.Context, mode Mode) error {
	if err := l.openStored(ctx); err != nil { // those of another replica may have leaked too
		return fmt.Errorf("rotate signing keys: %w", err)
	}
	for _, s := range l.all() {
		if err := s.rotateNow(ctx, mode); err != nil {
			return err
		}
	}
	return nil
}

func (s *series) rotateNow(ctx context.Context, mode Mode) error {
	fresh, err := generate(s.cfg.Algorithm)
	if err != nil {
		return err
	}
	e, err := s.table.Update(ctx, s.record, func(k *Keyset) error {
		now := time.Now()
		if mode == AtOnce {
			s.replace(k, fresh, now)
		} else {
			s.hasten(k, fresh, now)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rotate signing keys: %w", err)
	}
	s.log.InfoContext(ctx, "rotating signing keys", "reason", "asked for", "mode", string(mode))
	if mode == AtOnce {
		s.events.Emit(ctx, event.KeysRotated{Next: e.Value.RotateAt})
	}
	return s.advance(ctx)
}

// replace has a fresh key sign, and forgets all others: that before, the one that was to be the next, and those that are retired, as
// a leak is often found after a rotation.
func (s *series) replace(k *Keyset, fresh jose.JSONWebKey, now time.Time) {
	k.Current, k.CurrentPub = fresh, public(fresh)
	k.Next, k.NextSince, k.Retired = nil, time.Time{}, nil
	k.RotateAt = now.Add(s.cfg.RotationPeriod)
}

// hasten has the next key sign as soon as everybody has had the time to see it; a fresh one if none of the right algorithm is
// published.
func (s *series) hasten(k *Keyset, fresh jose.JSONWebKey, now time.Time) {
	if k.Next == nil || k.Next.Algorithm != s.cfg.Algorithm {
		k.Next, k.NextSince = &fresh, now
	}
	if k.RotateAt.After(now) {
		k.RotateAt = now
	}
}

// List describes all versions of the key that Vault tells of, the newest first.
func (v *Vault) List() []Described {
	known, signing := v.current.Load(), v.Key()
	all := make([]Described, 0, len(known.all))
	state := Next
	for _, one := range known.all {
		d := Described{ID: one.public.KeyID, Algorithm: one.public.Algorithm, State: state}
		switch {
		case one.key == signing:
			d.State, state = Signs, Past
		case state == Next:
			d.From = one.signsFrom
		}
		all = append(all, d)
	}
	return all
}

// Rotate fails: it would need rights in Vault that Dex has no other use for.
func (v *Vault) Rotate(context.Context, Mode) error { return ErrElsewhere }
