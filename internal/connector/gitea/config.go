// Package gitea signs people in through Gitea or Forgejo.
package gitea

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type gitea.
type Config struct {
	BaseURL      string   `key:"baseURL"`
	ClientID     string   `key:"clientID"`
	ClientSecret string   `key:"clientSecret" secret:"file"`
	RedirectURI  string   `key:"redirectURI"`
	Scopes       []string `key:"scopes"` // nil for those that are needed, empty for none

	Orgs                settings.Orgs `key:"orgs"`
	InsecureIgnoreTeams bool          `key:"insecureIgnoreTeams"` // let in members of other teams of the orgs too, as upstream
	LoadAllGroups       bool          `key:"loadAllGroups"`
	UseLoginAsID        bool          `key:"useLoginAsID"`

	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

const defaultURL = "https://gitea.com"

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, c.ClientSecret)
	check.Base("baseURL", c.BaseURL, defaultURL)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	c.Orgs.Check(check, "orgs")
	if len(c.Orgs) > 0 && c.LoadAllGroups {
		check.Warn("loadAllGroups", "has no effect beside orgs: groups are those of orgs")
	}
	if c.UseLoginAsID {
		check.Warn("useLoginAsID", "lets whoever takes a name that a user has given up sign in as that user")
	}
	if c.InsecureIgnoreTeams {
		check.Warn("insecureIgnoreTeams", "lets in everybody who is in any team of the organizations")
	}
	c.BaseURL = strings.TrimRight(cmp.Or(c.BaseURL, defaultURL), "/")
	return check.Problems()
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error { return outbound.CheckRootCAs(c.RootCAs) }

// connection is a connector to a Gitea.
type connection struct {
	relyingparty.SignIn
	cfg *Config
	us  *relyingparty.Client
}

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := (&relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret}).Over(client)
	conn := &connection{cfg: c, us: us}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, AuthURL: c.BaseURL + "/login/oauth/authorize",
			Tokens:   relyingparty.Endpoint{URL: c.BaseURL + "/login/oauth/access_token"},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		HTTP:     client,
		Scopes:   func(connector.Scopes) []string { return c.scopes() },
		Identify: conn.identify,
	}
	return conn, nil
}

// scopes returns what is asked for. It is the same at each login, as Gitea keeps what a user has once agreed to, and asks for
// nothing more later. Versions that know no scopes give access to everything.
func (c *Config) scopes() []string {
	switch {
	case c.Scopes != nil:
		return c.Scopes
	case len(c.Orgs) > 0 || c.LoadAllGroups:
		return []string{"read:user", "read:organization"}
	}
	return []string{"read:user"}
}

// api returns an address of the API.
func (c *Config) api(path string, query url.Values) string {
	address := c.BaseURL + "/api/v1" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address
}
