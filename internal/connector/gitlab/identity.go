package gitlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// user is what is read of a user.
type user struct {
	ID       relyingparty.ID `json:"id"`
	Username string          `json:"username"`
	Name     string          `json:"name"`
	Email    string          `json:"email"`
	State    string          `json:"state"`
	// ConfirmedAt is when the user has confirmed the address: null for not yet, and missing in old versions.
	ConfirmedAt json.RawMessage `json:"confirmed_at"`
}

// userInfo is what is read of the userinfo endpoint's answer. The names of roles are those of the claims.
type userInfo struct {
	Email         string   `json:"email"` // the public one, where that is all that the token may see
	EmailVerified any      `json:"email_verified"`
	Groups        []string `json:"groups"`
	Owner         []string `json:"https://gitlab.org/claims/groups/owner"`
	Maintainer    []string `json:"https://gitlab.org/claims/groups/maintainer"`
	Developer     []string `json:"https://gitlab.org/claims/groups/developer"`
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, _ *relyingparty.Tokens,
) (connector.Identity, error) {
	var u user
	if err := calls.GetJSON(ctx, c.cfg.address("/api/v4/user", nil), &u); err != nil {
		return connector.Identity{}, notAdmitted(fmt.Errorf("user: %w", err))
	}
	if u.State != "" && u.State != "active" {
		return connector.Identity{}, denied(fmt.Errorf("the user is %q", u.State))
	}
	id := connector.Identity{
		UserID: string(u.ID), Username: cmp.Or(u.Name, u.Username), PreferredUsername: u.Username, Email: u.Email,
		EmailVerified: u.isConfirmed(),
	}
	if c.cfg.UseLoginAsID {
		id.UserID = u.Username
	}
	if !connector.NeedsGroups(s, c.cfg.Groups) {
		return id, nil
	}
	var in []membership
	var err error
	if c.cfg.fromAPI() {
		in, err = c.listed(ctx, calls, u.ID)
	} else {
		var info userInfo
		if err = calls.GetJSON(ctx, c.cfg.address("/oauth/userinfo", nil), &info); err != nil {
			return connector.Identity{}, fmt.Errorf("userinfo: %w", err)
		}
		in = info.memberships(c.cfg.GetGroupsPermission)
		id.EmailVerified = id.EmailVerified && info.confirms(u.Email)
	}
	if err != nil {
		return connector.Identity{}, err
	}
	id.Groups, err = c.cfg.claim(in)
	return id, err
}

// isConfirmed reports whether the user has an address, and has confirmed it as far as GitLab says.
func (u *user) isConfirmed() bool {
	if u.Email == "" || u.ConfirmedAt == nil {
		return u.Email != ""
	}
	var at string
	return json.Unmarshal(u.ConfirmedAt, &at) == nil && at != ""
}

// confirms reports whether the endpoint says nothing against an address.
func (i *userInfo) confirms(email string) bool {
	return i.EmailVerified == nil || i.EmailVerified == true || !strings.EqualFold(i.Email, email)
}

// notAdmitted turns the API's refusal of a user into a *connector.Denied: somebody who is blocked, or has not accepted the terms,
// is told so by a message, and an application whose token lacks a scope by a code.
func notAdmitted(err error) error {
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	if ok && refused.Status == http.StatusForbidden && refused.Code == "" && refused.Description != "" &&
		connector.OutcomeOf(err) == connector.Broken {
		return denied(err)
	}
	return err
}

func denied(cause error) error {
	return &connector.Denied{Reason: "GitLab doesn't let you in. Log in there to see why.", Cause: cause}
}

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	check := c.checkApplication
	if t.AnyAudience || c.cfg.InsecureExchangeAnyApplication {
		check = nil
	}
	return c.Holder(ctx, s, t, check)
}

// checkApplication refuses access tokens that GitLab has given to another application, or to none.
func (c *connection) checkApplication(ctx context.Context, calls *relyingparty.Calls) error {
	var info struct {
		Application struct {
			UID string `json:"uid"`
		} `json:"application"`
	}
	err := calls.GetJSON(ctx, c.cfg.address("/oauth/token/info", nil), &info)
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	switch {
	case ok && refused.Unknown():
		return &connector.BadToken{Cause: err, Reason: "GitLab knows no application to which it has given it: it has expired, or a user " +
			"has made it, and such tokens are taken only with insecureExchangeAnyApplication"}
	case err != nil:
		return fmt.Errorf("token: %w", err)
	case info.Application.UID != c.cfg.ClientID:
		return &connector.BadToken{
			Reason: fmt.Sprintf("it was given to the application %q, not to %q", info.Application.UID, c.cfg.ClientID),
		}
	}
	return nil
}
