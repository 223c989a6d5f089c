// Package github signs people in through GitHub.com, GitHub Enterprise Cloud or GitHub Enterprise Server.
package github

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// Config is the settings of the type github.
type Config struct {
	ClientID     string `key:"clientID"`
	ClientSecret string `key:"clientSecret" secret:"file"`
	RedirectURI  string `key:"redirectURI"`
	HostName     string `key:"hostName"` // of an Enterprise; empty for github.com

	Orgs                        settings.Orgs `key:"orgs"`
	Org                         string        `key:"org"`                         // the old form of orgs, whose groups have no prefix
	InsecureIgnoreOrgMembership bool          `key:"insecureIgnoreOrgMembership"` // let in those outside of org too, as upstream
	LoadAllGroups               bool          `key:"loadAllGroups"`
	TeamNameField               string        `key:"teamNameField"` // one of the values below
	OrgNameAsGroup              bool          `key:"orgNameAsGroup"`
	NestedTeams                 bool          `key:"nestedTeams"` // who is in a team is in its parents

	UseLoginAsID         bool   `key:"useLoginAsID"`
	PreferredEmailDomain string `key:"preferredEmailDomain"`

	RootCA             string   `key:"rootCA" file:"opened"`
	RootCAs            []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify bool     `key:"insecureSkipVerify"`

	public string // where github.com and its API are instead, in tests
}

// Values of teamNameField: what a team's groups are named after.
const (
	byName = "name"
	bySlug = "slug"
	byBoth = "both"
)

// apiVersion is the version of the API that the connector is written for. GitHub supports each for two years after the next.
const apiVersion = "2022-11-28"

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	check.Application(c.ClientID, c.ClientSecret)
	c.checkHost(check)
	c.checkGroups(check)
	check.SkipVerify("insecureSkipVerify", c.InsecureSkipVerify)
	if c.UseLoginAsID {
		check.Warn("useLoginAsID", "lets whoever takes a name that a user has given up sign in as that user")
	}
	c.checkDomain(check)
	return check.Problems()
}

// checkHost checks which GitHub is meant.
func (c *Config) checkHost(check *settings.Check) {
	if u, err := url.Parse("https://" + c.HostName); c.HostName != "" && (err != nil || u.Host != c.HostName || u.Hostname() == "") {
		check.Fail("hostName", "must be a host, such as github.example.com, without https:// and without a path")
	}
	if settings.SameName(c.HostName, "github.com") {
		check.Fail("hostName", "is for GitHub Enterprise: leave it out for github.com")
	}
	if c.RootCA != "" && c.HostName == "" {
		check.Fail("rootCA", "needs hostName: it is for GitHub Enterprise Server")
	}
}

// checkGroups checks who may log in, and what their groups are.
func (c *Config) checkGroups(check *settings.Check) {
	c.Orgs.Check(check, "orgs")
	check.OneOf("teamNameField", c.TeamNameField, byName, bySlug, byBoth)
	if c.Org != "" && len(c.Orgs) > 0 {
		check.Fail("org", "can't be set beside orgs, which it is the old form of")
	} else if c.Org != "" {
		check.Warn("org", "is the old form of orgs: use that, whose groups begin with the organization")
	}
	switch filtered := c.Org != "" || len(c.Orgs) > 0; {
	case filtered && c.LoadAllGroups:
		check.Warn("loadAllGroups", "has no effect beside orgs and org: groups are those of the organizations there")
	case !filtered && !c.LoadAllGroups && c.NestedTeams:
		check.Warn("nestedTeams", "has no effect without orgs, org or loadAllGroups: no teams are read")
	}
	if c.OrgNameAsGroup && len(c.Orgs) == 0 {
		check.Warn("orgNameAsGroup", "has no effect without orgs")
	}
	switch {
	case c.InsecureIgnoreOrgMembership && c.Org == "":
		check.Warn("insecureIgnoreOrgMembership", "has no effect without org")
	case c.InsecureIgnoreOrgMembership:
		check.Warn("insecureIgnoreOrgMembership", "lets in everybody who has an account at GitHub")
	}
}

