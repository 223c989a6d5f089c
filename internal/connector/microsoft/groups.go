package microsoft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// group is what is read of a group.
type group struct {
	Kind   string `json:"@odata.type"`
	ID     string `json:"id"`
	Name   string `json:"displayName"` // empty where the user may not know it
	Secure bool   `json:"securityEnabled"`
}

const kindGroup = "#microsoft.graph.group"

// groups returns the groups of the user as applications get them. A *connector.Denied says that none of them may log in.
func (c *connection) groups(
	ctx context.Context, calls *relyingparty.Calls, u *user, given *relyingparty.Tokens,
) ([]string, error) {
	member, err := c.memberships(ctx, calls)
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	meanings, doubts, err := c.meanings(ctx, calls, u, member)
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	var all, allowed []string
	for _, g := range member {
		shown := c.cfg.shown(g, meanings)
		all = append(all, shown)
		if slices.ContainsFunc(c.cfg.Groups, func(listed string) bool { return c.cfg.is(g, shown, listed) }) {
			allowed = append(allowed, shown)
		}
	}
	if c.cfg.RolesAsGroups {
		for _, role := range given.Said.Texts("roles") {
			all = append(all, c.cfg.RolePrefix+role)
			if slices.Contains(c.cfg.Groups, c.cfg.RolePrefix+role) {
				allowed = append(allowed, c.cfg.RolePrefix+role)
			}
		}
	}
	switch {
	case len(c.cfg.Groups) > 0 && len(allowed) == 0:
		denied := connector.NotInGroups("groups", all)
		denied.Cause = errors.Join(append([]error{denied.Cause}, doubts...)...)
		return nil, denied
	case c.cfg.UseGroupsAsWhitelist:
		all = allowed
	}
	return connector.Unique(all), nil
}

// shown returns what applications get of a group: its id or its name. A name that could be taken for an id, for a role or for a
// group that is listed is not shown: anybody who may create groups chooses it.
func (c *Config) shown(g group, meanings map[string]string) string {
	meant, listed := meanings[g.Name]
	if c.GroupNameFormat == byID || g.Name == "" || isID(g.Name) || c.isRole(g.Name) || listed && meant != g.ID {
		return g.ID
	}
	return g.Name
}

// is reports whether a group, of which applications get something, is one of the list.
func (c *Config) is(g group, shown, listed string) bool {
	if isID(listed) {
		return strings.EqualFold(listed, g.ID)
	}
	return shown == listed && shown != g.ID
}

// meanings returns which groups those names mean that the user's groups have and that are listed, and about which there are doubts.
func (c *connection) meanings(
	ctx context.Context, calls *relyingparty.Calls, u *user, member []group,
) (meanings map[string]string, doubts []error, err error) {
	var found []string
	for _, name := range c.cfg.looksUp() {
		if slices.ContainsFunc(member, func(g group) bool { return g.Name == name }) {
			found = append(found, name)
		}
	}
	ids := make([]string, len(found))
	doubts = make([]error, len(found)) // nil for none
	var asking errgroup.Group
	for i, name := range found {
		asking.Go(func() (err error) {
			ids[i], doubts[i], err = c.names.id(ctx, calls, u, name)
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, nil, err
	}
	meanings = map[string]string{}
	for i, name := range found {
		meanings[name] = ids[i]
	}
	return meanings, doubts, nil
}

// looksUp returns the names for which it matters which group they mean.
func (c *Config) looksUp() []string {
	if c.GroupNameFormat == byID || c.InsecureAmbiguousGroupNames {
		return nil
	}
	return c.names()
}

// memberships returns the groups that the user is in, by way of others too. They have names if those are needed.
func (c *connection) memberships(ctx context.Context, calls *relyingparty.Calls) ([]group, error) {
	if !c.cfg.readsDirectory() {
		return c.listed(ctx, calls)
	}
	var ids []string
	err := calls.PostPages(ctx, c.cfg.GraphURL+"/v1.0/me/getMemberGroups",
		map[string]bool{"securityEnabledOnly": c.cfg.OnlySecurityGroups}, into(&ids))
	if refused, ok := errors.AsType[*relyingparty.BearerError](err); ok && refused.Code == "Directory_ResultSizeLimitExceeded" {
		return c.listed(ctx, calls)
	}
	if err != nil {
		return nil, err
	}
	ids = connector.Unique(ids)
	known := map[string]group{}
	if c.cfg.GroupNameFormat == byName {
		if known, err = c.named(ctx, calls, ids); err != nil {
			return nil, err
		}
	}
	member := make([]group, len(ids))
	for i, id := range ids {
		member[i] = group{ID: id, Name: known[id].Name}
	}
	return member, nil
}

// maxByIDs is how many groups Graph looks up at once.
const maxByIDs = 1000

// named looks up groups.
func (c *connection) named(ctx context.Context, calls *relyingparty.Calls, ids []string) (map[string]group, error) {
	var asking errgroup.Group
	batches := slices.Collect(slices.Chunk(ids, maxByIDs))
	found := make([][]group, len(batches))
	for i, batch := range batches {
		asking.Go(func() error {
			return calls.PostPages(ctx, c.cfg.GraphURL+"/v1.0/directoryObjects/getByIds",
				map[string][]string{"ids": batch, "types": {"group"}}, into(&found[i]))
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	known := map[string]group{}
	for _, g := range slices.Concat(found...) {
		known[g.ID] = g
	}
	return known, nil
}

// listed reads the groups of the user page by page, which takes longer than their ids do. Graph does so for more groups, and for
// whom it tells nothing else.
func (c *connection) listed(ctx context.Context, calls *relyingparty.Calls) ([]group, error) {
	var all []group
	err := calls.Pages(ctx, c.cfg.GraphURL+"/v1.0/me/transitiveMemberOf?$select=id,displayName,securityEnabled&$top=999", into(&all))
	return slices.DeleteFunc(all, func(g group) bool { // directory roles and administrative units are there too
		return g.ID == "" || g.Kind != "" && g.Kind != kindGroup || c.cfg.OnlySecurityGroups && !g.Secure
	}), err
}

// into returns what reads a page of one of Graph's lists, and adds what it has to a list.
func into[T any](all *[]T) func(*outbound.Answer) (next string, err error) {
	return func(answer *outbound.Answer) (string, error) {
		var page struct {
			Value []T    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		if err := relyingparty.DecodeAnswer(answer, &page); err != nil {
			return "", err
		}
		*all = append(*all, page.Value...)
		return page.Next, nil
	}
}
