package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/relyingparty"
)

// Refresh implements connector.Refresher. The provider is asked by its own refresh token, which it may replace.
func (c *connection) Refresh(ctx context.Context, _ connector.Scopes, last connector.Identity) (connector.Identity, error) {
	var kept stored
	if err := json.Unmarshal(last.Data, &kept); err != nil || len(kept.RefreshToken) == 0 {
		return connector.Identity{}, fmt.Errorf("%w: the provider gave no refresh token at the login; "+
			"the scope offline_access, or promptType, may be what it wants", connector.ErrGone)
	}
	m, err := c.discovery.get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	given, err := c.ask(ctx, m, url.Values{
		"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {string(kept.RefreshToken)},
	})
	if err != nil {
		return connector.Identity{}, goneIf(err)
	}
	fresh, err := c.renewed(ctx, m, given, last)
	if err != nil {
		return connector.Identity{}, err
	}
	if fresh.UserID != last.UserID {
		return connector.Identity{}, fmt.Errorf("%w: the provider answers for another user", connector.ErrGone)
	}
	if fresh.Data == nil { // no new refresh token: the old one goes on
		fresh.Data = last.Data
	}
	return fresh, nil
}

// goneIf tells a provider that refuses a user from one that can't be asked.
func goneIf(err error) error {
	var refused *relyingparty.Refusal
	if errors.As(err, &refused) && refused.Code == "invalid_grant" {
		return fmt.Errorf("%w: %w", connector.ErrGone, err)
	}
	return err
}

// renewed reads the answer to a refresh. It may have no ID token (OpenID Connect Core, section 12.2): then the provider says
// nothing new, unless it is asked.
func (c *connection) renewed(
	ctx context.Context, m *metadata, given *relyingparty.Tokens, last connector.Identity,
) (connector.Identity, error) {
	if given.ID != "" {
		said, err := c.verifyID(ctx, m, given.ID)
		if err != nil {
			return connector.Identity{}, err
		}
		return c.identify(ctx, m, said, given)
	}
	if c.cfg.GetUserInfo {
		return c.identify(ctx, m, nil, given)
	}
	same := last
	same.Data = nil
	if given.Refresh != "" {
		var err error
		if same.Data, err = json.Marshal(stored{[]byte(given.Refresh)}); err != nil {
			return connector.Identity{}, fmt.Errorf("encode refresh token: %w", err)
		}
	}
	return same, nil
}
