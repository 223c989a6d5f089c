package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/relyingparty"
)

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, _ connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	m, err := c.discovery.get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	if t.Type == oauth.TokenTypeAccess && c.cfg.GetUserInfo {
		return c.holder(ctx, m, t)
	}
	said, err := c.verifySigned(ctx, m, t.Token)
	if err != nil {
		return connector.Identity{}, c.unacceptable(t, err)
	}
	if err := c.checkAudience(said, t); err != nil {
		return connector.Identity{}, err
	}
	return c.read(ctx, m, said, t.Token)
}

// holder asks the provider who holds an access token.
func (c *connection) holder(ctx context.Context, m *metadata, t connector.SubjectToken) (connector.Identity, error) {
	said, err := c.userInfo(ctx, m, t.Token)
	if errors.Is(err, errUnauthorized) {
		return connector.Identity{}, &connector.BadToken{Reason: "the provider knows nobody for it; it may have expired", Cause: err}
	}
	if err != nil {
		return connector.Identity{}, err
	}
	// The provider has just vouched for the token, so what it says of itself is true.
	if signed, err := jose.ParseSignedCompact(t.Token, algorithms); err == nil {
		inside, err := relyingparty.ReadClaims(signed.UnsafePayloadWithoutVerification())
		if err == nil {
			err = c.checkAudience(inside, t)
		}
		if err != nil {
			return connector.Identity{}, err
		}
	}
	return c.read(ctx, m, said, t.Token)
}

// checkAudience refuses tokens that were made for somebody else: who holds one could sign in here as the user.
func (c *connection) checkAudience(said relyingparty.Claims, t connector.SubjectToken) error {
	accepted := slices.Clone(c.cfg.ExchangeAudiences)
	if c.cfg.ClientID != "" {
		accepted = append(accepted, c.cfg.ClientID)
	}
	if t.AnyAudience || len(accepted) == 0 {
		return nil
	}
	audience := said.Texts("aud")
	madeFor := slices.Clone(audience)
	if t.Type == oauth.TokenTypeAccess { // whose audience is an API, and not who asked for it
		madeFor = append(madeFor, said.Text("azp"), said.Text("client_id"))
	}
	for _, name := range madeFor {
		if slices.Contains(accepted, name) {
			return nil
		}
	}
	return &connector.BadToken{Reason: fmt.Sprintf(
		"it was made for %q; the connector takes tokens for %q, to which exchangeAudiences can add", audience, accepted)}
}

// unacceptable says what is wrong with a token, and what to do. Errors that are not the token's stay as they are.
func (c *connection) unacceptable(t connector.SubjectToken, err error) error {
	var useless *invalid
	switch {
	case errors.As(err, &useless):
		return &connector.BadToken{Reason: useless.reason}
	case !errors.Is(err, errForged):
		return err
	case t.Type == oauth.TokenTypeAccess && strings.Count(t.Token, ".") != 2: //nolint:mnd // the dots of a JWT
		return &connector.BadToken{Cause: err, Reason: "it is an opaque access token, which only the provider can read: " +
			"set getUserInfo: true in the connector, or send the ID token with the type " + oauth.TokenTypeID}
	case t.Type == oauth.TokenTypeAccess:
		return &connector.BadToken{Cause: err, Reason: "no key of the provider has signed it: " +
			"set getUserInfo: true in the connector, or send the ID token with the type " + oauth.TokenTypeID}
	}
	return &connector.BadToken{Cause: err, Reason: "no key of the provider has signed it"}
}
