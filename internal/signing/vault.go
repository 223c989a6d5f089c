package signing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// readEvery is how often the key is read from Vault.
	readEvery = 30 * time.Second
	// readAgainAfter is how soon it may be read again for tokens with unknown key ids, which anybody can make.
	readAgainAfter = 5 * time.Second
	// publishFor is how long a new version of the key is published before it signs: until all replicas have read it, and
	// nobody has older published keys any more. It leaves some time for clocks that differ.
	publishFor = maxAge + 2*readEvery
)

// VaultConfig says where the key is.
type VaultConfig struct {
	Addr      string // the URL of Vault or OpenBao
	Token     string
	KeyName   string // in the Transit engine at transit/
	Namespace string // empty for the root namespace
	CAFile    string // authorities in PEM that may have issued Vault's certificate; empty for those of the system
	// SignAtOnce makes a new version of the key sign when it is seen, and not after it was published for a while.
	SignAtOnce bool
	// Transport replaces the network; nil for none.
	Transport http.RoundTripper
}

// Vault is a signer whose private key never leaves the Transit engine of Vault or OpenBao. Rotation is Vault's; all
// versions of the key that it still has are published. It is safe for concurrent use.
type Vault struct {
	cfg     VaultConfig
	transit *transit
	log     *slog.Logger

	current atomic.Pointer[versions]
	reading singleflight.Group
	readAt  atomic.Int64 // when the last reading ended, in Unix nanoseconds
	failing atomic.Bool
}

// OpenVault reads the key and signs something with it, so that what is wrong with either shows at the start. Run must
// be called for rotations to be seen and the token to be renewed.
func OpenVault(ctx context.Context, cfg VaultConfig, log *slog.Logger) (*Vault, error) {
	t, err := newTransit(cfg)
	if err != nil {
		return nil, err
	}
	v := &Vault{cfg: cfg, transit: t, log: log}
	if err := v.read(ctx); err != nil {
		return nil, err
	}
	// No JWS, and so not a token by any means: it has no dots.
	if _, err := v.Key().private.sign(ctx, []byte("a test of the signing key")); err != nil {
		return nil, err
	}
	return v, nil
}

// Key returns the key that signs now: the newest version that has been published for long enough.
func (v *Vault) Key() *Key { return v.current.Load().signing(time.Now()) }

// KeyFor returns Key; an error if that is of another algorithm, as Vault's key has just one.
func (v *Vault) KeyFor(_ context.Context, algorithm string) (*Key, error) {
	key := v.Key()
	if algorithm != "" && algorithm != key.algorithm {
		return nil, fmt.Errorf("%w: %s; the key %q in Vault is for %s", ErrOtherAlgorithm, algorithm, v.cfg.KeyName, key.algorithm)
	}
	return key, nil
}

// JWKS returns the published keys, newest first.
func (v *Vault) JWKS() Document { return v.current.Load().jwks }

// Algorithms returns the algorithms of the published keys; in Vault all versions of a key have the same.
func (v *Vault) Algorithms() []string { return v.current.Load().names() }

// MaxAge returns how long the published keys may be cached.
func (v *Vault) MaxAge() time.Duration { return maxAge }

// Outlast does nothing: how long a version of the key is published is up to Vault.
func (v *Vault) Outlast(time.Duration) {}

// Verify returns the payload of a token that one of the published keys signed; ErrBadToken if none did. Vault is asked
// only where a token names a key that isn't known: maybe another replica has seen a rotation first.
func (v *Vault) Verify(token string) ([]byte, error) {
	payload, err := v.current.Load().verify(token)
	if !errors.Is(err, errUnknownKey) {
		return payload, err
	}
	if time.Since(time.Unix(0, v.readAt.Load())) >= readAgainAfter {
		// All callers that wait share one answer, so it belongs to none of them; it is bounded by transitTimeout.
		_ = v.read(context.Background()) // logged
	}
	return v.current.Load().verify(token)
}

// Run reads the key again and again, and renews the token, until the context ends.
func (v *Vault) Run(ctx context.Context) {
	token := tokenKeeper{transit: v.transit, log: v.log}
	token.begin(ctx)
	timer := time.NewTimer(pause(&token))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		_ = v.read(ctx) // logged; what was read before stays in use
		token.renew(ctx)
		timer.Reset(pause(&token))
	}
}

// pause returns how long Run waits. A token may be so short-lived that it has to be renewed in between.
func pause(token *tokenKeeper) time.Duration {
	return max(min(readEvery, token.wait()), time.Second)
}

// read brings what is known of the key up to date. Concurrent callers share one question to Vault.
func (v *Vault) read(ctx context.Context) error {
	_, err, _ := v.reading.Do("", func() (any, error) {
		defer func() { v.readAt.Store(time.Now().UnixNano()) }()
		key, err := v.transit.readKey(ctx)
		if err != nil {
			return nil, err
		}
		next, err := v.next(key, time.Now())
		if err != nil {
			return nil, fmt.Errorf("the key %q in Vault: %w", v.cfg.KeyName, err)
		}
		v.current.Store(next)
		return nil, nil
	})
	v.report(ctx, err)
	return err
}

// report logs when reading begins to fail and when it works again.
func (v *Vault) report(ctx context.Context, err error) {
	switch {
	case err == nil && v.failing.Swap(false):
		v.log.InfoContext(ctx, "signing keys can be read from Vault again")
	case err != nil && ctx.Err() == nil && v.current.Load() != nil && !v.failing.Swap(true):
		v.log.ErrorContext(ctx, "signing keys can't be read from Vault; the published ones stay as they were", "err", err)
	}
}
