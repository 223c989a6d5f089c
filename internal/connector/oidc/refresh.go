package oidc

import (
	"cmp"
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
	if given.Refresh != "" { // else the old one goes on
		kept.RefreshToken = []byte(given.Refresh)
	}
	fresh, err := c.renewed(ctx, m, given, &kept, last)
	if err == nil && fresh.UserID != last.UserID {
		err = errAnother
	}
	if err != nil {
		fresh = connector.Identity{}
	}
	data, encodeErr := kept.encode()
	fresh.Data = data // the old token may be worth nothing any more, whatever else fails
	return fresh, errors.Join(err, encodeErr)
}

// errAnother ends a login whose user the provider has mistaken for another one (OpenID Connect Core, section 12.2).
var errAnother = fmt.Errorf("%w: the provider answers for another user", connector.ErrGone)

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
	ctx context.Context, m *metadata, given *relyingparty.Tokens, kept *stored, last connector.Identity,
) (connector.Identity, error) {
	var said relyingparty.Claims
	var err error
	switch {
	case given.ID != "":
		said, err = c.verifyID(ctx, m, given)
	case c.cfg.GetUserInfo:
		said, err = c.userInfo(ctx, m, given.Access)
	default:
		return c.allowAgain(last)
	}
	if err != nil {
		return connector.Identity{}, err
	}
	if sub := said.Text("sub"); sub != cmp.Or(kept.Subject, c.subjectOf(last), sub) {
		return connector.Identity{}, errAnother
	}
	kept.Subject = c.keepSubject(said)
	if given.ID != "" {
		if said, err = c.withUserInfo(ctx, m, said, given.Access); err != nil {
			return connector.Identity{}, err
		}
	}
	return c.read(ctx, m, said, given.Access)
}

// subjectOf returns the sub of an identity; "" where another claim is its id.
func (c *connection) subjectOf(id connector.Identity) string {
	if c.cfg.userIDKey() == "sub" {
		return id.UserID
	}
	return ""
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
