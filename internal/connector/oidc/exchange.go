package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/relyingparty"
)

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, _ connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	if !oauth.IsBearerToken(t.Token) {
		return connector.Identity{}, &connector.BadToken{Reason: "it has characters that no token has (RFC 6750, section 2.1)"}
	}
	m, err := c.discovery.Get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	if t.Type == oauth.TokenTypeAccess {
		switch c.cfg.accessTokensBy() {
		case byUserInfo:
			return c.holder(ctx, m, t)
		case byIntrospection:
			return c.introspected(ctx, m, t)
		}
	}
	said, err := c.verifySubject(ctx, m, t)
	if err != nil {
		return connector.Identity{}, c.unacceptable(t, err)
	}
	if err := c.checkAudience(said, t); err != nil {
		return connector.Identity{}, err
	}
	return c.read(ctx, m, said, t.Token)
}

// verifySubject returns the claims of a token that the provider has signed. Whom it is for is not checked.
func (c *connection) verifySubject(ctx context.Context, m *relyingparty.Metadata, t connector.SubjectToken) (relyingparty.Claims, error) {
	token, err := c.opened(t.Token)
	if err != nil {
		return nil, err
	}
	if t.Type == oauth.TokenTypeID {
		return c.idTokens.SignedID(ctx, m, token)
	}
	return c.idTokens.Signed(ctx, m, token)
}

// holder asks the provider whose an access token is. Where the token says for whom it was made, that is checked first; it can be
// believed because the provider accepts no token that somebody else has changed.
func (c *connection) holder(ctx context.Context, m *relyingparty.Metadata, t connector.SubjectToken) (connector.Identity, error) {
	if len(c.audiences(t)) > 0 {
		inside, opaque, err := relyingparty.ReadUnverified(t.Token)
		if errors.Is(err, relyingparty.ErrEncrypted) {
			err = &connector.BadToken{Reason: err.Error() + ": set exchangeAccessTokensBy: introspection in the connector"}
		}
		if err == nil && !opaque {
			err = c.checkMadeForUs(inside, t)
		}
		if err != nil {
			return connector.Identity{}, err
		}
	}
	said, err := c.userInfo(ctx, m, t.Token)
	if err != nil {
		return connector.Identity{}, relyingparty.NotTaken(err)
	}
	return c.read(ctx, m, said, t.Token)
}

// introspected asks the provider whose an access token is, and for whom it was made (RFC 7662).
func (c *connection) introspected(ctx context.Context, m *relyingparty.Metadata, t connector.SubjectToken) (connector.Identity, error) {
	if m.IntrospectionURL == "" {
		return connector.Identity{}, errors.New("the provider's metadata have no introspection_endpoint")
	}
	said, err := c.tokens.Introspect(ctx, relyingparty.Endpoint{URL: m.IntrospectionURL, Methods: m.IntrospectionAuthMethods}, t.Token)
	if errors.Is(err, relyingparty.ErrInactive) {
		return connector.Identity{}, &connector.BadToken{Reason: "the provider says that it is not active; it may have expired", Cause: err}
	}
	if err != nil {
		return connector.Identity{}, err
	}
	if err := c.checkIntrospected(said); err != nil {
		return connector.Identity{}, err
	}
	if err := c.checkAudience(said, t); err != nil {
		return connector.Identity{}, err
	}
	if said, err = c.withUserInfo(ctx, m, said, t.Token); err != nil {
		return connector.Identity{}, relyingparty.NotTaken(err)
	}
	return c.read(ctx, m, said, t.Token)
}

// checkIntrospected checks that a token is an access token of this provider, as far as the provider says what it is.
func (c *connection) checkIntrospected(said relyingparty.Claims) error {
	switch {
	case said["token_use"] == "refresh_token", said["token_type"] == "refresh_token":
		return &connector.BadToken{Reason: "it is a refresh token"}
	case said["iss"] != nil && said.Text("iss") != c.cfg.expectedIssuer():
		return &connector.BadToken{Reason: fmt.Sprintf("its issuer is %q, not %q", said.Text("iss"), c.cfg.expectedIssuer())}
	case said.Text("sub") == "":
		return &connector.BadToken{Reason: "the provider does not say whose it is (sub)"}
	}
	return nil
}

// checkMadeForUs refuses a JWT that was made for somebody or something else.
func (c *connection) checkMadeForUs(said relyingparty.Claims, t connector.SubjectToken) error {
	if err := relyingparty.CheckPurpose(t.Token, said); err != nil {
		return c.unacceptable(t, err)
	}
	return c.checkAudience(said, t)
}

// audiences returns for whom a token may have been made; none if that doesn't matter.
func (c *connection) audiences(t connector.SubjectToken) []string {
	if t.AnyAudience {
		return nil
	}
	accepted := slices.Clone(c.cfg.ExchangeAudiences)
	if c.cfg.ClientID != "" {
		accepted = append(accepted, c.cfg.ClientID)
	}
	return accepted
}

// checkAudience refuses tokens that were made for somebody else: whoever is shown one could sign in here as its user.
func (c *connection) checkAudience(said relyingparty.Claims, t connector.SubjectToken) error {
	accepted := c.audiences(t)
	if len(accepted) == 0 {
		return nil
	}
	isOurs := func(name string) bool { return slices.Contains(accepted, name) }
	audience, requester := said.Texts("aud"), said.Text("azp")
	if slices.ContainsFunc(audience, isOurs) {
		if t.Type == oauth.TokenTypeID && relyingparty.GivenAway(said, isOurs) {
			return &connector.BadToken{Reason: fmt.Sprintf("it was given to %q, and not to one of %q (azp)", said["azp"], accepted)}
		}
		return nil
	}
	if requester == "" {
		requester = said.Text("client_id")
	}
	if t.Type != oauth.TokenTypeAccess || !isOurs(requester) {
		return &connector.BadToken{Reason: fmt.Sprintf(
			"it was made for %q; the connector takes tokens for %q, to which exchangeAudiences can add", audience, accepted)}
	}
	if c.cfg.InsecureExchangeByRequester {
		return nil
	}
	return &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, at the request of %q: let the provider add %q to its audience, "+
		"or set insecureExchangeByRequester in the connector", audience, requester, requester)}
}

// unacceptable says what is wrong with a token, and what to do. Errors that are not the token's stay as they are.
func (c *connection) unacceptable(t connector.SubjectToken, err error) error {
	if useless, ok := errors.AsType[*relyingparty.InvalidToken](err); ok {
		return &connector.BadToken{Reason: useless.Reason}
	}
	switch {
	case !errors.Is(err, relyingparty.ErrForged):
		return err
	case t.Type == oauth.TokenTypeAccess && strings.Count(t.Token, ".") != relyingparty.SignedParts-1:
		return &connector.BadToken{Cause: err, Reason: "it is an opaque access token, which only the provider can read: " +
			"set getUserInfo: true or exchangeAccessTokensBy: introspection in the connector, or send the ID token with the type " +
			oauth.TokenTypeID}
	case t.Type == oauth.TokenTypeAccess:
		return &connector.BadToken{Cause: err, Reason: "no key of the provider has signed it: " +
			"set getUserInfo: true in the connector, or send the ID token with the type " + oauth.TokenTypeID}
	}
	return &connector.BadToken{Cause: err, Reason: "no key of the provider has signed it"}
}
