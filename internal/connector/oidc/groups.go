package oidc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/relyingparty"
)

// groupsOf returns the user's groups: those that the provider says, filtered and renamed, and those made of other claims. A
// *connector.Denied says that none of them lets the user in.
func (c *connection) groupsOf(
	ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, s *subject, accessToken string,
) ([]string, error) {
	var groups []string
	if c.cfg.groups() {
		var err error
		if groups, err = c.claimedGroups(ctx, m, said, s, accessToken); err != nil {
			return nil, err
		}
		if groups, err = connector.AllowGroups("allowedGroups", groups, c.cfg.AllowedGroups); err != nil {
			return nil, err
		}
	}
	rename := c.cfg.ClaimModifications.ModifyGroupNames
	for i := range groups {
		groups[i] = rename.Prefix + groups[i] + rename.Suffix
	}
	for _, rule := range c.cfg.ClaimModifications.NewGroupFromClaims {
		if group, ok := rule.make(said); ok {
			groups = append(groups, group)
		}
	}
	return connector.Unique(groups), nil
}

// claimedGroups returns what the provider says of the user's groups, without those that don't count.
func (c *connection) claimedGroups(
	ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, s *subject, accessToken string,
) ([]string, error) {
	var groups []string
	var err error
	if by := c.cfg.compiled.groups; by != nil {
		groups, err = s.groups(ctx, by)
	} else {
		groups, err = c.readGroups(ctx, m, said, accessToken)
	}
	if err != nil {
		return nil, err
	}
	if filter := c.cfg.groupsFilter; filter != nil {
		groups = slices.DeleteFunc(groups, func(name string) bool { return !filter.MatchString(name) })
	}
	return connector.Unique(groups), nil
}

// readGroups reads the claim of groups.
func (c *connection) readGroups(ctx context.Context, m *relyingparty.Metadata, said relyingparty.Claims, accessToken string) ([]string, error) {
	name := "groups"
	value, there := said[name]
	_, isList := value.([]any)
	if mapping := c.cfg.ClaimMapping.Groups; mapping != "" && (!isList || c.cfg.OverrideClaimMapping) {
		name = mapping
		value, there = said.Find(mapping)
	}
	if !there {
		var err error
		if value, err = c.elsewhere(ctx, m, said, name, accessToken); err != nil {
			return nil, err
		}
		if value == nil && name == c.cfg.ClaimMapping.Groups {
			c.foundNothing(ctx, said, "groups", name)
		}
	}
	groups, odd := relyingparty.GroupNames(value)
	if odd != nil {
		return nil, fmt.Errorf("the provider's claim of groups has a %T", odd)
	}
	return groups, nil
}

// foundNothing tells the operator of a claimMapping that finds nothing, and what there is in its place.
func (c *connection) foundNothing(ctx context.Context, said relyingparty.Claims, claim, mapping string) {
	c.log.InfoContext(ctx, "claimMapping finds nothing in what the provider says of the user; a dot in a name needs a backslash",
		"claim", claim, "mapping", mapping, "there", said.Astray(mapping))
}

// make returns the group that a rule makes of claims; false when none of them is there.
func (n *NewGroup) make(said relyingparty.Claims) (string, bool) {
	parts, found := []string{n.Prefix}, false
	for _, name := range n.Claims {
		value, _ := said.Find(name)
		text, ok := value.(string)
		if !ok {
			continue
		}
		if n.ClearDelimiter {
			text = strings.ReplaceAll(text, n.Delimiter, "")
		}
		parts, found = append(parts, text), true
	}
	return strings.Join(parts, n.Delimiter), found
}
