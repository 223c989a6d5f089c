package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// withUserInfo adds what the provider says of the holder of the access token, who must be the same as in the ID token
// (OpenID Connect Core, section 5.3.2).
func (c *connection) withUserInfo(ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, accessToken string) (relyingparty.Claims, error) {
	if !c.cfg.GetUserInfo {
		return said, nil
	}
	more, err := c.userInfo(ctx, m, accessToken)
	if err != nil {
		return nil, err
	}
	if more.Text("sub") != said.Text("sub") {
		return nil, errors.New("userinfo: it is about another user than the ID token")
	}
	all := relyingparty.Claims{}
	maps.Copy(all, said)
	maps.Copy(all, more)
	return all, nil
}

// userInfo asks the provider about the holder of an access token (OpenID Connect Core, section 5.3). A
// *relyingparty.BearerError says that the provider refuses the token.
func (c *connection) userInfo(ctx context.Context, m *relyingparty.Metadata, accessToken string) (relyingparty.Claims, error) {
	if m.UserInfoURL == "" {
		return nil, errors.New("the provider's metadata have no userinfo_endpoint")
	}
	answer, err := (&relyingparty.Tokens{Access: accessToken}).As(c.client, nil).Get(ctx, m.UserInfoURL)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	said, err := c.readUserInfo(ctx, m, answer)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	if said.Text("sub") == "" {
		return nil, fmt.Errorf("userinfo: %w", lacks("sub", noID, "so nobody can tell which user it is about"))
	}
	return said, nil
}

func (c *connection) readUserInfo(ctx context.Context, m *relyingparty.Metadata, answer *outbound.Answer) (relyingparty.Claims, error) {
	if answer.MediaType() != "application/jwt" {
		return relyingparty.ReadClaims(answer.Body)
	}
	token := strings.TrimSpace(string(answer.Body))
	if isEncrypted(token) {
		inside, err := c.decrypt(token)
		if err != nil {
			return nil, err
		}
		if token = inside; strings.HasPrefix(token, "{") { // it need not be signed too
			return relyingparty.ReadClaims([]byte(token))
		}
	}
	return c.keys.Verify(ctx, m.JWKSURL, token, m.InfoAlgorithms())
}
