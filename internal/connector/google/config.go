// Package google signs people in with their accounts at Google.
package google

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/google/credentials"
	"dex/internal/connector/settings"
	"dex/internal/oauth"
	"dex/internal/outbound"
)

// Config is the settings of the type google.
type Config struct {
	ClientID          string   `key:"clientID"`
	ClientSecret      string   `key:"clientSecret" secret:"file"`
	RedirectURI       string   `key:"redirectURI"`
	Scopes            []string `key:"scopes"`
	HostedDomains     []string `key:"hostedDomains"`
	PromptType        *string  `key:"promptType"`
	PreferredUsername string   `key:"preferredUsername"` // one of the values below

	Groups                         []string          `key:"groups"`
	InsecureSkipGroupsWithoutScope bool              `key:"insecureSkipGroupsWithoutScope"` // hold to groups only where applications ask for them
	GroupsFrom                     string            `key:"groupsFrom"`                     // one of the values below
	FetchTransitiveGroupMembership bool              `key:"fetchTransitiveGroupMembership"`
	ServiceAccountFilePath         string            `key:"serviceAccountFilePath" file:"opened"`
	DomainToAdminEmail             map[string]string `key:"domainToAdminEmail"`
	AdminEmail                     string            `key:"adminEmail"` // deprecated: that of "*"

	Issuer            string `key:"issuer"`
	DirectoryURL      string `key:"directoryURL"`
	CloudIdentityURL  string `key:"cloudIdentityURL"`
	IAMCredentialsURL string `key:"iamCredentialsURL"`
	TokenInfoURL      string `key:"tokenInfoURL"`

	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// Values of groupsFrom: the API that knows a user's groups.
const (
	fromDirectory     = "directory"
	fromCloudIdentity = "cloudIdentity"
)

// Values of preferredUsername.
const (
	nameIsEmail     = "email"
	nameIsLocalPart = "localPart"
)

// Where Google is.
const (
	defaultIssuer         = "https://accounts.google.com"
	defaultDirectory      = "https://admin.googleapis.com"
	defaultCloudIdentity  = "https://cloudidentity.googleapis.com"
	defaultIAMCredentials = "https://iamcredentials.googleapis.com"   //nolint:gosec // G101: an address
	defaultTokenInfo      = "https://oauth2.googleapis.com/tokeninfo" //nolint:gosec // G101: an address
)

// anyDomain is the key in domainToAdminEmail for domains that have none.
const anyDomain = "*"

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, c.ClientSecret)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	check.OneOf("preferredUsername", c.PreferredUsername, nameIsEmail, nameIsLocalPart)
	if slices.Contains(c.Scopes, oauth.ScopeGroups) {
		check.Fail("scopes", "must not have groups, which Google refuses; groups are looked up as groupsFrom says")
	}
	for i, domain := range c.HostedDomains {
		if domain == "" || strings.ContainsAny(domain, "@/:* ") {
			check.Fail(fmt.Sprintf("hostedDomains[%d]", i), "must be a domain, such as example.com, not %q", domain)
		}
	}
	c.checkPrompt(check)
	c.checkAdmins(check)
	c.checkGroups(check)
	c.checkAddresses(check)
	return check.Problems()
}

// checkPrompt warns of logins that Google won't prolong: it gives a refresh token only to users who are asked for consent.
func (c *Config) checkPrompt(check *settings.Check) {
	if c.PromptType == nil {
		return
	}
	words := strings.Fields(*c.PromptType)
	for _, word := range words {
		if !slices.Contains([]string{"consent", "select_account", "none"}, word) {
			check.Warn("promptType", "has %q, which Google does not know: it knows consent, select_account and none", word)
		}
	}
	if !slices.Contains(words, "consent") {
		check.Warn("promptType", "without consent makes Google give a refresh token only at a user's first login; "+
			"if it gets lost, the user's later logins can't be prolonged")
	}
}

// checkAdmins checks for whom we may act.
func (c *Config) checkAdmins(check *settings.Check) {
	const key = "domainToAdminEmail"
	admins := map[string]string{}
	for _, domain := range slices.Sorted(maps.Keys(c.DomainToAdminEmail)) {
		admin := c.DomainToAdminEmail[domain]
		switch {
		case domain == "" || strings.ContainsAny(domain, "@/ "):
			check.Fail(key, `has %q, and its keys must be domains of e-mail addresses, or "*" for all others`, domain)
		case admin != "" && !strings.Contains(admin, "@"):
			check.Fail(key, "has %q for %s, which must be the e-mail address of an administrator", admin, domain)
		}
		admins[strings.ToLower(domain)] = admin
	}
	if c.AdminEmail != "" {
		check.Warn("adminEmail", `is deprecated: write domainToAdminEmail: {"*": %s}`, c.AdminEmail)
		admins[anyDomain] = c.AdminEmail
	}
	c.DomainToAdminEmail = admins
}

