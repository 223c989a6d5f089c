package oidc

import (
	"github.com/go-jose/go-jose/v4"

	"dex/internal/relyingparty"
)

// algorithms returns which algorithms the provider's ID tokens may have.
func (m *metadata) algorithms() []jose.SignatureAlgorithm {
	if allowed := relyingparty.KnownAlgorithms(m.Algorithms); allowed != nil {
		return allowed
	}
	return []jose.SignatureAlgorithm{jose.RS256}
}

// userInfoAlgorithms returns which algorithms the provider's userinfo may have: its own, of which a provider need not tell.
func (m *metadata) userInfoAlgorithms() []jose.SignatureAlgorithm {
	if allowed := relyingparty.KnownAlgorithms(m.UserInfoAlgorithms); allowed != nil {
		return allowed
	}
	return relyingparty.Algorithms
}
