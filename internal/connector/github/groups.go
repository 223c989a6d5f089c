package github

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/relyingparty"
)

// A lookup is what GitHub is asked about one user.
type lookup struct {
	*connection
	calls  *relyingparty.Calls
	scopes connector.Scopes
	login  string // the user's
}

// groups returns the user's groups. A *connector.Denied says that they may not log in.
func (l *lookup) groups(ctx context.Context) ([]string, error) {
	switch {
	case len(l.cfg.Orgs) > 0:
		return l.orgGroups(ctx)
	case l.cfg.Org != "":
		return l.oldGroups(ctx)
	case l.cfg.LoadAllGroups && l.scopes.Groups:
		return l.allGroups(ctx)
	}
	return nil, nil
}

// orgGroups returns the groups that orgs makes of a user's teams. An entry without teams is for all members of an organization,
// which only GitHub knows; an entry with teams is for those who are in one of them.
func (l *lookup) orgGroups(ctx context.Context) ([]string, error) {
	teams := &teamList{}
	answers := make([]membership, len(l.cfg.Orgs))
	readTeams := l.scopes.Groups
	lookups, within := errgroup.WithContext(ctx)
	for i, org := range l.cfg.Orgs {
		if len(org.Teams) > 0 {
			readTeams = true
			continue
		}
		lookups.Go(func() (err error) {
			answers[i], err = l.membership(within, org.Name)
			return err
		})
	}
	if readTeams {
		lookups.Go(func() (err error) {
			teams, err = l.teams(within, l.cfg.Orgs)
			return err
		})
	}
	if err := lookups.Wait(); err != nil {
		return nil, err
	}
	var groups []string
	admitted := false
	for i, org := range l.cfg.Orgs {
		if len(org.Teams) == 0 && !answers[i].active {
			continue
		}
		taken := taken(org, l.cfg.labels(teams.of(org.Name)))
		if len(org.Teams) > 0 && len(taken) == 0 {
			continue
		}
		admitted = true
		if l.cfg.OrgNameAsGroup {
			groups = append(groups, org.Name)
		}
		for _, label := range taken {
			groups = append(groups, org.Name+":"+label)
		}
	}
	if !admitted {
		return nil, l.refusal(ctx, l.cfg.Orgs, answers, teams)
	}
	return connector.Unique(groups), nil
}

// taken returns those of a user's teams that an entry of orgs takes.
func taken(org settings.Org, labels []string) []string {
	var some []string
	for _, label := range labels {
		if org.Takes(label) {
			some = append(some, label)
		}
	}
	return some
}

// oldGroups returns the user's teams in the organization that the setting org names.
func (l *lookup) oldGroups(ctx context.Context) ([]string, error) {
	org := settings.Org{Name: l.cfg.Org}
	teams, member := &teamList{}, membership{active: l.cfg.InsecureIgnoreOrgMembership}
	lookups, within := errgroup.WithContext(ctx)
	if !member.active {
		lookups.Go(func() (err error) {
			member, err = l.membership(within, org.Name)
			return err
		})
	}
	if l.scopes.Groups {
		lookups.Go(func() (err error) {
			teams, err = l.teams(within, settings.Orgs{org})
			return err
		})
	}
	if err := lookups.Wait(); err != nil {
		return nil, err
	}
	if !member.active {
		return nil, l.refusal(ctx, settings.Orgs{org}, []membership{member}, teams)
	}
	return connector.Unique(l.cfg.labels(teams.of(org.Name))), nil
}

// allGroups returns all organizations and teams of the user.
func (l *lookup) allGroups(ctx context.Context) ([]string, error) {
	type organization struct {
		Login string `json:"login"`
	}
	var orgs []organization
	var teams *teamList
	lookups, within := errgroup.WithContext(ctx)
	lookups.Go(func() (err error) {
		if orgs, err = relyingparty.List[organization](within, l.calls, l.api+"/user/orgs?per_page=100"); err != nil {
			err = fmt.Errorf("organizations: %w", err)
		}
		return err
	})
	lookups.Go(func() (err error) {
		teams, err = l.teams(within, nil)
		return err
	})
	if err := lookups.Wait(); err != nil {
		return nil, err
	}
	var groups []string
	for _, org := range orgs {
		if org.Login == "" {
			continue
		}
		groups = append(groups, org.Login)
		for _, label := range l.cfg.labels(teams.of(org.Login)) {
			groups = append(groups, org.Login+":"+label)
		}
	}
	return connector.Unique(groups), nil
}
