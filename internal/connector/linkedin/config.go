// Package linkedin signs people in through LinkedIn.
package linkedin

import (
	"cmp"
	"context"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type linkedin.
type Config struct {
	ClientID     string `key:"clientID"`
	ClientSecret string `key:"clientSecret" secret:"file"`
	RedirectURI  string `key:"redirectURI"`

	Mode          string `key:"mode"`
	PKCEChallenge string `key:"pkceChallenge"`

	BaseURL            string   `key:"baseURL"`
	APIURL             string   `key:"apiURL"`
	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// Values of mode: which of its two products LinkedIn is asked by. They need different permissions, and it is not documented that
// both know a user by the same id.
const (
	modeOpenID = "openid"
	modeLegacy = "legacy" // what upstream does
)

const (
	defaultURL = "https://www.linkedin.com/oauth/v2"
	defaultAPI = "https://api.linkedin.com/v2"
)

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, c.ClientSecret)
	check.OneOf("mode", c.Mode, modeOpenID, modeLegacy)
	check.OneOf("pkceChallenge", c.PKCEChallenge, relyingparty.ChallengeS256, relyingparty.ChallengeNone)
	check.Base("baseURL", c.BaseURL, defaultURL)
	check.Base("apiURL", c.APIURL, defaultAPI)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	if c.Mode == "" && !check.Unread("mode") {
		check.Warn("mode", "is missing: works only with applications made at LinkedIn before August 2023; others need %s", modeOpenID)
	}
	c.Mode = cmp.Or(c.Mode, modeLegacy)
	// LinkedIn refuses a verifier, as invalid_client, unless it has opened PKCE for the application.
	c.PKCEChallenge = cmp.Or(c.PKCEChallenge, relyingparty.ChallengeNone)
	c.BaseURL = strings.TrimRight(cmp.Or(c.BaseURL, defaultURL), "/")
	c.APIURL = strings.TrimRight(cmp.Or(c.APIURL, defaultAPI), "/")
	return check.Problems()
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error { return outbound.CheckRootCAs(c.RootCAs) }

// connection is a connector to LinkedIn.
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
	// LinkedIn reads the secret from the form alone.
	us := (&relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret, Method: relyingparty.AuthPost}).Over(client)
	conn := &connection{cfg: c, us: us}
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, AuthURL: c.BaseURL + "/authorization",
			Tokens:   relyingparty.Endpoint{URL: c.BaseURL + "/accessToken"},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: c.PKCEChallenge,
		},
		HTTP:     client,
		Scopes:   func(connector.Scopes) []string { return c.scopes() },
		Identify: conn.identify,
	}
	return conn, nil
}

func (c *Config) scopes() []string {
	if c.Mode == modeOpenID {
		return []string{"openid", "profile", "email"}
	}
	return []string{"r_liteprofile", "r_emailaddress"}
}
