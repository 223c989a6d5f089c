// Package microsoft signs people in through Microsoft Entra ID and, if no tenant is named, through personal accounts.
package microsoft

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type microsoft.
type Config struct {
	ClientID        string `key:"clientID"`
	ClientSecret    string `key:"clientSecret" secret:"file"`
	ClientAssertion string `key:"clientAssertion" file:"sent"` // path of a signed assertion, instead of the secret
	RedirectURI     string `key:"redirectURI"`

	Tenant         string   `key:"tenant"`
	AllowedDomains []string `key:"allowedDomains"`
	Cloud          string   `key:"cloud"`
	APIURL         string   `key:"apiURL"`
	GraphURL       string   `key:"graphURL"`

	Groups                      []string `key:"groups"`
	GroupNameFormat             string   `key:"groupNameFormat"`
	InsecureAmbiguousGroupNames bool     `key:"insecureAmbiguousGroupNames"` // any group with a name in groups will do
	OnlySecurityGroups          bool     `key:"onlySecurityGroups"`
	UseGroupsAsWhitelist        bool     `key:"useGroupsAsWhitelist"`
	BatchGroupLookups           bool     `key:"batchGroupLookups"` // upstream's; they always are
	RolesAsGroups               bool     `key:"rolesAsGroups"`
	RolePrefix                  string   `key:"rolePrefix"`

	EmailField                        string `key:"emailField"`
	EmailToLowercase                  bool   `key:"emailToLowercase"`
	InsecureSharedTenantEmailVerified bool   `key:"insecureSharedTenantEmailVerified"`
	PreferredUsernameField            string `key:"preferredUsernameField"`

	Scopes      []string `key:"scopes"`
	GroupScopes []string `key:"groupScopes"`
	PromptType  string   `key:"promptType"`
	DomainHint  string   `key:"domainHint"`

	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`
}

// A cloud is one of Microsoft's, apart from the others.
type cloud struct{ login, graph string }

const global = "global"

var clouds = map[string]cloud{
	global:  {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
	"usgov": {"https://login.microsoftonline.us", "https://graph.microsoft.us"},
	"usdod": {"https://login.microsoftonline.us", "https://dod-graph.microsoft.us"},
	"china": {"https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"},
}

// Values of groupNameFormat.
const (
	byName = "name"
	byID   = "id"
)

// Values of emailField and preferredUsernameField, as Graph names them.
const (
	fieldUPN      = "userPrincipalName"
	fieldMail     = "mail"
	fieldNickname = "mailNickname"
	fieldSAM      = "onPremisesSamAccountName"
)

// Values of tenant that stand for many tenants. Their accounts are made by anybody.
const (
	anyAccount = "common"
	anyWork    = "organizations"
	personal   = "consumers"
)

// personalTenant is the id of the tenant that all personal accounts are in.
const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// isTenant are the characters of domains and ids.
var isTenant = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// defaultRolePrefix tells roles from groups.
const defaultRolePrefix = "role:"

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	c.checkApplication(check)
	c.checkTenant(check)
	c.checkGroups(check)
	c.checkUser(check)
	check.OneOf("cloud", c.Cloud, global, "usgov", "usdod", "china")
	check.Base("apiURL", c.APIURL, clouds[global].login)
	check.Base("graphURL", c.GraphURL, clouds[global].graph)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	in := clouds[cmp.Or(c.Cloud, global)]
	c.APIURL = strings.TrimRight(cmp.Or(c.APIURL, in.login), "/")
	c.GraphURL = strings.TrimRight(cmp.Or(c.GraphURL, in.graph), "/")
	return check.Problems()
}

func (c *Config) checkApplication(check *settings.Check) {
	if c.ClientAssertion == "" {
		check.Application(c.ClientID, c.ClientSecret)
		return
	}
	check.Required("clientID", c.ClientID == "", "is missing: the id that the provider has given to Dex")
	if c.ClientSecret != "" {
		check.Warn("clientSecret", "has no effect beside clientAssertion")
	}
}

func (c *Config) checkTenant(check *settings.Check) {
	if c.Tenant == "" {
		c.Tenant = anyAccount
	}
	if !isTenant.MatchString(c.Tenant) {
		check.Fail("tenant", "must be the id or a domain of a tenant, or one of %s, %s, %s", anyAccount, anyWork, personal)
	}
	for i, domain := range c.AllowedDomains {
		c.AllowedDomains[i] = strings.ToLower(strings.TrimPrefix(domain, "@"))
		if !isTenant.MatchString(c.AllowedDomains[i]) {
			check.Fail(fmt.Sprintf("allowedDomains[%d]", i), "must be a domain, such as example.com")
		}
	}
	if c.pinned() {
		return
	}
	const instead = "can't be asked for where tenant is %q: name one tenant, by its UUID or domain, or leave %s out"
	for key, used := range map[string]bool{
		"groups": len(c.Groups) > 0, "allowedDomains": len(c.AllowedDomains) > 0, "rolesAsGroups": c.RolesAsGroups,
	} {
		if used { // upstream lets everybody in then
			check.Fail(key, instead, c.Tenant, key)
		}
	}
	if c.InsecureSharedTenantEmailVerified {
		check.Warn("insecureSharedTenantEmailVerified", "lets the administrators of any tenant in as the holders of any e-mail address, "+
			"at applications that go by addresses")
	}
}

func (c *Config) checkGroups(check *settings.Check) {
	check.OneOf("groupNameFormat", c.GroupNameFormat, byName, byID)
	c.GroupNameFormat = cmp.Or(c.GroupNameFormat, byName)
	if c.UseGroupsAsWhitelist && len(c.Groups) == 0 {
		check.Fail("useGroupsAsWhitelist", "needs groups: without them applications would get none")
	}
	if c.RolesAsGroups && !check.Has("rolePrefix") {
		c.RolePrefix = defaultRolePrefix
	}
	if c.RolesAsGroups && c.RolePrefix == "" && c.GroupNameFormat == byName {
		check.Fail("rolePrefix", "must not be empty where groups go by their names: "+
			"anybody who may create a group could give it the name of a role")
	}
	switch names := c.names(); {
	case len(names) == 0:
	case c.GroupNameFormat == byID:
		check.Warn("groups", "has %q, which is no id, and matches no group where groupNameFormat is id", names[0])
	case c.InsecureAmbiguousGroupNames:
		check.Warn("insecureAmbiguousGroupNames", "lets in everybody who may create a group, and gives it a name that groups has")
	default:
		check.Warn("groups", "has the name %q: whoever may create groups can take a name that no group has any more; use ids", names[0])
	}
}

func (c *Config) checkUser(check *settings.Check) {
	check.OneOf("emailField", c.EmailField, fieldUPN, fieldMail)
	check.OneOf("preferredUsernameField", c.PreferredUsernameField, "name", "email", fieldNickname, fieldSAM)
}

// names returns those of groups that are neither ids nor roles.
func (c *Config) names() []string {
	var names []string
	for _, group := range c.Groups {
		if !isID(group) && !c.isRole(group) {
			names = append(names, group)
		}
	}
	return names
}

// isRole reports whether the name of a group is that of a role.
func (c *Config) isRole(name string) bool {
	return c.RolesAsGroups && strings.HasPrefix(name, c.RolePrefix)
}

// pinned reports whether only accounts of one tenant sign in, which has an administrator who answers for them.
func (c *Config) pinned() bool {
	switch strings.ToLower(c.Tenant) {
	case "", anyAccount, anyWork, personal, personalTenant:
		return false
	}
	return true
}

// isID reports whether a text is the id of an object of the directory.
func isID(text string) bool {
	const length = 36
	return len(text) == length && uuid.Validate(text) == nil
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	if c.ClientAssertion != "" {
		found["clientAssertion"] = c.client().CheckAssertion()
	}
	return found
}

// client returns how Microsoft knows us.
func (c *Config) client() *relyingparty.Client {
	if c.ClientAssertion != "" {
		return &relyingparty.Client{ID: c.ClientID, Method: relyingparty.AuthPrivateKey, AssertionFile: c.ClientAssertion}
	}
	return &relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret}
}
