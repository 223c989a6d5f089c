package google

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// identify reads who the user is: from the ID token, or from userinfo where there is none.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, given *relyingparty.Tokens,
) (connector.Identity, error) {
	said, err := given.Said, error(nil)
	if said == nil {
		if said, err = c.userInfo(ctx, calls); err != nil {
			return connector.Identity{}, err
		}
	}
	if err := c.cfg.checkDomain(said); err != nil {
		return connector.Identity{}, err
	}
	id := connector.Identity{UserID: said.Text("sub"), Username: said.Text("name"), Email: said.Text("email")}
	if id.EmailVerified, _, err = said.Bool("email_verified"); err != nil {
		c.log.WarnContext(ctx, "Google's words can't be read", "err", err)
	}
	id.EmailVerified = id.EmailVerified && id.Email != ""
	switch c.cfg.PreferredUsername {
	case nameIsEmail:
		id.PreferredUsername = id.Email
	case nameIsLocalPart:
		id.PreferredUsername, _, _ = strings.Cut(id.Email, "@")
	}
	id.Groups, err = c.groups(ctx, calls, s, said, &id)
	return id, err
}

// userInfo asks Google about the holder of an access token (OpenID Connect Core, section 5.3).
func (c *connection) userInfo(ctx context.Context, calls *relyingparty.Calls) (relyingparty.Claims, error) {
	m, err := c.OpenID.Discovery.Get(ctx)
	if err != nil {
		return nil, err
	}
	if m.UserInfoURL == "" {
		return nil, errors.New("the provider's metadata have no userinfo_endpoint")
	}
	answer, err := calls.Get(ctx, m.UserInfoURL)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	said, err := relyingparty.ReadClaims(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	return said, nil
}

// checkDomain refuses users of other organizations, and personal accounts, where only some domains may log in. What counts is what
// Google says (hd), and not the e-mail address, which may be any.
func (c *Config) checkDomain(said relyingparty.Claims) error {
	hd := said.Text("hd")
	if len(c.HostedDomains) == 0 || slices.ContainsFunc(c.HostedDomains, func(d string) bool { return strings.EqualFold(d, hd) }) {
		return nil
	}
	return &connector.Denied{
		Reason: "Your account is not of an organization that may log in here.",
		Cause:  fmt.Errorf("the user's domain (hd) is %q, which is none of hostedDomains", hd),
	}
}

// groups returns the addresses of the user's groups, if they are wanted or needed. A *connector.Denied says that none of them may
// log in.
func (c *connection) groups(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, said relyingparty.Claims, id *connector.Identity,
) ([]string, error) {
	skipped := c.cfg.InsecureSkipGroupsWithoutScope && !s.Groups
	if c.admins == nil || skipped || !connector.NeedsGroups(s, c.cfg.Groups) {
		return nil, nil
	}
	found, err := c.groupsOf(ctx, calls, said, id)
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	if len(c.cfg.Groups) == 0 {
		return found, nil
	}
	in := slices.DeleteFunc(slices.Clone(found), func(group string) bool {
		return !slices.ContainsFunc(c.cfg.Groups, func(allowed string) bool { return strings.EqualFold(allowed, group) })
	})
	if len(in) == 0 {
		return nil, connector.NotInGroups("groups", found)
	}
	return in, nil
}

// groupsOf looks up the user's groups, sorted by their address.
func (c *connection) groupsOf(
	ctx context.Context, calls *relyingparty.Calls, said relyingparty.Claims, id *connector.Identity,
) ([]string, error) {
	switch {
	case id.Email == "":
		return nil, &connector.Unusable{
			Reason: "Your account has no e-mail address.", Claim: "email",
			Cause: errors.New("the user has no email, by which groups are looked up; scopes must have email"),
		}
	case !id.EmailVerified: // it may be somebody else's
		c.log.WarnContext(ctx, "the user has no groups, as Google has not verified the e-mail address", "user", id.UserID)
		return nil, nil
	}
	l := &lookup{connection: c, calls: calls, personal: said.Text("hd") == ""}
	var found []string
	var err error
	switch {
	case c.cfg.GroupsFrom == fromCloudIdentity:
		found, err = l.memberships(ctx, id.Email)
	case c.cfg.FetchTransitiveGroupMembership:
		found, err = l.allAbove(ctx, id.Email)
	default:
		found, err = l.above(ctx, id.Email)
	}
	found = connector.Unique(found)
	slices.Sort(found)
	return found, err
}

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	id, err := c.holder(ctx, s, t)
	if err == nil && id.Username == "" {
		id.Username = id.Email
	}
	return id, err
}

func (c *connection) holder(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	if t.Type == oauth.TokenTypeID {
		return c.HolderOfID(ctx, s, t)
	}
	return c.Holder(ctx, s, t, func(ctx context.Context, _ *relyingparty.Calls) error { return c.checkMadeForUs(ctx, t.Token) })
}

// checkMadeForUs asks Google for whom an access token was made. The token goes in a form, not in the address, which errors have.
func (c *connection) checkMadeForUs(ctx context.Context, token string) error {
	form := url.Values{"access_token": {token}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.TokenInfoURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := outbound.Do(c.HTTP, r)
	if err != nil {
		return fmt.Errorf("tokeninfo: %w", err)
	}
	switch answer.Status {
	case http.StatusOK:
	case http.StatusBadRequest:
		return &connector.BadToken{Reason: "Google does not know it; it may have expired", Cause: relyingparty.ReadBearerError(answer)}
	default:
		return relyingparty.InOurName(relyingparty.AnswerError(answer))
	}
	said, err := relyingparty.ReadClaims(answer.Body)
	if err != nil {
		return fmt.Errorf("tokeninfo: %w", err)
	}
	if aud, azp := said.Text("aud"), said.Text("azp"); aud != c.cfg.ClientID && azp != c.cfg.ClientID {
		return &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, at the request of %q, not for %q", aud, azp, c.cfg.ClientID)}
	}
	return nil
}