// checkGroups checks how groups are looked up.
func (c *Config) checkGroups(check *settings.Check) {
	check.OneOf("groupsFrom", c.GroupsFrom, fromDirectory, fromCloudIdentity)
	if len(c.DomainToAdminEmail) > 0 {
		c.GroupsFrom = cmp.Or(c.GroupsFrom, fromDirectory)
	}
	unread := check.Unread("groupsFrom") || check.Unread("domainToAdminEmail")
	if c.GroupsFrom == "" && !unread {
		const ways = "needs domainToAdminEmail, whose administrators look up groups, or groupsFrom, with which the service account itself does"
		if c.ServiceAccountFilePath != "" {
			check.Fail("serviceAccountFilePath", ways)
		}
		if len(c.Groups) > 0 {
			check.Fail("groups", ways)
		}
		if c.FetchTransitiveGroupMembership {
			check.Warn("fetchTransitiveGroupMembership", "has no effect: it "+ways)
		}
	}
	if slices.Contains(c.Groups, "") {
		check.Fail("groups", "has an empty address")
	}
	switch {
	case !c.InsecureSkipGroupsWithoutScope:
	case len(c.Groups) == 0:
		check.Warn("insecureSkipGroupsWithoutScope", "has no effect without groups")
	default:
		check.Warn("insecureSkipGroupsWithoutScope", "lets everybody in to applications that don't ask for groups")
	}
}

// checkAddresses checks where Google is, and fills in where it is for all but tests, gateways and special clouds.
func (c *Config) checkAddresses(check *settings.Check) {
	if c.Issuer != "" && c.Issuer != defaultIssuer {
		check.Warn("issuer", "is not Google's: whoever is there decides who everybody is")
	}
	for _, each := range []struct {
		key   string
		value *string
		usual string
	}{
		{"issuer", &c.Issuer, defaultIssuer},
		{"directoryURL", &c.DirectoryURL, defaultDirectory},
		{"cloudIdentityURL", &c.CloudIdentityURL, defaultCloudIdentity},
		{"iamCredentialsURL", &c.IAMCredentialsURL, defaultIAMCredentials},
		{"tokenInfoURL", &c.TokenInfoURL, defaultTokenInfo},
	} {
		check.URL(each.key, *each.value, each.usual)
		*each.value = cmp.Or(*each.value, each.usual)
		if each.key != "issuer" { // which is compared to the last slash
			*each.value = strings.TrimRight(*each.value, "/")
		}
	}
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	if c.ServiceAccountFilePath != "" {
		found["serviceAccountFilePath"] = credentials.Check(c.ServiceAccountFilePath)
	}
	return found
}

// scopes returns what is asked for.
func (c *Config) scopes() []string {
	more := c.Scopes
	if len(more) == 0 {
		more = []string{"profile", "email"}
	}
	return connector.Unique(append([]string{oauth.ScopeOpenID}, more...))
}

// prompt returns how users are asked: as is configured where the login is to be prolonged, and as the application wants. Google
// has no login, and select_account comes next to it.
func (c *Config) prompt(r connector.LoginRequest) string {
	var words []string
	if r.Scopes.OfflineAccess {
		words = []string{"consent"}
		if c.PromptType != nil {
			words = strings.Fields(*c.PromptType)
		}
	}
	for _, wish := range r.Prompt {
		switch wish {
		case "consent", "select_account":
			words = append(words, wish)
		case "login":
			words = append(words, "select_account")
		}
	}
	if len(words) > 1 { // none goes with nothing else
		words = slices.DeleteFunc(words, func(word string) bool { return word == "none" })
	}
	return strings.Join(connector.Unique(words), " ")
}

// subjects returns for whom we look up groups; an empty one is nobody.
func (c *Config) subjects() []string {
	if len(c.DomainToAdminEmail) == 0 {
		return []string{""}
	}
	return slices.Compact(slices.Sorted(maps.Values(c.DomainToAdminEmail)))
}

// subject returns the administrator for whom we look up an address; empty for nobody, false where the settings name none.
func (c *Config) subject(address string) (admin string, ok bool) {
	if len(c.DomainToAdminEmail) == 0 {
		return "", true
	}
	at := strings.LastIndexByte(address, '@')
	if admin, ok = c.DomainToAdminEmail[strings.ToLower(address[at+1:])]; !ok || at < 0 {
		admin, ok = c.DomainToAdminEmail[anyDomain]
	}
	return admin, ok
}
