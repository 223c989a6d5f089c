package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// ErrInactive says that a provider doesn't take a token as valid, or not for us.
var ErrInactive = errors.New("the provider says that the token is not active")

// Introspect asks a provider about an access token (RFC 7662), in our own name. The provider says that its endpoint has the
// methods of authentication.
func (c *Client) Introspect(ctx context.Context, endpoint string, methods []string, token string) (Claims, error) {
	params := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	method, sure := c.method(methods)
	answer, err := c.post(ctx, endpoint, method, params)
	if err == nil && answer.Status == http.StatusUnauthorized && !sure {
		answer, err = c.post(ctx, endpoint, AuthPost, params)
	}
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("introspection: the provider answers %d", answer.Status)
	}
	said, err := ReadClaims(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	if said["active"] != true {
		return nil, ErrInactive
	}
	return said, nil
}
