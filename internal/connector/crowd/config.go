// Package crowd signs people in with their name and password at Atlassian Crowd, by its REST user management API.
package crowd

import (
	"net/url"
	"slices"
	"strings"

	"dex/internal/config"
)

// Config is the settings of the type atlassian-crowd.
type Config struct {
	BaseURL      string `key:"baseURL"`
	ClientID     string `key:"clientID"` // of the application in Crowd
	ClientSecret string `key:"clientSecret"`

	Groups                 []string `key:"groups"` // one of which a user must be in
	PreferredUsernameField string   `key:"preferredUsernameField"`
	UsernamePrompt         string   `key:"usernamePrompt"`
	EmailVerified          *bool    `key:"emailVerified"` // nil means true

	RootCAs            []string `key:"rootCAs"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// What preferredUsernameField can name.
const (
	fieldKey   = "key"
	fieldName  = "name"
	fieldEmail = "email"
)

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	problems := s.Decode((*plain)(c))
	wrong := func(key, message string) { problems = append(problems, s.Problem(key, "%s", message)) }
	warn := func(key, message string) {
		p := s.Problem(key, "%s", message)
		p.Warning = true
		problems = append(problems, p)
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	switch {
	case c.BaseURL == "":
		wrong("baseURL", "is missing: the address of Crowd, such as https://crowd.example.com/crowd")
	case !isWebURL(c.BaseURL):
		wrong("baseURL", "must be an http or https URL without a query, such as https://crowd.example.com/crowd")
	case strings.HasPrefix(c.BaseURL, "http:"):
		warn("baseURL", "sends passwords in the clear; use https")
	}
	if c.ClientID == "" {
		wrong("clientID", "is missing: the name of the application that Dex is in Crowd")
	}
	if c.ClientSecret == "" {
		wrong("clientSecret", "is missing: the password of the application that Dex is in Crowd")
	}
	if f := c.PreferredUsernameField; f != "" && !slices.Contains([]string{fieldKey, fieldName, fieldEmail}, f) {
		wrong("preferredUsernameField", "must be key, name or email")
	}
	if c.InsecureSkipVerify {
		warn("insecureSkipVerify", "shows passwords to anybody on the way; use rootCAs")
	}
	return problems.InOrder()
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" &&
		u.User == nil
}
