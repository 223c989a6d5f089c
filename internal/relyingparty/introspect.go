package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"dex/internal/outbound"
)

// ErrInactive says that a token is not valid, or that the provider doesn't tell us about it.
var ErrInactive = errors.New("the provider says that the token is not active")

// Introspect asks a provider about an access token (RFC 7662), in our own name.
func (c *Client) Introspect(ctx context.Context, at Endpoint, token string) (Claims, error) {
	params := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	var answer *outbound.Answer
	err := c.eitherWay(at.Methods, func(method string) (err error) {
		if answer, err = c.post(ctx, at.URL, at.URL, method, params); err == nil && answer.Status != http.StatusOK {
			err = readRefusal(answer)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
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
