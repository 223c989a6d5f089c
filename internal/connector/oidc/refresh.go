package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// Rotates implements connector.Rotating: many providers' refresh tokens work once.
func (c *connection) Rotates() {}

// Refresh implements connector.Refresher. The provider is asked by its own refresh token, which it may replace.
func (c *connection) Refresh(ctx context.Context, _ connector.Scopes, last connector.Identity) (connector.Identity, error) {
	var kept stored
	if err := json.Unmarshal(last.Data, &kept); err != nil || len(kept.RefreshToken) == 0 {
		return connector.Identity{}, fmt.Errorf("%w: the provider gave no refresh token at the login; "+
			"the scope offline_access, or promptType, may be what it wants", connector.ErrGone)
	}
	m, err := c.discovery.Get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	given, err := c.tokens.Renew(ctx, m.TokenEndpoint(), string(kept.RefreshToken))
	if err != nil {
		return connector.Identity{}, err
	}
	kept.RefreshToken = []byte(given.Refresh)
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

// renewed reads the answer to a refresh. It may have no ID token (OpenID Connect Core, section 12.2): then the provider says
// nothing new, unless it is asked.
func (c *connection) renewed(
	ctx context.Context, m *relyingparty.Metadata, given *relyingparty.Tokens, kept *stored, last connector.Identity,
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
		return connector.Identity{}, relyingparty.AsRefreshed(err)
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
	return c.describe(ctx, m, &subject{said: said, last: &last}, given.Access)
}

// asKnown adds what the login said of a user to claims that leave it out, as those of a refresh may (OpenID Connect Core, section
// 12.2). Groups are not added: those that a user has lost are left out too.
func (c *connection) asKnown(said relyingparty.Claims, last connector.Identity) relyingparty.Claims {
	all := relyingparty.Claims{}
	maps.Copy(all, said)
	m := c.cfg.ClaimMapping
	c.keepKnown(all, "email", m.Email, last.Email)
	c.keepKnown(all, "preferred_username", m.PreferredUsername, last.PreferredUsername)
	if name := cmp.Or(c.cfg.UserNameKey, "name"); all.Text(name) == "" && last.Username != "" {
		all[name] = last.Username
	}
	if _, there := all["email_verified"]; !there && last.Email != "" &&
		(all.Text("email") == last.Email || m.Email != "" && all.Text(m.Email) == last.Email) {
		all["email_verified"] = last.EmailVerified
	}
	return all
}

// keepKnown adds what is known of a user where neither a standard claim nor the one that stands for it is there.
func (c *connection) keepKnown(claims relyingparty.Claims, standard, mapping, known string) {
	_, there := claims[standard]
	if mapping != "" && !there {
		_, there = claims.Find(mapping)
	}
	if there || known == "" {
		return
	}
	if mapping != "" && c.cfg.OverrideClaimMapping {
		standard = mapping
	}
	claims[standard] = known
}

// subjectOf returns the sub of an identity; "" where another claim is its id.
func (c *connection) subjectOf(id connector.Identity) string {
	if c.cfg.userIDKey() == "sub" {
		return id.UserID
	}
	return ""
}

// allowAgain checks a user, about whom the provider said nothing new, against the groups that may log in now.
func (c *connection) allowAgain(last connector.Identity) (connector.Identity, error) {
	rename := c.cfg.ClaimModifications.ModifyGroupNames
	var allowed []string
	for _, group := range c.cfg.AllowedGroups {
		allowed = append(allowed, rename.Prefix+group+rename.Suffix)
	}
	if _, err := connector.AllowGroups("allowedGroups", last.Groups, allowed); err != nil {
		return connector.Identity{}, err
	}
	return last, nil
}
