// Package ldap signs in users of an LDAP directory, such as OpenLDAP or Active Directory. It looks the user up by name, checks
// the password with a bind as their entry, and looks up their groups.
package ldap

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/ldap/pool"
	"dex/internal/connector/settings"
)

// Config has the settings of the connector.
type Config struct {
	Host  string   `key:"host"`  // host or host:port
	Hosts []string `key:"hosts"` // the same, tried in this order, after Host

	InsecureNoSSL      bool   `key:"insecureNoSSL"` // no TLS at all, whatever StartTLS says
	StartTLS           bool   `key:"startTLS"`
	InsecureSkipVerify bool   `key:"insecureSkipVerify"`
	RootCA             string `key:"rootCA" file:"opened"`     // path of a PEM file
	RootCAData         []byte `key:"rootCAData"`               // PEM; used instead of RootCA
	SystemCAs          bool   `key:"systemCAs"`                // trust the system's authorities beside RootCA
	ClientCert         string `key:"clientCert" file:"opened"` // paths of PEM files
	ClientKey          string `key:"clientKey" file:"opened"`
	ClientCertData     []byte `key:"clientCertData"` // PEM; used instead of ClientCert and ClientKey
	ClientKeyData      []byte `key:"clientKeyData" secret:"inline"`
	TLSMinVersion      string `key:"tlsMinVersion"`

	BindDN string `key:"bindDN"` // the service account; empty: the searches are anonymous
	BindPW string `key:"bindPW" secret:"file"`

	ConnectTimeout   time.Duration `key:"connectTimeout"`   // 0: the pool's own
	OperationTimeout time.Duration `key:"operationTimeout"` // 0: the pool's own
	LoginTimeout     time.Duration `key:"loginTimeout"`     // 0: a minute
	MaxConnections   int           `key:"maxConnections"`   // 0: the pool's own
	PageSize         *int          `key:"pageSize"`         // nil: the pool's own; 0: no pages

	UsernamePrompt string   `key:"usernamePrompt"`
	AllowedGroups  []string `key:"allowedGroups"` // empty: everybody is let in
	EmailVerified  bool     `key:"emailVerified"`
	AccountState   bool     `key:"accountState"` // refuse accounts that are disabled or expired

	UserSearch  UserSearch     `key:"userSearch"`
	GroupSearch GroupSearch    `key:"groupSearch"`
	Kerberos    KerberosConfig `key:"kerberos"`
}

// UserSearch says where users are and what their attributes mean. An attribute called DN, in any case, is the entry's DN.
type UserSearch struct {
	BaseDN   string      `key:"baseDN"`
	Filter   string      `key:"filter"` // ANDed with the comparison with the name
	Username comparisons `key:"username"`
	Scope    string      `key:"scope"` // sub or one; empty means sub

	IDAttr                string `key:"idAttr"`
	IDEncoding            string `key:"idEncoding"` // of an id that is not text: hex, base64 or guid
	EmailAttr             string `key:"emailAttr"`
	NameAttr              string `key:"nameAttr"`
	PreferredUsernameAttr string `key:"preferredUsernameAttr"`
	EmailSuffix           string `key:"emailSuffix"`  // makes the address from the name, instead of EmailAttr
	MemberOfAttr          string `key:"memberOfAttr"` // groups, by DN or by name
}

// GroupSearch says where groups are and how they name their members.
type GroupSearch struct {
	BaseDN       string        `key:"baseDN"` // empty: no groups are searched
	Filter       string        `key:"filter"`
	Scope        string        `key:"scope"`
	NameAttr     string        `key:"nameAttr"`
	UserMatchers []UserMatcher `key:"userMatchers"`
	// Nested is "inChain" to have Active Directory resolve nested groups in one search.
	Nested string `key:"nested"`

	// A single matcher, in a form that upstream has deprecated. It counts if UserMatchers is empty or begins with an empty one.
	UserMatcher
}

// A UserMatcher finds the groups whose GroupAttr has a value of the user's UserAttr and, if RecursionGroupAttr is set, the
// groups whose RecursionGroupAttr has the DN of a group found so far. GroupAttr and RecursionGroupAttr may have a matching
// rule, such as member:1.2.840.113556.1.4.1941:, as they are only compared and never read.
type UserMatcher struct {
	UserAttr           string `key:"userAttr"`
	GroupAttr          string `key:"groupAttr"`
	RecursionGroupAttr string `key:"recursionGroupAttr"`
}

