package microsoft

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// user is what is read of a user.
type user struct {
	ID       string `json:"id"`
	Name     string `json:"displayName"`
	UPN      string `json:"userPrincipalName"`
	Mail     string `json:"mail"`
	Nickname string `json:"mailNickname"`
	SAM      string `json:"onPremisesSamAccountName"`
	Type     string `json:"userType"`
}

// isGuest reports whether the user's home is another tenant.
func (u *user) isGuest() bool {
	return strings.EqualFold(u.Type, "Guest") || strings.Contains(u.UPN, "#EXT#")
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, given *relyingparty.Tokens,
) (connector.Identity, error) {
	var u user
	if err := calls.GetJSON(ctx, c.cfg.me(), &u); err != nil {
		return connector.Identity{}, fmt.Errorf("user: %w", err)
	}
	if err := c.checkTenant(ctx, given); err != nil {
		return connector.Identity{}, err
	}
	if err := c.cfg.checkDomain(u.UPN); err != nil {
		return connector.Identity{}, err
	}
	id := c.cfg.identity(&u)
	var err error
	if c.cfg.needsGroups(s) {
		id.Groups, err = c.groups(ctx, calls, &u, given)
	}
	return id, err
}

// me returns where Graph says who the user is.
func (c *Config) me() string {
	fields := []string{"id", "displayName", fieldUPN, fieldNickname, fieldSAM}
	if c.EmailField == fieldMail {
		fields = append(fields, fieldMail)
	}
	if len(c.looksUp()) > 0 {
		fields = append(fields, "userType")
	}
	return c.GraphURL + "/v1.0/me?$select=" + strings.Join(fields, ",")
}

func (c *Config) identity(u *user) connector.Identity {
	email := u.UPN
	if c.EmailField == fieldMail {
		email = u.Mail
	}
	if c.EmailToLowercase {
		email = strings.ToLower(email)
	}
	return connector.Identity{
		UserID: u.ID, Username: u.Name, Email: email, EmailVerified: email != "" && (c.pinned() || c.InsecureSharedTenantEmailVerified),
		PreferredUsername: map[string]string{"name": u.Name, "email": email, fieldNickname: u.Nickname, fieldSAM: u.SAM}[c.PreferredUsernameField],
	}
}

// checkDomain refuses users of other domains than the allowed ones. Only a name whose domain has been proved to be the tenant's
// says something about the user, which is the user principal name.
func (c *Config) checkDomain(upn string) error {
	domain := strings.ToLower(upn[strings.LastIndex(upn, "@")+1:])
	if len(c.AllowedDomains) == 0 || domain != strings.ToLower(upn) && slices.Contains(c.AllowedDomains, domain) {
		return nil
	}
	return &connector.Denied{
		Reason: "Your account is not of a domain that may log in here.",
		Cause:  fmt.Errorf("the userPrincipalName is %q, and allowedDomains has %q", upn, c.AllowedDomains),
	}
}

// checkTenant refuses accounts of other tenants. Which tenant it is stands in the ID token or, where there is none, in the access
// token, which can be believed as Graph has accepted it before.
func (c *connection) checkTenant(ctx context.Context, given *relyingparty.Tokens) error {
	said := given.Said
	if said == nil {
		inside, opaque, err := relyingparty.ReadUnverified(given.Access)
		if err != nil || opaque {
			return nil //nolint:nilerr // of a login whose tenant was checked; TokenIdentity doesn't take such a token
		}
		said = inside
	}
	if _, err := c.OpenID.Discovery.Get(ctx); err != nil {
		return err
	}
	is, tid := c.issuer.Load(), strings.ToLower(said.Text("tid"))
	switch {
	case is.tenant != "" && tid != is.tenant, strings.EqualFold(c.cfg.Tenant, anyWork) && tid == personalTenant:
		return &connector.Denied{
			Reason: "Your account belongs to another organization than those that may log in here.",
			Cause:  fmt.Errorf("the tid is %q, and the tenant is %s (%s)", tid, c.cfg.Tenant, cmp.Or(is.tenant, "many")),
		}
	}
	return nil
}

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	said, opaque, err := relyingparty.ReadUnverified(t.Token)
	if err == nil && opaque {
		err = &connector.BadToken{Reason: "it is opaque, so that nobody but Microsoft can tell for whom it was made"}
	}
	if err != nil {
		return connector.Identity{}, asBadToken(err)
	}
	return c.Holder(ctx, s, t, func(context.Context, *relyingparty.Calls) error {
		if app := cmp.Or(said.Text("appid"), said.Text("azp")); app != c.cfg.ClientID {
			return &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, not for %q", app, c.cfg.ClientID)}
		}
		return nil
	})
}

// asBadToken returns the error of a token that can't be read.
func asBadToken(err error) error {
	if connector.OutcomeOf(err) == connector.TokenRefused {
		return err
	}
	return &connector.BadToken{Reason: err.Error()}
}
