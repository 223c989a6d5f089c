package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// group is what is read of a group.
type group struct {
	ID       relyingparty.ID `json:"id"`
	FullPath string          `json:"full_path"`
	Path     string          `json:"path"`
}

func (g *group) fullPath() string { return cmp.Or(g.FullPath, g.Path) }

const (
	// pageSize is how many groups are asked for at once, the most that GitLab gives.
	pageSize = 100
	// atOnce is how many lists, or members, are asked for at once.
	atOnce = 8
	// maxMembers bounds the groups in which one user's role is asked for group by group.
	maxMembers = 200
)

// listed returns the groups of a user that the API lists, with the roles where they matter. Without minAccessLevel, groups are
// among them in which the user has no role, such as the one of a project that they are a member of.
func (c *connection) listed(ctx context.Context, calls *relyingparty.Calls, u relyingparty.ID) ([]membership, error) {
	least := level{}
	if at := slices.IndexFunc(levels, func(l level) bool { return l.name == c.cfg.MinAccessLevel }); at >= 0 {
		least = levels[at]
	}
	asks := []level{least}
	if c.cfg.GetGroupsPermission {
		for _, l := range levels {
			if l.asked && l.number > least.number {
				asks = append(asks, l)
			}
		}
	}
	lists, err := c.lists(ctx, calls, asks)
	if err != nil {
		return nil, err
	}
	groups := slices.DeleteFunc(lists[0], func(g group) bool { return !isPath(g.fullPath()) })
	in := make([]membership, len(groups))
	for i, g := range groups {
		in[i].path = g.fullPath()
	}
	if !c.cfg.GetGroupsPermission {
		return in, nil
	}
	roles := map[string]string{}
	for i, list := range lists {
		for _, g := range list {
			roles[fold(g.fullPath())] = asks[i].name // the highest comes last
		}
	}
	var untold []int
	for i := range in {
		if in[i].role = roles[fold(in[i].path)]; in[i].role == "" {
			untold = append(untold, i)
		}
	}
	return in, c.askEach(ctx, calls, u, groups, in, untold)
}

// lists returns the groups in which the user has at least each of several levels.
func (c *connection) lists(ctx context.Context, calls *relyingparty.Calls, asks []level) ([][]group, error) {
	lists := make([][]group, len(asks))
	searches, ctx := errgroup.WithContext(ctx)
	searches.SetLimit(atOnce)
	for i, least := range asks {
		searches.Go(func() (err error) {
			lists[i], err = c.list(ctx, calls, least.number)
			if i > 0 && least.recent && status(err) == http.StatusBadRequest { // then nobody has it
				return nil
			}
			return err
		})
	}
	if err := searches.Wait(); err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	return lists, nil
}

// list returns the groups in which the user has at least a level; with 0 all that the user is in in some way. The page after a page
// is the one with the next number: links would lead to GitLab's public address, which baseURL need not be.
func (c *connection) list(ctx context.Context, calls *relyingparty.Calls, least int) ([]group, error) {
	query := url.Values{"all_available": {"false"}, "per_page": {strconv.Itoa(pageSize)}}
	if least > 0 {
		query.Set("min_access_level", strconv.Itoa(least))
	}
	number := 1
	page := func() string {
		query.Set("page", strconv.Itoa(number))
		return c.cfg.address("/api/v4/groups", query)
	}
	var all []group
	err := calls.Pages(ctx, page(), func(answer *outbound.Answer) (string, error) {
		var some []group
		if err := relyingparty.DecodeAnswer(answer, &some); err != nil {
			return "", err
		}
		all = append(all, some...)
		next, told := answer.Header["X-Next-Page"]
		if told && next[0] == "" || !told && len(some) < pageSize || len(some) == 0 {
			return "", nil
		}
		number++
		return page(), nil
	})
	return all, err
}

// askEach asks for the roles that no list tells, such as those that a user has as a member of a group that was invited.
func (c *connection) askEach(
	ctx context.Context, calls *relyingparty.Calls, u relyingparty.ID, groups []group, in []membership, untold []int,
) error {
	if len(untold) > maxMembers {
		return &connector.Unusable{
			Reason: "Your account is in too many groups to check here.",
			Cause: fmt.Errorf("in %d groups the user's role is known to none of GitLab's lists, and in %d at most it is asked for: "+
				"minAccessLevel leaves such groups out", len(untold), maxMembers),
		}
	}
	questions, ctx := errgroup.WithContext(ctx)
	questions.SetLimit(atOnce)
	for _, i := range untold {
		questions.Go(func() (err error) {
			in[i].role, err = c.askRole(ctx, calls, u, groups[i].ID)
			return err
		})
	}
	return questions.Wait()
}

// askRole returns a user's role in a group; empty for none.
func (c *connection) askRole(ctx context.Context, calls *relyingparty.Calls, u, in relyingparty.ID) (string, error) {
	if u == "" || in == "" {
		return "", errors.New("member: the user, or a group of theirs, has no id")
	}
	var member struct {
		AccessLevel int `json:"access_level"`
	}
	path := "/api/v4/groups/" + url.PathEscape(string(in)) + "/members/all/" + url.PathEscape(string(u))
	err := calls.GetJSON(ctx, c.cfg.address(path, nil), &member)
	switch status(err) {
	case http.StatusNotFound, http.StatusForbidden: // none, or none that the user may see
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("member: %w", err)
	}
	return roleOf(member.AccessLevel), nil
}

// status returns with which status the API refuses a call for good; 0 where it doesn't.
func status(err error) int {
	refused, ok := errors.AsType[*relyingparty.BearerError](err)
	if !ok || connector.OutcomeOf(err) != connector.Broken {
		return 0
	}
	return refused.Status
}
