package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// groupsOf returns the user's groups: those that the provider says, filtered and renamed, and those made of other claims. A
// *connector.Denied says that none of them lets the user in.
func (c *connection) groupsOf(ctx context.Context, m *metadata, said relyingparty.Claims, accessToken string) ([]string, error) {
	var groups []string
	if c.cfg.groups() {
		var err error
		if groups, err = c.claimedGroups(ctx, m, said, accessToken); err != nil {
			return nil, err
		}
		if groups, err = c.allow(groups); err != nil {
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
	return groups, nil
}

// allow returns those of the groups that let a user in.
func (c *connection) allow(groups []string) ([]string, error) {
	if len(c.cfg.AllowedGroups) == 0 {
		return groups, nil
	}
	allowed := slices.DeleteFunc(groups, func(g string) bool { return !slices.Contains(c.cfg.AllowedGroups, g) })
	if len(allowed) == 0 {
		return nil, errNotAllowed()
	}
	return allowed, nil
}

func errNotAllowed() error {
	return &connector.Denied{Reason: "You are in none of the groups that may log in here."}
}

// claimedGroups reads the claim of groups.
func (c *connection) claimedGroups(ctx context.Context, m *metadata, said relyingparty.Claims, accessToken string) ([]string, error) {
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
	}
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case []any:
		return c.listed(v)
	}
	return nil, nil
}

// listed reads a list of groups, which are texts or objects with a name.
func (c *connection) listed(list []any) ([]string, error) {
	var groups []string
	for _, item := range list {
		var name string
		switch v := item.(type) {
		case string:
			name = v
		case map[string]any:
			text, ok := v["name"].(string)
			if !ok {
				continue
			}
			name = text
		default:
			return nil, fmt.Errorf("the provider's claim of groups has a %T", item)
		}
		if c.cfg.groupsFilter == nil || c.cfg.groupsFilter.MatchString(name) {
			groups = append(groups, name)
		}
	}
	return groups, nil
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

// elsewhere returns a claim that the provider keeps at another address, as some do when there is too much of it (OpenID
// Connect Core, section 5.6.2); nil when it has none.
func (c *connection) elsewhere(ctx context.Context, m *metadata, said relyingparty.Claims, name, accessToken string) (any, error) {
	names, _ := said["_claim_names"].(map[string]any)
	sources, _ := said["_claim_sources"].(map[string]any)
	source, ok := names[name].(string)
	if !ok {
		return nil, nil
	}
	value, err := c.fetchClaim(ctx, m, sources[source], name, accessToken)
	if err != nil && len(c.cfg.AllowedGroups) == 0 {
		c.log.WarnContext(ctx, "groups that the provider keeps elsewhere can't be read; the user has none", "err", err)
		return nil, nil
	}
	return value, err
}

func (c *connection) fetchClaim(ctx context.Context, m *metadata, source any, name, accessToken string) (any, error) {
	described, ok := source.(map[string]any)
	if !ok {
		return nil, errors.New("distributed claim: the provider does not say where it is")
	}
	if inside, ok := described["JWT"].(string); ok { // an aggregated one
		signed, err := c.keys.verify(ctx, m, inside)
		return signed[name], err
	}
	endpoint, _ := described["endpoint"].(string)
	if err := c.mayAsk(m, endpoint); err != nil {
		return nil, err
	}
	if own, ok := described["access_token"].(string); ok {
		accessToken = own
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("distributed claim: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	answer, err := outbound.Do(c.client, r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("distributed claim: %w", err)
	case answer.Status != http.StatusOK:
		return nil, fmt.Errorf("distributed claim: %s answers %d", endpoint, answer.Status)
	case answer.MediaType() == "application/jwt":
		signed, err := c.keys.verify(ctx, m, string(answer.Body))
		return signed[name], err
	}
	found, err := relyingparty.ReadClaims(answer.Body)
	return found[name], err
}

// mayAsk reports whether our access token may be shown at an address that a token names: to the provider itself, and to
// whom the operator trusts.
func (c *connection) mayAsk(m *metadata, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" {
		return fmt.Errorf("distributed claim: %q is no https URL", endpoint)
	}
	hosts := slices.Clone(c.cfg.DistributedClaimsHosts)
	for _, own := range []string{m.Issuer, m.UserInfoURL} {
		if o, err := url.Parse(own); err == nil && o.Host != "" {
			hosts = append(hosts, o.Host)
		}
	}
	if !slices.Contains(hosts, u.Host) {
		return fmt.Errorf("distributed claim: %s is not the provider's; distributedClaimsHosts may name it", u.Host)
	}
	return nil
}
