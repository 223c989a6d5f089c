// Package microsoft is the settings of connectors to Microsoft's accounts. They are checked, and nothing more yet: the
// connector itself is not there.
package microsoft

import (
	"slices"
	"strings"

	"dex/internal/config"
	"dex/internal/connector/settings"
)

// Config is the settings of the type microsoft.
type Config struct {
	ClientID               string   `key:"clientID"`
	ClientSecret           string   `key:"clientSecret"`
	ClientAssertion        string   `key:"clientAssertion"`
	RedirectURI            string   `key:"redirectURI"`
	Tenant                 string   `key:"tenant"`
	Groups                 []string `key:"groups"`
	GroupNameFormat        string   `key:"groupNameFormat"`
	OnlySecurityGroups     bool     `key:"onlySecurityGroups"`
	UseGroupsAsWhitelist   bool     `key:"useGroupsAsWhitelist"`
	BatchGroupLookups      bool     `key:"batchGroupLookups"`
	EmailToLowercase       bool     `key:"emailToLowercase"`
	Scopes                 []string `key:"scopes"`
	PromptType             string   `key:"promptType"`
	DomainHint             string   `key:"domainHint"`
	PreferredUsernameField string   `key:"preferredUsernameField"`
	APIURL                 string   `key:"apiURL"`
	GraphURL               string   `key:"graphURL"`
}

// manyTenants are the values of tenant that stand for accounts of anybody.
var manyTenants = []string{"", "common", "organizations", "consumers"}

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	// Groups belong to a tenant. Upstream lets everybody in then.
	if len(c.Groups) > 0 && slices.Contains(manyTenants, strings.ToLower(c.Tenant)) {
		check.Fail("groups", "can't be asked for where tenant is %q: name one tenant, by its UUID or domain, or leave groups out", c.Tenant)
	}
	check.OneOf("groupNameFormat", c.GroupNameFormat, "name", "id")
	return check.Problems()
}
