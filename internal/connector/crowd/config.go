// Package crowd signs people in with their name and password at Atlassian Crowd, through its REST user management API.
package crowd

import (
	"net/url"
	"strings"

	"dex/internal/config"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
)

// Config is the settings of the type atlassian-crowd.
type Config struct {
	BaseURL      string `key:"baseURL"`
	ClientID     string `key:"clientID"` // of the application in Crowd
	ClientSecret string `key:"clientSecret" secret:"file"`

	Groups                 []string `key:"groups"` // a user must be in one of these
	PreferredUsernameField string   `key:"preferredUsernameField"`
	UsernamePrompt         string   `key:"usernamePrompt"`
	EmailVerified          *bool    `key:"emailVerified"` // nil means true

	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// Values of preferredUsernameField.
const (
	fieldKey   = "key"
	fieldName  = "name"
	fieldEmail = "email"
)

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	const example = "https://crowd.example.com/crowd"
	check.Required("baseURL", c.BaseURL == "", "is missing: the address of Crowd, such as %s", example)
	switch {
	case c.BaseURL == "":
	case !isBase(c.BaseURL):
		check.Fail("baseURL", "must be an http or https URL without a query, such as %s", example)
	case strings.HasPrefix(c.BaseURL, "http:"):
		check.Warn("baseURL", "sends passwords in the clear; use https")
	}
	check.Required("clientID", c.ClientID == "", "is missing: the name of Dex's application in Crowd")
	check.Required("clientSecret", c.ClientSecret == "", "is missing: the password of Dex's application in Crowd")
	check.OneOf("preferredUsernameField", c.PreferredUsernameField, fieldKey, fieldName, fieldEmail)
	if c.InsecureSkipVerify {
		check.Warn("insecureSkipVerify", "lets anybody on the network path read passwords; use rootCAs")
	}
	return check.Problems()
}

// isBase reports whether paths can be appended to an address.
func isBase(text string) bool {
	u, err := url.Parse(text)
	return err == nil && outbound.IsURL(text) && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}
