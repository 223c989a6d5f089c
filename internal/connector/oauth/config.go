// Package oauth signs people in through any OAuth 2.0 provider that tells who the holder of an access token is.
package oauth

import (
	"cmp"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/relyingparty"
)

// Config is the settings of the type oauth.
type Config struct {
	ClientID         string   `key:"clientID"`
	ClientSecret     string   `key:"clientSecret" secret:"file"`
	RedirectURI      string   `key:"redirectURI"`
	Issuer           string   `key:"issuer"` // what the provider's answers have as iss; empty where they have none
	AuthorizationURL string   `key:"authorizationURL"`
	TokenURL         string   `key:"tokenURL"`
	UserInfoURL      string   `key:"userInfoURL"`
	Scopes           []string `key:"scopes"`

	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
	ClientAuthMethod   string   `key:"clientAuthMethod"`
	PKCEChallenge      string   `key:"pkceChallenge"`

	UserIDKey                 string       `key:"userIDKey"`
	ExactNumericIDs           bool         `key:"exactNumericIDs"`
	ClaimMapping              ClaimMapping `key:"claimMapping"`
	InsecureSkipEmailVerified bool         `key:"insecureSkipEmailVerified"`
	AllowedGroups             []string     `key:"allowedGroups"`
}

// ClaimMapping names the members of what the provider says of a user. Dots lead into objects.
type ClaimMapping struct {
	UserNameKey          string `key:"userNameKey"`
	PreferredUsernameKey string `key:"preferredUsernameKey"`
	EmailKey             string `key:"emailKey"`
	EmailVerifiedKey     string `key:"emailVerifiedKey"`
	GroupsKey            string `key:"groupsKey"`
}

// defaultMapping is what holds for members that are not named.
var defaultMapping = ClaimMapping{
	UserNameKey: "user_name", PreferredUsernameKey: "preferred_username", EmailKey: "email", EmailVerifiedKey: "email_verified",
	GroupsKey: "groups",
}

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Required("clientID", c.ClientID == "", "is missing: the id that the provider has given to Dex")
	for _, each := range []struct{ key, value, example string }{
		{"authorizationURL", c.AuthorizationURL, "https://provider.example.com/oauth/authorize"},
		{"tokenURL", c.TokenURL, "https://provider.example.com/oauth/token"},
		{"userInfoURL", c.UserInfoURL, "https://provider.example.com/userinfo"},
	} {
		check.Required(each.key, each.value == "", "is missing: an http or https URL of the provider, such as %s", each.example)
		check.URL(each.key, each.value, each.example)
	}
	check.OneOf("pkceChallenge", c.PKCEChallenge, relyingparty.ChallengeS256, relyingparty.ChallengePlain, relyingparty.ChallengeNone)
	check.OneOf("clientAuthMethod", c.ClientAuthMethod, relyingparty.AuthBasic, relyingparty.AuthPost, relyingparty.AuthNone)
	if c.InsecureSkipVerify {
		check.Warn("insecureSkipVerify", "lets anybody on the way sign in as anybody; use rootCAs")
	}
	c.complete()
	return check.Problems()
}

// complete sets what is not given.
func (c *Config) complete() {
	m := &c.ClaimMapping
	c.UserIDKey = cmp.Or(c.UserIDKey, "id")
	c.PKCEChallenge = cmp.Or(c.PKCEChallenge, relyingparty.ChallengeS256)
	m.UserNameKey = cmp.Or(m.UserNameKey, defaultMapping.UserNameKey)
	m.PreferredUsernameKey = cmp.Or(m.PreferredUsernameKey, defaultMapping.PreferredUsernameKey)
	m.EmailKey = cmp.Or(m.EmailKey, defaultMapping.EmailKey)
	m.EmailVerifiedKey = cmp.Or(m.EmailVerifiedKey, defaultMapping.EmailVerifiedKey)
	m.GroupsKey = cmp.Or(m.GroupsKey, defaultMapping.GroupsKey)
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}
