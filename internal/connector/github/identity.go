package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// user is what is read of a user.
type user struct {
	ID    relyingparty.ID `json:"id"`
	Login string          `json:"login"`
	Name  string          `json:"name"`
	Email string          `json:"email"` // the one that the user shows to everybody
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, _ *relyingparty.Tokens,
) (connector.Identity, error) {
	var u user
	answer, err := calls.Get(ctx, c.api+"/user")
	if err == nil {
		err = relyingparty.DecodeAnswer(answer, &u)
	}
	if err != nil {
		return connector.Identity{}, fmt.Errorf("user: %w", suspended(err))
	}
	id := connector.Identity{
		UserID: string(u.ID), Username: cmp.Or(u.Name, u.Login), PreferredUsername: u.Login, EmailVerified: true,
	}
	if c.cfg.UseLoginAsID {
		id.UserID = u.Login
	}
	if id.UserID == "" {
		return connector.Identity{}, nil // which is refused
	}
	if err := c.checkScopes(answer, s, &u); err != nil {
		return connector.Identity{}, err
	}
	var emailErr error
	var lookups sync.WaitGroup
	lookups.Go(func() { id.Email, emailErr = c.email(ctx, calls, u.Email) })
	groups, err := (&lookup{c, calls, s, u.Login}).groups(ctx)
	lookups.Wait()
	if id.Groups = groups; err != nil {
		return id, err
	}
	return id, emailErr
}

// suspended returns the error of a call as a refusal of the user if that is what it is.
func suspended(err error) error {
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	if ok && refused.Status == http.StatusForbidden && strings.Contains(refused.Description, "suspended") {
		return &connector.Denied{Reason: "Your account at GitHub is suspended.", Cause: err}
	}
	return err
}

// scopesHeader lists the scopes of the token that a call was made with. It is empty for tokens of GitHub Apps.
const scopesHeader = "X-OAuth-Scopes"

// wider are the scopes of GitHub that include others.
var wider = map[string][]string{
	readOrg: {readOrg, "write:org", "admin:org"}, userEmail: {userEmail, "user"},
}

// checkScopes refuses a token that was made for less than what is asked with it, such as one of a login before the settings had
// orgs: with a new login there is another.
func (c *connection) checkScopes(answer *outbound.Answer, s connector.Scopes, u *user) error {
	given := strings.FieldsFunc(answer.Header.Get(scopesHeader), func(r rune) bool { return r == ',' || r == ' ' })
	if len(given) == 0 {
		return nil
	}
	for _, scope := range c.cfg.needed(s) {
		if scope == userEmail && !c.cfg.readsEmails(u.Email) {
			continue
		}
		if !slices.ContainsFunc(given, func(name string) bool { return slices.Contains(wider[scope], name) }) {
			return &connector.BadToken{Reason: fmt.Sprintf("it has the scopes %q, and needs %s", given, scope)}
		}
	}
	return nil
}

// readsEmails reports whether the list of a user's addresses is needed.
func (c *Config) readsEmails(public string) bool { return public == "" || c.PreferredEmailDomain != "" }

// email returns the address of a user. It is one that GitHub has verified, or one of a server that verifies none.
func (c *connection) email(ctx context.Context, calls *relyingparty.Calls, public string) (string, error) {
	if !c.cfg.readsEmails(public) {
		return public, nil
	}
	type address struct {
		Email    string `json:"email"`
		Verified bool   `json:"verified"`
		Primary  bool   `json:"primary"`
	}
	all, err := relyingparty.List[address](ctx, calls, c.api+"/user/emails?per_page=100")
	if err != nil {
		return "", fmt.Errorf("e-mail addresses: %w", err)
	}
	var preferred, primary string
	for _, a := range all {
		name, domain, ok := cutLast(a.Email, "@")
		if !ok || name == "" || domain == "" || !a.Verified && c.cfg.isCloud() {
			continue
		}
		if preferred == "" && matches(c.cfg.PreferredEmailDomain, domain) {
			preferred = a.Email
		}
		if a.Primary {
			primary = a.Email
		}
	}
	if found := cmp.Or(preferred, primary, public); found != "" {
		return found, nil
	}
	return "", &connector.Unusable{
		Reason: "Your GitHub account has no primary e-mail address that is verified. Verify it in the settings of GitHub.", Claim: "email",
		Cause: fmt.Errorf("none of the user's %d addresses is primary and verified", len(all)),
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

// matches reports whether a domain is like a pattern, in which * stands for one whole label.
func matches(pattern, domain string) bool {
	want, got := strings.Split(pattern, "."), strings.Split(domain, ".")
	if len(want) != len(got) {
		return false
	}
	for i, label := range want {
		if label != "*" && !settings.SameName(label, got[i]) {
			return false
		}
	}
	return true
}

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	return c.Holder(ctx, s, t, func(ctx context.Context, calls *relyingparty.Calls) error {
		address := c.api + "/applications/" + url.PathEscape(c.cfg.ClientID) + "/token"
		var said struct {
			App struct {
				ClientID string `json:"client_id"`
			} `json:"app"`
		}
		err := calls.As(c.us.Own()).PostJSON(ctx, address, map[string]string{"access_token": t.Token}, &said)
		refused, ok := errors.AsType[*relyingparty.BearerError](err)
		switch {
		case err == nil && said.App.ClientID != c.cfg.ClientID:
			return &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, not for %q", said.App.ClientID, c.cfg.ClientID)}
		case !ok || connector.OutcomeOf(err) == connector.Unavailable:
			return err
		case refused.Status == http.StatusNotFound || refused.Status == http.StatusUnprocessableEntity:
			return &connector.BadToken{Reason: "GitHub knows no such token of this connector's clientID; it may have expired", Cause: err}
		}
		// This is about us, and not about the token.
		return errors.New("check of the token, with clientID and clientSecret: " + refused.Error())
	})
}
