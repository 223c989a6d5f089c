// Package bitbucket signs people in through Bitbucket Cloud.
package bitbucket

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type bitbucket-cloud.
type Config struct {
	ClientID     string `key:"clientID"`
	ClientSecret string `key:"clientSecret" secret:"file"`
	RedirectURI  string `key:"redirectURI"`

	Teams                   []string `key:"teams"` // workspaces, or workspace:permission
	GetWorkspacePermissions bool     `key:"getWorkspacePermissions"`
	IncludeTeamGroups       bool     `key:"includeTeamGroups"` // Bitbucket no longer tells of them

	BaseURL            string   `key:"baseURL"`
	APIURL             string   `key:"apiURL"`
	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

const (
	defaultURL = "https://bitbucket.org"
	defaultAPI = "https://api.bitbucket.org/2.0"
)

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, c.ClientSecret)
	check.Base("baseURL", c.BaseURL, defaultURL)
	check.Base("apiURL", c.APIURL, defaultAPI)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	if c.IncludeTeamGroups {
		check.Warn("includeTeamGroups", "has no effect: Bitbucket no longer tells of groups within a workspace")
	}
	c.checkTeams(check)
	c.BaseURL = strings.TrimRight(cmp.Or(c.BaseURL, defaultURL), "/")
	c.APIURL = strings.TrimRight(cmp.Or(c.APIURL, defaultAPI), "/")
	return check.Problems()
}

// permissions are what users can have in a workspace. An administrator has the first.
var permissions = []string{"owner", "collaborator", "member"}

// checkTeams warns of entries that let in nobody, as they do with upstream, too.
func (c *Config) checkTeams(check *settings.Check) {
	for i, team := range c.Teams {
		key := fmt.Sprintf("teams[%d]", i)
		workspace, permission, named := strings.Cut(team, ":")
		switch {
		case workspace == "":
			check.Warn(key, "lets in nobody: it must be a workspace as addresses at Bitbucket have it, such as acme or acme:owner")
		case workspace != strings.ToLower(workspace):
			check.Warn(key, "lets in nobody: names of workspaces are in lower case")
		case named && !slices.Contains(permissions, permission):
			check.Warn(key, "lets in nobody: what follows the colon must be one of %s", strings.Join(permissions, ", "))
		case named && !c.GetWorkspacePermissions:
			check.Warn(key, "lets in nobody without getWorkspacePermissions: true")
		}
	}
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error { return outbound.CheckRootCAs(c.RootCAs) }

// connection is a connector to Bitbucket.
type connection struct {
	relyingparty.SignIn
	cfg *Config
	log *slog.Logger
}

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := (&relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret}).Over(client)
	conn := &connection{cfg: c, log: env.Log}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, AuthURL: c.BaseURL + "/site/oauth2/authorize",
			Tokens:   relyingparty.Endpoint{URL: c.BaseURL + "/site/oauth2/access_token"},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		HTTP:     client,
		Scopes:   func(connector.Scopes) []string { return []string{"account", "email"} },
		Identify: conn.identify,
	}
	return conn, nil
}

// list returns the address of a list's first page.
func (c *Config) list(path string) string {
	const pageSize = "100" // the most that Bitbucket gives
	return c.APIURL + path + "?" + url.Values{"pagelen": {pageSize}}.Encode()
}
