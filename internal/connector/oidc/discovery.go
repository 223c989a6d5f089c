package oidc

import (
	"fmt"

	"dex/internal/relyingparty"
)

// adjust checks what the provider says of itself, and puts in what is configured instead.
func (c *Config) adjust(m *relyingparty.Metadata) error {
	if c.IssuerAlias == "" {
		if err := m.CheckIssuer(c.Issuer); err != nil {
			return fmt.Errorf("%w, unless issuerAlias is set", err)
		}
	}
	for _, each := range []struct {
		to   *string
		with string
	}{
		{&m.AuthURL, c.Overrides.AuthURL}, {&m.TokenURL, c.Overrides.TokenURL}, {&m.JWKSURL, c.Overrides.JWKSURL},
		{&m.UserInfoURL, c.Overrides.UserInfoURL}, {&m.EndSessionURL, c.Overrides.EndSessionURL},
	} {
		if each.with != "" {
			*each.to = each.with
		}
	}
	return nil
}

// expectedIssuer returns what the provider's tokens have as iss.
func (c *Config) expectedIssuer() string {
	if c.IssuerAlias != "" {
		return c.IssuerAlias
	}
	return c.Issuer
}

// idTokens returns the rules for the provider's tokens.
func (c *Config) idTokens(keys *relyingparty.Keys) *relyingparty.IDTokens {
	return &relyingparty.IDTokens{
		Keys: keys, Issuer: c.expectedIssuer(), ClientID: c.ClientID, Skew: c.skew(),
		Switches: true, SkipIssuedAt: c.InsecureSkipIssuedAt, SkipNonce: c.InsecureSkipNonce, SkipAtHash: c.InsecureSkipAtHash,
	}
}
