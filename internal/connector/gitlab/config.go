// Package gitlab signs people in through GitLab, at gitlab.com or elsewhere.
package gitlab

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type gitlab.
type Config struct {
	BaseURL      string `key:"baseURL"`
	ClientID     string `key:"clientID"`
	ClientSecret string `key:"clientSecret" secret:"file"`
	RedirectURI  string `key:"redirectURI"`

	Groups              []string `key:"groups"`         // full paths, or path:role
	GroupsFilter        string   `key:"groupsFilter"`   // of what applications get
	MinAccessLevel      string   `key:"minAccessLevel"` // one of the names of levels
	GetGroupsPermission bool     `key:"getGroupsPermission"`
	InheritedGroups     bool     `key:"inheritedGroups"`
	UseLoginAsID        bool     `key:"useLoginAsID"`

	InsecureExchangeAnyApplication bool `key:"insecureExchangeAnyApplication"`

	RootCAs            []string `key:"rootCAs" file:"opened"`
	RootCAData         []byte   `key:"rootCAData"` // PEM
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`

	groupsFilter *regexp.Regexp // nil for none
}

const defaultURL = "https://gitlab.com"

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, c.ClientSecret)
	check.Base("baseURL", c.BaseURL, defaultURL)
	c.checkGroups(check)
	if len(c.RootCAData) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.RootCAData) {
		check.Fail("rootCAData", "must be base64 of PEM certificates")
	}
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	if c.UseLoginAsID {
		check.Warn("useLoginAsID", "lets whoever takes a name that a user has given up sign in as that user")
	}
	if c.InsecureExchangeAnyApplication {
		check.Warn("insecureExchangeAnyApplication", "lets every application that has a user's token sign in as that user")
	}
	c.BaseURL = strings.TrimRight(cmp.Or(c.BaseURL, defaultURL), "/")
	return check.Problems()
}

// checkGroups checks what is said of groups. What lets nobody in is only warned of, as it may stand beside what lets somebody in.
func (c *Config) checkGroups(check *settings.Check) {
	for i, listed := range c.Groups {
		at := fmt.Sprintf("groups[%d]", i)
		path, role, isRole := strings.Cut(listed, ":")
		switch {
		case path == "", strings.Trim(path, "/") != path:
			check.Warn(at, "lets nobody in: it must be the full path of a group, such as parent/child")
		case isRole && !c.GetGroupsPermission:
			check.Warn(at, "lets nobody in without getGroupsPermission, which reads roles")
		case isRole && !slices.ContainsFunc(levels, func(l level) bool { return strings.EqualFold(l.name, role) }):
			check.Warn(at, "lets nobody in: there is no role %q", role)
		}
	}
	check.OneOf("minAccessLevel", c.MinAccessLevel, asked()...)
	if len(c.Groups) > 0 && c.InheritedGroups && c.MinAccessLevel == "" {
		check.Warn("inheritedGroups", "lets in members of a single project in a group, too, as GitLab lists its groups for them; "+
			"minAccessLevel: guest keeps them out")
	}
	if c.GroupsFilter != "" {
		var err error
		if c.groupsFilter, err = regexp.Compile(c.GroupsFilter); err != nil {
			check.Fail("groupsFilter", "is no regular expression: %v", err)
		}
	}
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error { return outbound.CheckRootCAs(c.RootCAs) }

// connection is a connector to a GitLab.
type connection struct {
	relyingparty.SignIn
	cfg *Config
}

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	authorities := c.RootCAs
	if len(c.RootCAData) > 0 {
		authorities = append(slices.Clone(authorities), string(c.RootCAData))
	}
	client, err := outbound.NewClient(authorities, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	conn := &connection{cfg: c}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client:   (&relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret}).Over(client),
			AuthURL:  c.address("/oauth/authorize", nil),
			Tokens:   relyingparty.Endpoint{URL: c.address("/oauth/token", nil)},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		HTTP:     client,
		Scopes:   c.scopes,
		Identify: conn.identify,
	}
	return conn, nil
}

// scopes returns what is asked for.
func (c *Config) scopes(s connector.Scopes) []string {
	switch {
	case !connector.NeedsGroups(s, c.Groups):
		return []string{"read_user"}
	case c.fromAPI():
		return []string{"read_user", "openid", "read_api"}
	}
	return []string{"read_user", "openid"}
}

// fromAPI reports whether groups come from the API's list of groups, and not from userinfo.
func (c *Config) fromAPI() bool { return c.InheritedGroups || c.MinAccessLevel != "" }

// address returns an address of GitLab.
func (c *Config) address(path string, query url.Values) string {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.BaseURL + path
}
