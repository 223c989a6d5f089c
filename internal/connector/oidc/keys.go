package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

const (
	// keysEvery is how often the keys are fetched at most: tokens with invented key ids must not become requests.
	keysEvery = 10 * time.Second
	// keysAge is how old keys may be: one that was withdrawn must not be good for ever.
	keysAge = time.Hour
	// maxKeys bounds how many keys are kept.
	maxKeys = 100
)

// algorithms are those that are taken at all: nothing symmetric, and never none.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// errForged says that none of the provider's keys has signed a token.
var errForged = errors.New("no key of the provider has signed it")

// keyset is the provider's keys.
type keyset struct {
	client    *http.Client
	ignoreUse bool // take keys for other uses and algorithms than they say
	flight    singleflight.Group

	mu      sync.Mutex // guards the rest, never held over I/O
	address string     // that the keys are from
	keys    []jose.JSONWebKey
	fetched time.Time // successfully
	tried   time.Time
}

// verify returns the claims of a token that the provider has signed. An error that is errForged means that it has not; every
// other one that the keys could not be had.
func (k *keyset) verify(
	ctx context.Context, m *metadata, token string, allowed []jose.SignatureAlgorithm,
) (relyingparty.Claims, error) {
	signed, err := jose.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForged, err)
	}
	keys, fresh := k.cached(m.JWKSURL)
	payload, err := k.try(signed, keys)
	if err != nil || !fresh {
		if keys, err = k.fetch(ctx, m.JWKSURL); err != nil {
			return nil, err
		}
		payload, err = k.try(signed, keys)
	}
	if err != nil {
		return nil, err
	}
	return relyingparty.ReadClaims(payload)
}

// cached returns the keys that are known, and whether they are young enough.
func (k *keyset) cached(address string) ([]jose.JSONWebKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.address != address {
		return nil, false
	}
	return k.keys, time.Since(k.fetched) < keysAge
}

// fetch gets the keys anew, unless that was tried a moment ago.
func (k *keyset) fetch(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	if address == "" {
		return nil, errors.New("the provider's metadata have no jwks_uri")
	}
	if keys, recent := k.recent(address); recent {
		return keys, nil
	}
	answer := k.flight.DoChan(address, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outbound.Timeout)
		defer cancel()
		keys, err := k.load(ctx, address)
		k.keep(address, keys, err)
		return keys, err
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.([]jose.JSONWebKey), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// recent returns the keys if they were fetched a moment ago. After a failure they may be tried again at once: the user
// waits.
func (k *keyset) recent(address string) ([]jose.JSONWebKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.address != address || k.fetched.Before(k.tried) || time.Since(k.tried) >= keysEvery {
		return nil, false
	}
	return k.keys, true
}

func (k *keyset) keep(address string, keys []jose.JSONWebKey, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.tried = now
	if err == nil {
		k.address, k.keys, k.fetched = address, keys, now
	}
}

// load reads the key set, without keys that can't be used: providers have some of kinds to come.
func (k *keyset) load(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	status, body, err := outbound.Get(ctx, k.client, address, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("keys: %s answers %d", address, status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("keys: %s is no key set: %w", address, err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && key.IsPublic() && len(keys) < maxKeys {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
