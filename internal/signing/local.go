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

const (
	// checkEvery bounds how long this replica may miss what another did, should a change not be reported.
	checkEvery = 30 * time.Second
	// retryAfter is the pause after the storage failed.
	retryAfter = 5 * time.Second
	// maxAge is how long applications may keep the published keys. A new key signs no earlier than that after it was
	// published.
	maxAge = 10 * time.Minute
	// signLag is how long a replica may go on signing with a key that another one has retired, and some more for
	// clocks that differ.
	signLag = 2 * time.Minute
)

// Config says how keys are made and kept.
type Config struct {
	Algorithm      string        // RS256 or ES256; a change takes effect with the next rotation
	RotationPeriod time.Duration // how long a key signs
	TokenLifetime  time.Duration // of the longest-lived tokens: an old key stays published that long
	// SignAtOnce makes a new key sign when it is made, and not after it was published for a while, as upstream does.
	// Applications that keep the published keys as long as they may then meet tokens that they can't verify.
	SignAtOnce bool
}

// Local is a signer whose keys live in the storage. It is safe for concurrent use.
type Local struct {
	cfg    Config
	store  store.Store
	table  *store.Table[Keyset]
	log    *slog.Logger
	events event.Sink

	advancing     chan struct{} // held while current is made of what is stored, so that nothing older replaces it
	tokenLifetime atomic.Int64  // a time.Duration
	current       atomic.Pointer[snapshot]
}

// Open loads the keys, or creates the first one. Run must be called for them to rotate.
func Open(ctx context.Context, s store.Store, cfg Config, log *slog.Logger, events event.Sink) (*Local, error) {
	l := &Local{
		cfg:    cfg,
		store:  s,
		table:  store.In(s, Kind),
		log:    log,
		events: events,

		advancing: make(chan struct{}, 1),
	}
	l.Outlast(cfg.TokenLifetime)
	if err := l.advance(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Outlast makes old keys stay published for tokens of this lifetime, from now on. A shorter one than before changes nothing, as
// longer-lived tokens are in use. It is not called twice at once.
func (l *Local) Outlast(tokenLifetime time.Duration) {
	l.tokenLifetime.Store(max(l.tokenLifetime.Load(), int64(tokenLifetime)))
}

// Key returns the key that signs now.
func (l *Local) Key() *Key { return l.current.Load().signing }

// JWKS returns the published keys (RFC 7517, section 5): the signing one first, then the next, then the retired.
func (l *Local) JWKS() Document { return l.current.Load().jwks }

// Algorithms returns the algorithms of the published keys, the signing one's first.
func (l *Local) Algorithms() []string { return l.current.Load().names() }

// MaxAge returns how long the published keys may be cached: never longer than a key is published before it signs.
func (l *Local) MaxAge() time.Duration {
	if l.cfg.SignAtOnce {
		return maxAge // with nothing that it could be held to
	}
	return min(maxAge, l.cfg.RotationPeriod/4).Truncate(time.Second)
}

// Verify returns the payload of a token that one of the published keys signed; ErrBadToken if none did. What the payload
// says, its expiry included, is the caller's to check.
func (l *Local) Verify(token string) ([]byte, error) {
	return l.current.Load().verify(token)
}

// Run keeps the keys up to date until the context ends. While the storage does not report changes it looks for them.
func (l *Local) Run(ctx context.Context) {
	var changes <-chan store.Change
	watching := false
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case c, open := <-changes:
			if !open {
				changes = nil // the timer goes on
				continue
			}
			if c.Kind != "" && c.Kind != l.table.Kind() {
				continue
			}
		case <-tick.C:
		}
		wait := time.Duration(0)
		if !watching {
			var err error
			if changes, err = l.store.Watch(ctx); err != nil && ctx.Err() == nil {
				l.log.ErrorContext(ctx, "signing keys can't be watched", "err", err)
				wait = retryAfter
			}
			watching = err == nil
		}
		if err := l.advance(ctx); err != nil && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "failed to rotate keys", "err", err)
			wait = retryAfter
		}
		tick.Reset(max(wait, l.untilNext(time.Now())))
	}
}

// untilNext returns when to look at the keys again.
func (l *Local) untilNext(now time.Time) time.Duration {
	stored := l.current.Load().stored
	next := stored.RotateAt
	if stored.Next == nil {
		next = next.Add(-l.lead())
	} else if ready := stored.NextSince.Add(l.MaxAge()); ready.After(next) {
		next = ready
	}
	return max(min(next.Sub(now), checkEvery), 10*time.Millisecond)
}

// lead is how long before a rotation the next key is published: twice as long as the published keys may be cached.
func (l *Local) lead() time.Duration {
	if l.cfg.SignAtOnce {
		return 0
	}
	return 2 * l.MaxAge()
}

