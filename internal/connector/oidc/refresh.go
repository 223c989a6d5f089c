package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

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
	data := last.Data // goes on where the provider gave no new one
	if given.Refresh != "" {
		if data, err = encode(given.Refresh); err != nil {
			return connector.Identity{}, err
		}
	}
	fresh, err := c.renewed(ctx, m, given, last)
	switch {
	case err != nil:
		fresh = connector.Identity{}
	case fresh.UserID != last.UserID:
		err = fmt.Errorf("%w: the provider answers for another user", connector.ErrGone)
		fresh = connector.Identity{}
	}
	fresh.Data = data // the old one may be worth nothing any more, whatever else fails
	return fresh, err
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
	return c.allowAgain(last)
}

// allowAgain holds a user of whom nothing new is known to the groups that may log in now.
func (c *connection) allowAgain(last connector.Identity) (connector.Identity, error) {
	if len(c.cfg.AllowedGroups) == 0 {
		return last, nil
	}
	rename := c.cfg.ClaimModifications.ModifyGroupNames
	for _, group := range c.cfg.AllowedGroups {
		if slices.Contains(last.Groups, rename.Prefix+group+rename.Suffix) {
			return last, nil
		}
	}
	return connector.Identity{}, errNotAllowed()
}
