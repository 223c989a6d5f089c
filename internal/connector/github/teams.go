package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// maxParents is how many teams are asked for their parents in one login.
const maxParents = 200

// team is what is read of a team.
type team struct {
	Name string `json:"name"`
	Slug string `json:"slug"`
	Org  struct {
		Login string `json:"login"`
	} `json:"organization"`
	Parent *struct {
		Name string `json:"name"`
		Slug string `json:"slug"`
	} `json:"parent"` // nil for none
}

// key identifies a team.
func (t *team) key() string { return settings.FoldName(t.Org.Login + "/" + t.Slug) }

// A teamList is the teams of a user.
type teamList struct {
	byOrg   map[string][]team // by the organization's folded name
	partial string            // what GitHub says of organizations that it has left out; empty for none
}

// of returns the teams in an organization.
func (l *teamList) of(org string) []team { return l.byOrg[settings.FoldName(org)] }

// labels returns what teams are called in groups.
func (c *Config) labels(teams []team) []string {
	var all []string
	for _, t := range teams {
		if t.Name != "" && c.TeamNameField != bySlug {
			all = append(all, t.Name)
		}
		if t.Slug != "" && (c.TeamNameField == bySlug || c.TeamNameField == byBoth) {
			all = append(all, t.Slug)
		}
	}
	return all
}

// teams reads the user's teams. Parents are those of teams in some organizations, or in all of them where none are named.
func (l *lookup) teams(ctx context.Context, orgs settings.Orgs) (*teamList, error) {
	list := &teamList{byOrg: map[string][]team{}}
	err := l.calls.Pages(ctx, l.api+"/user/teams?per_page=100", func(answer *outbound.Answer) (string, error) {
		var page []team
		if err := relyingparty.DecodeAnswer(answer, &page); err != nil {
			return "", err
		}
		for _, t := range page {
			if org := settings.FoldName(t.Org.Login); org != "" {
				list.byOrg[org] = append(list.byOrg[org], t)
			}
		}
		if left := answer.Header.Get(ssoHeader); left != "" {
			list.partial = left
		}
		return relyingparty.NextLink(answer), nil
	})
	if err != nil {
		return nil, fmt.Errorf("teams: %w", err)
	}
	if l.cfg.NestedTeams {
		err = l.addParents(ctx, list, orgs)
	}
	return list, err
}

// addParents adds the parents of teams, and theirs, generation by generation.
func (l *lookup) addParents(ctx context.Context, list *teamList, orgs settings.Orgs) error {
	var children []team
	known := map[string]bool{}
	for org, teams := range list.byOrg {
		if len(orgs) > 0 && !orgs.Has(org) {
			continue
		}
		for _, t := range teams {
			known[t.key()] = true
			children = append(children, t)
		}
	}
	for asked := 0; len(children) > 0; {
		var parents []team
		for _, child := range children {
			if child.Parent == nil || child.Parent.Slug == "" {
				continue
			}
			parent := team{Name: child.Parent.Name, Slug: child.Parent.Slug, Org: child.Org}
			if !known[parent.key()] {
				known[parent.key()] = true
				parents = append(parents, parent)
			}
		}
		if asked += len(parents); asked > maxParents {
			return &connector.Unusable{
				Reason: "Your account is in more teams than can be used here.",
				Cause:  fmt.Errorf("the user's teams have more than %d parents", maxParents),
			}
		}
		if err := l.findParents(ctx, parents); err != nil {
			return fmt.Errorf("parents of teams: %w", err)
		}
		for _, p := range parents {
			org := settings.FoldName(p.Org.Login)
			list.byOrg[org] = append(list.byOrg[org], p)
		}
		children = parents
	}
	return nil
}

// findParents asks for the parents of teams that GitHub has mentioned only as parents themselves.
func (l *lookup) findParents(ctx context.Context, teams []team) error {
	lookups, ctx := errgroup.WithContext(ctx)
	for i := range teams {
		t := &teams[i]
		address := l.api + "/orgs/" + url.PathEscape(t.Org.Login) + "/teams/" + url.PathEscape(t.Slug)
		lookups.Go(func() error {
			var said team
			err := l.calls.GetJSON(ctx, address, &said)
			if refused, ok := errors.AsType[*relyingparty.BearerError](err); ok && refused.Status == http.StatusNotFound {
				return nil // it has just been deleted
			}
			t.Parent = said.Parent
			return err
		})
	}
	return lookups.Wait()
}
