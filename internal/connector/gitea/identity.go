package gitea

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// user is what is read of a user.
type user struct {
	ID       relyingparty.ID `json:"id"`
	Login    string          `json:"login"`
	FullName string          `json:"full_name"`
	Email    string          `json:"email"`
}

// team is what is read of a team.
type team struct {
	Name string `json:"name"`
	Org  struct {
		Username string `json:"username"`
		Name     string `json:"name"` // what newer versions have too
	} `json:"organization"`
}

// identify asks who holds an access token.
func (c *connection) identify(
	ctx context.Context, calls *relyingparty.Calls, s connector.Scopes, _ *relyingparty.Tokens,
) (connector.Identity, error) {
	var u user
	if err := calls.GetJSON(ctx, c.cfg.api("/user", nil), &u); err != nil {
		return connector.Identity{}, fmt.Errorf("user: %w", err)
	}
	id := connector.Identity{
		UserID: string(u.ID), Username: cmp.Or(u.FullName, u.Login), PreferredUsername: u.Login, Email: u.Email,
		EmailVerified: u.Email != "",
	}
	if c.cfg.UseLoginAsID {
		id.UserID = u.Login
	}
	var err error
	if len(c.cfg.Orgs) > 0 || c.cfg.LoadAllGroups && s.Groups {
		id.Groups, err = c.groups(ctx, calls)
	}
	return id, err
}

// groups returns the organizations and teams of the user. A *connector.Denied says that none of them may log in.
func (c *connection) groups(ctx context.Context, calls *relyingparty.Calls) ([]string, error) {
	teams, err := c.teams(ctx, calls)
	if err != nil {
		return nil, fmt.Errorf("teams: %w", err)
	}
	if len(c.cfg.Orgs) == 0 {
		return names(teams), nil
	}
	var allowed []string
	for _, org := range c.cfg.Orgs {
		for _, t := range teams {
			if !settings.SameName(org.Name, t.org()) {
				continue
			}
			if c.cfg.InsecureIgnoreTeams {
				allowed = append(allowed, org.Name)
			}
			if org.Takes(t.Name) {
				allowed = append(allowed, org.Name, org.Name+":"+t.Name)
			}
		}
	}
	if len(allowed) == 0 {
		return nil, settings.NotInOrgs(names(teams))
	}
	return connector.Unique(allowed), nil
}

func (t *team) org() string { return cmp.Or(t.Org.Username, t.Org.Name) }

// names returns the groups that all teams make.
func names(teams []team) []string {
	var all []string
	for _, t := range teams {
		all = append(all, t.org(), t.org()+":"+t.Name)
	}
	return connector.Unique(all)
}

// pageSize is how many teams are asked for at once. Gitea gives at most 50 unless it is configured otherwise.
const pageSize = 50

// teams reads all teams of the user. The page after a page is the one with the next number: links would lead to Gitea's ROOT_URL,
// which baseURL need not be, and old versions have none.
func (c *connection) teams(ctx context.Context, calls *relyingparty.Calls) ([]team, error) {
	var all []team
	number := 1
	page := func() string {
		return c.cfg.api("/user/teams", url.Values{"page": {strconv.Itoa(number)}, "limit": {strconv.Itoa(pageSize)}})
	}
	err := calls.Pages(ctx, page(), func(answer *outbound.Answer) (string, error) {
		var some []team
		if err := relyingparty.DecodeAnswer(answer, &some); err != nil {
			return "", err
		}
		all = append(all, some...)
		if total, err := strconv.Atoi(answer.Header.Get("X-Total-Count")); err == nil && len(all) >= total || len(some) == 0 {
			return "", nil
		}
		number++
		return page(), nil
	})
	// A team without a name or an organization is none that anybody could mean.
	return slices.DeleteFunc(all, func(t team) bool { return t.Name == "" || t.org() == "" }), err
}

// TokenIdentity implements connector.TokenIdentity (RFC 8693).
func (c *connection) TokenIdentity(ctx context.Context, s connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	return c.Holder(ctx, s, t, func(ctx context.Context, _ *relyingparty.Calls) error {
		said, err := c.us.Introspect(ctx, relyingparty.Endpoint{URL: c.cfg.BaseURL + "/login/oauth/introspect"}, t.Token)
		switch {
		case errors.Is(err, relyingparty.ErrInactive):
			return &connector.BadToken{Reason: "Gitea says that it is not active; it may have expired", Cause: err}
		case err != nil:
			return err
		case !slices.Contains(said.Texts("aud"), c.cfg.ClientID):
			return &connector.BadToken{Reason: fmt.Sprintf("it was made for %q, not for %q", said.Texts("aud"), c.cfg.ClientID)}
		}
		return nil
	})
}