// KerberosConfig says how to accept Kerberos tickets from browsers instead of passwords.
type KerberosConfig struct {
	Enabled               bool   `key:"enabled"`
	KeytabPath            string `key:"keytabPath"` // watched by the connector
	SPN                   string `key:"spn"`
	KeytabPrincipal       string `key:"keytabPrincipal"`
	MaxClockSkew          int    `key:"maxClockSkew"` // seconds
	ExpectedRealm         string `key:"expectedRealm"`
	UsernameFromPrincipal string `key:"usernameFromPrincipal"`
	FallbackToPassword    bool   `key:"fallbackToPassword"`
}

const (
	scopeSub = "sub"
	scopeOne = "one"

	nestedInChain = "inChain"

	defaultIDAttr    = "uid"
	defaultEmailAttr = "mail"

	// defaultLoginTimeout is as long as most proxies wait for an answer.
	defaultLoginTimeout = time.Minute
)

// comparisons are what stands before the = in filters, mostly names of attributes: a list, or a single string.
type comparisons []string

// UnmarshalConfig implements config.Unmarshaler.
func (a *comparisons) UnmarshalConfig(s config.Section) config.Problems {
	if s.IsList() {
		return s.Decode((*[]string)(a))
	}
	var name string
	problems := s.Decode(&name)
	if name != "" {
		*a = comparisons{name}
	}
	return problems
}

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	*c = Config{EmailVerified: true, AccountState: true}
	check := settings.Decode(s, (*plain)(c))
	c.tidy()
	c.checkServers(check)
	c.checkTLS(check)
	c.checkAccount(check)
	c.checkUserSearch(check)
	c.checkGroupSearch(check)
	c.checkAllowedGroups(check)
	return check.Problems()
}

// tidy applies the defaults, and removes the line breaks that YAML leaves around long filters.
func (c *Config) tidy() {
	u, g := &c.UserSearch, &c.GroupSearch
	u.Filter, g.Filter = strings.TrimSpace(u.Filter), strings.TrimSpace(g.Filter)
	if u.IDAttr == "" {
		u.IDAttr = defaultIDAttr
	}
	if u.EmailAttr == "" {
		u.EmailAttr = defaultEmailAttr
	}
}

// AsksPassword implements connector.PasswordForm.
func (c *Config) AsksPassword() bool { return !c.Kerberos.Enabled }

// Open makes the connector. It calls no server, and fails if a file of the TLS settings can't be read.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	d := &directory{
		config: *c,
		log:    env.Log,
		pool: pool.New(pool.Settings{
			Hosts:            c.servers(),
			TLS:              c.tlsMode(),
			TLSConfig:        tlsConfig,
			BindDN:           c.BindDN,
			BindPW:           c.BindPW,
			MaxConnections:   c.MaxConnections,
			PageSize:         c.pageSize(),
			ConnectTimeout:   c.ConnectTimeout,
			OperationTimeout: c.OperationTimeout,
			Log:              env.Log,
		}),
	}
	return d.withTickets(ctx, env)
}

// pageSize is the pool's setting, which writes "no pages" differently.
func (c *Config) pageSize() int {
	switch {
	case c.PageSize == nil:
		return 0
	case *c.PageSize == 0:
		return -1
	}
	return *c.PageSize
}

// servers returns all hosts with their ports.
func (c *Config) servers() []string {
	var all []string
	for _, host := range c.hostKeys() {
		if server := withPort(host.value, c.defaultPort()); !slices.Contains(all, server) {
			all = append(all, server)
		}
	}
	return all
}

func (c *Config) defaultPort() string {
	if c.tlsMode() == pool.LDAPS {
		return "636"
	}
	return "389"
}

// withPort adds a port to a host that has none.
func withPort(host, port string) string {
	if name, given, err := net.SplitHostPort(host); err == nil {
		if given != "" {
			return host
		}
		host = name
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// matchers returns the matchers that count. The result deprecated says that this is the single one in the old form.
func (g *GroupSearch) matchers() (all []UserMatcher, deprecated bool) {
	if len(g.UserMatchers) > 0 && g.UserMatchers[0].UserAttr != "" {
		return g.UserMatchers, false
	}
	if g.UserAttr == "" {
		return nil, false
	}
	return []UserMatcher{g.UserMatcher}, true
}