// advance reads the keys, takes each step whose time has come, and makes the result current.
func (l *Local) advance(ctx context.Context) error {
	select {
	case l.advancing <- struct{}{}:
		defer func() { <-l.advancing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e, err := l.table.Get(store.Latest(ctx), RecordKey) // or a key that has leaked could come back for a while
	if errors.Is(err, store.ErrNotFound) {
		e, err = l.create(ctx)
	}
	if err != nil {
		return err
	}
	for {
		changed, stepErr := l.step(ctx, &e)
		if stepErr != nil {
			// Signing goes on with what is there; Run tries again.
			err = stepErr
			break
		}
		if !changed {
			break
		}
	}
	s, prepareErr := prepare(e.Value, time.Now())
	if prepareErr != nil {
		return prepareErr
	}
	l.current.Store(s)
	return err
}

// create stores the first key, or returns the one that another replica was faster to store. Nobody can hold an older
// published document, so it signs at once.
func (l *Local) create(ctx context.Context) (store.Entry[Keyset], error) {
	l.log.InfoContext(ctx, "rotating signing keys", "reason", "missing signing key")
	first, err := generate(l.cfg.Algorithm)
	if err != nil {
		return store.Entry[Keyset]{}, err
	}
	e, err := l.table.Create(ctx, RecordKey, Keyset{Current: first, CurrentPub: public(first), RotateAt: time.Now().Add(l.cfg.RotationPeriod)})
	if errors.Is(err, store.ErrExists) {
		return l.table.Get(ctx, RecordKey)
	}
	return e, err
}

// step takes at most one step of the keys' life in the storage and reports whether it did.
func (l *Local) step(ctx context.Context, e *store.Entry[Keyset]) (bool, error) {
	now := time.Now()
	switch k := &e.Value; {
	case l.isAhead(k, now):
		l.log.WarnContext(ctx, "the next rotation of the signing keys is too far ahead, so it was brought forward: a clock was wrong, or "+
			"the rotation period was longer before", "next_rotation", k.RotateAt)
		return true, l.update(ctx, e, func(k *Keyset) bool {
			if !l.isAhead(k, now) {
				return false
			}
			l.bringForward(k, now)
			return true
		})
	case l.mustPublishNext(k, now):
		next, err := generate(l.cfg.Algorithm)
		if err != nil {
			return false, err
		}
		return true, l.update(ctx, e, func(k *Keyset) bool {
			if !l.mustPublishNext(k, now) {
				return false
			}
			k.Next, k.NextSince = &next, now
			return true
		})
	case l.mustRotate(k, now):
		l.log.InfoContext(ctx, "rotating signing keys", "reason", "expired")
		err := l.update(ctx, e, func(k *Keyset) bool {
			if !l.mustRotate(k, now) {
				return false
			}
			l.rotate(k, now)
			return true
		})
		if err == nil {
			l.events.Emit(ctx, event.KeysRotated{Next: e.Value.RotateAt})
		}
		return true, err
	}
	return false, nil
}

// update changes the stored keys; change reports false where another replica has done it already.
func (l *Local) update(ctx context.Context, e *store.Entry[Keyset], change func(*Keyset) bool) error {
	updated, err := l.table.Update(ctx, RecordKey, func(k *Keyset) error {
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
func (l *Local) isAhead(k *Keyset, now time.Time) bool {
	return k.RotateAt.After(now.Add(l.cfg.RotationPeriod+signLag)) || k.Next != nil && k.NextSince.After(now.Add(signLag))
}

// bringForward corrects such times. Retired keys keep theirs: tokens may live as long, and one that is published for longer
// does no harm.
func (l *Local) bringForward(k *Keyset, now time.Time) {
	if latest := now.Add(l.cfg.RotationPeriod); k.RotateAt.After(latest) {
		k.RotateAt = latest
	}
	if k.Next != nil && k.NextSince.After(now) {
		k.NextSince = now
	}
}

// mustPublishNext says that a rotation comes near and that no key of the right algorithm is published for it.
func (l *Local) mustPublishNext(k *Keyset, now time.Time) bool {
	if now.Before(k.RotateAt.Add(-l.lead())) {
		return false
	}
	// While replicas have different settings, as during an update, they must not undo each other's work all the time.
	return k.Next == nil || k.Next.Algorithm != l.cfg.Algorithm && now.Sub(k.NextSince) > l.MaxAge()/2
}

// mustRotate says that the key's time is over and that everybody has had the time to see the next one.
func (l *Local) mustRotate(k *Keyset, now time.Time) bool {
	if k.Next == nil || now.Before(k.RotateAt) {
		return false
	}
	return l.cfg.SignAtOnce || !now.Before(k.NextSince.Add(l.MaxAge()))
}

func (l *Local) rotate(k *Keyset, now time.Time) {
	kept := []Retired{{Key: k.Current.Public(), Expires: now.Add(time.Duration(l.tokenLifetime.Load()) + signLag)}}
	for _, r := range k.Retired {
		if now.Before(r.Expires) {
			kept = append(kept, r)
		}
	}
	k.Retired = kept
	k.Current, k.Next, k.NextSince = *k.Next, nil, time.Time{}
	k.CurrentPub = public(k.Current)
	k.RotateAt = now.Add(l.cfg.RotationPeriod)
}

// public returns the half of a key that may be seen, which upstream reads from a member of its own.
func public(k jose.JSONWebKey) *jose.JSONWebKey {
	p := k.Public()
	return &p
}
