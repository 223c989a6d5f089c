package oidc

import (
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// algorithms returns which algorithms the provider's ID tokens may have.
func (m *metadata) algorithms() []jose.SignatureAlgorithm {
	if allowed := known(m.Algorithms); allowed != nil {
		return allowed
	}
	return []jose.SignatureAlgorithm{jose.RS256}
}

// userInfoAlgorithms returns which algorithms the provider's userinfo may have: its own, of which a provider need not tell.
func (m *metadata) userInfoAlgorithms() []jose.SignatureAlgorithm {
	if allowed := known(m.UserInfoAlgorithms); allowed != nil {
		return allowed
	}
	return algorithms
}

// known returns those of the algorithms that are taken at all.
func known(names []string) []jose.SignatureAlgorithm {
	var allowed []jose.SignatureAlgorithm
	for _, alg := range algorithms {
		if slices.Contains(names, string(alg)) {
			allowed = append(allowed, alg)
		}
	}
	return allowed
}

// try returns the payload of a token that one of the keys has signed. Its error is errForged.
func (k *keyset) try(token *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, error) {
	header, err := token.Signatures[0].Header, errForged
	for i := range keys {
		key := &keys[i]
		if header.KeyID != "" && key.KeyID != header.KeyID {
			continue
		}
		if unfit := unfit(key, header.Algorithm); unfit != nil && !k.ignoreUse {
			err = fmt.Errorf("%w: %w", errForged, unfit)
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
