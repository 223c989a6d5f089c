package signing

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

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
	*series // of the server's algorithm
	store   store.Store

	opening chan struct{}                      // held while further changes
	further atomic.Pointer[map[string]*series] // of the algorithms that clients ask for besides, by algorithm
	merged  atomic.Pointer[merged]
	looked  atomic.Int64 // when the storage was last asked for the sake of a token, in Unix nanoseconds
}

// Open loads the keys, or creates the first one. Run must be called for them to rotate.
func Open(ctx context.Context, s store.Store, cfg Config, log *slog.Logger, events event.Sink) (*Local, error) {
	l := &Local{
		series: &series{
			cfg: cfg, record: RecordKey, table: store.In(s, Kind), log: log, events: events,
			advancing: make(chan struct{}, 1), tokenLifetime: new(atomic.Int64),
		},
		store:   s,
		opening: make(chan struct{}, 1),
	}
	l.further.Store(&map[string]*series{})
	l.Outlast(cfg.TokenLifetime)
	if err := l.advance(ctx); err != nil {
		return nil, err
	}
	return l, l.openStored(ctx)
}

// Outlast makes old keys stay published for tokens of this lifetime, from now on. A shorter one than before changes nothing, as
// longer-lived tokens are in use. It is not called twice at once.
func (l *Local) Outlast(tokenLifetime time.Duration) {
	l.tokenLifetime.Store(max(l.tokenLifetime.Load(), int64(tokenLifetime)))
}

// Key returns the key of the server's algorithm that signs now.
func (l *Local) Key() *Key { return l.current.Load().signing }

// JWKS returns the published keys (RFC 7517, section 5), those of the server's algorithm first: of each algorithm the signing one,
// then the next, then the retired.
func (l *Local) JWKS() Document { return l.published().jwks }

// Algorithms returns the algorithms of the published keys, the server's first.
func (l *Local) Algorithms() []string { return l.published().names() }

// Verify returns the payload of a token that one of the published keys signed; ErrBadToken if none did. What the payload
// says, its expiry included, is the caller's to check. The storage is asked only where a token names a key that isn't known:
// another replica may just have begun to sign with a further algorithm.
func (l *Local) Verify(token string) ([]byte, error) {
	payload, err := l.published().verify(token)
	if !errors.Is(err, errUnknownKey) || !l.mayLook() {
		return payload, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout) // callers have no context for it
	defer cancel()
	if lookErr := l.openStored(ctx); lookErr != nil {
		l.log.ErrorContext(ctx, "signing keys can't be looked for", "err", lookErr)
	}
	return l.published().verify(token)
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
		if err := l.advanceAll(ctx); err != nil && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "failed to rotate keys", "err", err)
			wait = retryAfter
		}
		next := checkEvery
		for _, s := range l.all() {
			next = min(next, s.untilNext(time.Now()))
		}
		tick.Reset(max(wait, next))
	}
}
