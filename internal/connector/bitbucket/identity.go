package bitbucket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// user is what is read of a user.
type user struct {
	UUID        string `json:"uuid"` // in braces
	Username    string `json:"username"`
	DisplayName string `json:"display_name"`
}

// email is what is read of an address.
type email struct {
	Address   string `json:"email"`
	Primary   bool   `json:"is_primary"`
	Confirmed bool   `json:"is_confirmed"`
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, _ *relyingparty.Tokens,
) (connector.Identity, error) {
	var u user
	if err := calls.GetJSON(ctx, c.cfg.APIURL+"/user", &u); err != nil {
		return connector.Identity{}, fmt.Errorf("user: %w", err)
	}
	address, err := c.email(ctx, calls)
	if err != nil {
		return connector.Identity{}, fmt.Errorf("e-mail addresses: %w", err)
	}
	id := connector.Identity{
		UserID: u.UUID, Username: cmp.Or(u.DisplayName, u.Username), PreferredUsername: u.Username,
		Email: address, EmailVerified: true,
	}
	if !connector.NeedsGroups(s, c.cfg.Teams) {
		return id, nil
	}
	groups, err := c.groups(ctx, calls)
	if err != nil {
		return connector.Identity{}, err
	}
	id.Groups, err = connector.AllowGroups("teams", groups, c.cfg.Teams)
	return id, err
}

// email returns the primary address of the user, who must have confirmed it.
func (c *connection) email(ctx context.Context, calls *relyingparty.Calls) (string, error) {
	var found string
	err := pages(ctx, calls, c.cfg.list("/user/emails"), func(some []email) bool {
		for _, e := range some {
			if e.Primary && e.Confirmed && e.Address != "" {
				found = e.Address
				return false
			}
		}
		return true
	})
	if err == nil && found == "" {
		err = &connector.Unusable{
			Reason: "Your Bitbucket account has no confirmed primary email address.",
			Cause:  errors.New("no address is primary and confirmed"),
		}
	}
	return found, err
}

// pages reads a list page by page, as long as read wants more.
func pages[T any](ctx context.Context, calls *relyingparty.Calls, first string, read func([]T) (more bool)) error {
	return calls.Pages(ctx, first, func(answer *outbound.Answer) (string, error) {
		var page struct {
			Values json.RawMessage `json:"values"`
			Next   string          `json:"next"`
		}
		if err := relyingparty.DecodeAnswer(answer, &page); err != nil {
			return "", err
		}
		var some []T
		if page.Values == nil {
			return "", errors.New("the provider's answer has no values")
		}
		if err := json.Unmarshal(page.Values, &some); err != nil {
			return "", fmt.Errorf("the provider's answer: %w", err)
		}
		if !read(some) {
			return "", nil
		}
		return page.Next, nil
	})
}