func (c *Config) checkDomain(check *settings.Check) {
	const key = "preferredEmailDomain"
	switch labels := strings.Split(c.PreferredEmailDomain, "."); {
	case c.PreferredEmailDomain == "":
	case strings.HasSuffix(c.PreferredEmailDomain, "*"):
		check.Fail(key, "must not end with *")
	case strings.ContainsRune(c.PreferredEmailDomain, '@'),
		slices.ContainsFunc(labels, func(l string) bool { return l == "" || l != "*" && strings.Contains(l, "*") }):
		check.Warn(key, "matches no address: it is a domain such as example.com, and * stands for one whole label, as in *.example.com")
	}
}

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// CheckFiles returns what is wrong with the files that the settings name, by key.
func (c *Config) CheckFiles() map[string]error {
	found := outbound.CheckRootCAs(c.RootCAs)
	if err := outbound.CheckRootCA(c.RootCA); err != nil {
		found["rootCA"] = err
	}
	return found
}

// addresses returns where users go, and where the API is.
func (c *Config) addresses() (web, api string) {
	switch {
	case c.HostName == "":
		return cmp.Or(c.public, "https://github.com"), cmp.Or(c.public, "https://api.github.com")
	case c.isCloud():
		return "https://" + c.HostName, "https://api." + c.HostName
	}
	return "https://" + c.HostName, "https://" + c.HostName + "/api/v3"
}

// isCloud reports whether GitHub runs the server: at github.com, or at a host of an Enterprise Cloud with data residency.
func (c *Config) isCloud() bool {
	return c.HostName == "" || strings.HasSuffix(settings.FoldName(c.HostName), ".ghe.com")
}

// connection is a connector to a GitHub.
type connection struct {
	relyingparty.SignIn
	cfg      *Config
	us       *relyingparty.Client
	web, api string
}

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	if err := outbound.CheckRootCA(c.RootCA); err != nil {
		return nil, err
	}
	client, err := outbound.NewClient(append([]string{c.RootCA}, c.RootCAs...), c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := (&relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret, Method: relyingparty.AuthPost}).Over(client)
	conn := &connection{cfg: c, us: us}
	conn.web, conn.api = c.addresses()
	conn.SignIn = relyingparty.SignIn{
		Flow: relyingparty.Flow{
			Client: us, AuthURL: conn.web + "/login/oauth/authorize",
			Tokens:   relyingparty.Endpoint{URL: conn.web + "/login/oauth/access_token"},
			Callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), Challenge: relyingparty.ChallengeS256,
		},
		HTTP:     client,
		Header:   http.Header{"Accept": {"application/vnd.github+json"}, "X-GitHub-Api-Version": {apiVersion}},
		Scopes:   c.scopes,
		Params:   params,
		Identify: conn.identify,
	}
	return conn, nil
}

// What OAuth apps ask for.
const (
	userEmail = "user:email"
	readOrg   = "read:org"
)

// scopes returns what an OAuth app asks for. GitHub Apps have permissions instead, and GitHub ignores their scopes. What will be kept must do for all applications of the user, since the tokens of the latest login
// replace those of the others.
func (c *Config) scopes(s connector.Scopes) []string {
	s.Groups = s.Groups || s.OfflineAccess
	return c.needed(s)
}

// needed returns the scopes without which an application can't have what it asks for.
func (c *Config) needed(s connector.Scopes) []string {
	scopes := []string{userEmail}
	if len(c.Orgs) > 0 || c.Org != "" || c.LoadAllGroups && s.Groups {
		scopes = append(scopes, readOrg)
	}
	return scopes
}

// params returns what GitHub can do of what the application wishes for.
func params(r connector.LoginRequest) url.Values {
	more := url.Values{}
	if r.LoginHint != "" {
		more.Set("login", r.LoginHint)
	}
	if slices.Contains(r.Prompt, "select_account") {
		more.Set("prompt", "select_account")
	}
	return more
}
