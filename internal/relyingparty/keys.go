package relyingparty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/wait"
)

const (
	// keysBurst is how many times in a row the keys are fetched for tokens that none of the known ones has signed, and keysEvery
	// the pause after that; all who wait are served by the next fetch. So invented tokens don't cause as many requests, and
	// don't keep out users whose token has a key that the provider has only just begun to use.
	keysBurst = 5
	keysEvery = 2 * time.Second
	// maxKeys bounds how many keys are kept.
	maxKeys = 100
)

// Algorithms are all that are accepted: nothing symmetric, and never "none".
var Algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// ErrForged says that none of the provider's keys has signed a token.
var ErrForged = errors.New("no key of the provider has signed it")

// KnownAlgorithms returns those of Algorithms that are among the names.
func KnownAlgorithms(names []string) []jose.SignatureAlgorithm {
	var known []jose.SignatureAlgorithm
	for _, alg := range Algorithms {
		if slices.Contains(names, string(alg)) {
			known = append(known, alg)
		}
	}
	return known
}

// Keys are those that a provider signs tokens with. They are safe for concurrent use.
type Keys struct {
	Client    *http.Client
	MaxAge    time.Duration // of what was read: a key that the provider has withdrawn counts for so long
	IgnoreUse bool          // take keys for other uses and algorithms than they say

	asking outbound.Shared[[]jose.JSONWebKey]

	mu      sync.Mutex // guards the rest, never held over I/O
	address string     // that the keys are from
	keys    []jose.JSONWebKey
	asked   time.Time // when they were asked for
	spent   time.Time // until when the fetches so far are paid for, one by each keysEvery
}

// Verify returns the claims of a token that one of the keys at an address has signed. The error is ErrForged if none has; any other
// error means that the keys could not be read.
func (k *Keys) Verify(ctx context.Context, address, token string, allowed []jose.SignatureAlgorithm) (Claims, error) {
	signed, err := jose.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	keys, fresh := k.cached(address)
	payload, err := k.try(signed, keys)
	if err != nil || !fresh {
		if keys, err = k.fetch(ctx, address); err != nil {
			return nil, err
		}
		payload, err = k.try(signed, keys)
	}
	if err != nil {
		return nil, err
	}
	return ReadClaims(payload)
}

// cached returns the keys that are known, and whether they are young enough.
func (k *Keys) cached(address string) ([]jose.JSONWebKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.address != address {
		return nil, false
	}
	return k.keys, time.Since(k.asked) < k.MaxAge
}

// fetch gets the keys as they are now, with a request of its own or with one that somebody else begins from now on.
func (k *Keys) fetch(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	if address == "" {
		return nil, errors.New("the provider's metadata have no jwks_uri")
	}
	arrived := time.Now()
	for {
		keys, enough, due := k.since(arrived, address)
		if enough {
			return keys, nil
		}
		if due <= 0 {
			if err := k.ask(ctx, address); err != nil {
				return nil, err
			}
			continue // an answer that was asked for earlier may be too old
		}
		if err := wait.For(ctx, due); err != nil {
			return nil, err
		}
	}
}

// since returns the keys if they were asked for after a time, or how long to wait before they may be.
func (k *Keys) since(arrived time.Time, address string) (keys []jose.JSONWebKey, enough bool, due time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.address == address && !k.asked.Before(arrived) {
		return k.keys, true, 0
	}
	return nil, false, time.Until(k.spent.Add(-(keysBurst - 1) * keysEvery))
}

// ask asks the provider.
func (k *Keys) ask(ctx context.Context, address string) error {
	_, err := k.asking.Ask(ctx, address, func(ctx context.Context) ([]jose.JSONWebKey, error) {
		asked := k.pay()
		keys, err := k.load(ctx, address)
		if err == nil {
			k.keep(address, keys, asked)
		}
		return keys, err
	})
	return err
}

// pay counts a fetch, and returns when it began.
func (k *Keys) pay() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.spent.Before(now) {
		k.spent = now
	}
	k.spent = k.spent.Add(keysEvery)
	return now
}

func (k *Keys) keep(address string, keys []jose.JSONWebKey, asked time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.address, k.keys, k.asked = address, keys, asked
}

// load reads the key set, without keys that can't be used: providers have some of kinds to come.
func (k *Keys) load(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	status, body, err := outbound.Get(ctx, k.Client, address, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if status != http.StatusOK {
		return nil, connector.FromStatus(status, fmt.Errorf("keys: %s answers %d", address, status))
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

// try returns the payload of a token that one of the keys has signed. Its error is ErrForged.
func (k *Keys) try(token *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, error) {
	header, err := token.Signatures[0].Header, ErrForged
	for i := range keys {
		key := &keys[i]
		if header.KeyID != "" && key.KeyID != header.KeyID {
			continue
		}
		if unfit := unfit(key, header.Algorithm); unfit != nil && !k.IgnoreUse {
			err = fmt.Errorf("%w: %w", ErrForged, unfit)
			continue
		}
		if payload, err := token.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, err
}

// unfit returns why a key may not have signed a token (RFC 7517, sections 4.2 and 4.4); nil if it may.
func unfit(key *jose.JSONWebKey, alg string) error {
	const way = "insecureIgnoreKeyUse takes it all the same"
	switch {
	case key.Use == "enc":
		return fmt.Errorf("the provider's key %q is for encryption (use); %s", key.KeyID, way)
	case key.Algorithm != "" && key.Algorithm != alg:
		return fmt.Errorf("the provider's key %q is for %s, and the token has %s; %s", key.KeyID, key.Algorithm, alg, way)
	}
	return nil
}
