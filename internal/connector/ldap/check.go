package ldap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector/settings"
)

const (
	// attributeForm is that of RFC 4512 2.5, and allows the underscores that some servers use.
	attributeForm = `[A-Za-z0-9][A-Za-z0-9._-]*(;[A-Za-z0-9_-]+)*`
	// ruleForm is what may stand between an attribute and the = of a filter (RFC 4515 3): the :dn flag and the matching rule.
	ruleForm = `(:dn)?(:[A-Za-z0-9][A-Za-z0-9._-]*)?:`
)

var (
	attributeSyntax  = regexp.MustCompile(`^` + attributeForm + `$`)
	comparisonSyntax = regexp.MustCompile(`^(` + attributeForm + `)(` + ruleForm + `)?$`)
)

// checkAttribute checks the name of an attribute that is read from entries.
func checkAttribute(check *settings.Check, key, name string) {
	if name != "" && !attributeSyntax.MatchString(name) {
		check.Fail(key, "%q is not the name of an attribute, such as mail", name)
	}
}

// checkComparison checks what stands before the = of a filter.
func checkComparison(check *settings.Check, key, comparison string) {
	if comparison != "" && !comparisonSyntax.MatchString(comparison) {
		check.Fail(key, "%q is not the name of an attribute, such as mail, with or without a matching rule, such as uid:caseExactMatch:",
			comparison)
	}
}

func checkScope(check *settings.Check, key, scope string) {
	check.OneOf(key, scope, scopeSub, scopeOne)
}

// checkFilter checks an extra filter.
func checkFilter(check *settings.Check, key, filter string) {
	if filter == "" {
		return
	}
	if err := compiles(filter); err != nil {
		check.Fail(key, "is not an LDAP filter (%v); it must have parentheses of its own, such as (objectClass=person)", err)
	}
}

// compiles checks a filter as it will be used: ANDed with another after it, which an unclosed parenthesis would swallow into
// a value.
func compiles(filter string) error {
	const next = "(a=b)"
	compiled, err := goldap.CompileFilter(both(filter, next))
	if err != nil {
		return err
	}
	text, err := goldap.DecompileFilter(compiled)
	if err == nil && !strings.HasSuffix(text, next+")") {
		err = errors.New("a parenthesis is missing")
	}
	return err
}

// checkBaseDN checks a DN, but not Active Directory's own forms such as <GUID=...>.
func checkBaseDN(check *settings.Check, key, dn string) {
	if dn == "" || strings.HasPrefix(dn, "<") {
		return
	}
	if _, err := goldap.ParseDN(dn); err != nil {
		check.Warn(key, "is not a distinguished name, such as ou=People,dc=example,dc=org: %v", err)
	}
}

// A hostKey is a host and where it is written.
type hostKey struct{ key, value string }

func (c *Config) hostKeys() []hostKey {
	var all []hostKey
	if c.Host != "" {
		all = append(all, hostKey{"host", c.Host})
	}
	for i, host := range c.Hosts {
		all = append(all, hostKey{fmt.Sprintf("hosts[%d]", i), host})
	}
	return all
}

func (c *Config) checkServers(check *settings.Check) {
	hosts := c.hostKeys()
	check.Required("host", len(hosts) == 0, "is missing: the directory's server as host or host:port, such as ldap.example.org:636")
	for _, host := range hosts {
		checkHost(check, host.key, host.value)
	}
	if c.MaxConnections < 0 || c.MaxConnections > maxConnections {
		check.Fail("maxConnections", "must be from 1 to %d, or 0 for the default", maxConnections)
	}
	if c.PageSize != nil && (*c.PageSize < 0 || *c.PageSize > maxPageSize) {
		check.Fail("pageSize", "must be from 0, for no pages, to %d", maxPageSize)
	}
	for key, timeout := range map[string]time.Duration{
		"connectTimeout": c.ConnectTimeout, "operationTimeout": c.OperationTimeout, "loginTimeout": c.LoginTimeout,
	} {
		if timeout < 0 {
			check.Fail(key, "must not be negative; 0 means the default")
		}
	}
}

const (
	// maxConnections bounds the connections of one connector.
	maxConnections = 1000
	// maxPageSize is the size of the largest result, in entries.
	maxPageSize = 20000
)

func checkHost(check *settings.Check, key, host string) {
	if host == "" || strings.Contains(host, "/") || strings.ContainsFunc(host, isSpace) {
		check.Fail(key, "%q is not allowed: give host or host:port, without ldap:// before it", host)
		return
	}
	name, port, err := net.SplitHostPort(withPort(host, "1"))
	if err != nil || name == "" || strings.Contains(name, ":") && !isAddress(name) {
		check.Fail(key, "%q is not allowed: give host or host:port; an IPv6 address with a port must be in brackets", host)
		return
	}
	if !isPort(port) {
		check.Fail(key, "%q is not allowed: a port must be from 1 to 65535", host)
	}
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// isPort also accepts the names that every system knows.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 || text == "ldap" || text == "ldaps"
}

func isSpace(r rune) bool { return r <= ' ' }

func (c *Config) checkTLS(check *settings.Check) {
	switch {
	case c.InsecureNoSSL && c.StartTLS:
		check.Warn("startTLS", "has no effect, because insecureNoSSL is set too: the connection is not encrypted, and passwords "+
			"can be read on the network; remove insecureNoSSL")
	case c.InsecureNoSSL && !c.loopback():
		check.Warn("insecureNoSSL", "the connection is not encrypted, and passwords can be read on the network; use startTLS: true, "+
			"or neither for LDAPS")
	case !c.InsecureNoSSL && c.InsecureSkipVerify:
		check.Warn("insecureSkipVerify", "the server's certificate is not verified, so anybody on the network path can read "+
			"passwords; give the authority's certificate in rootCA")
	}
	if c.RootCA != "" && len(c.RootCAData) > 0 {
		check.Warn("rootCA", "has no effect, because rootCAData is set too")
	}
	if c.SystemCAs && c.RootCA == "" && len(c.RootCAData) == 0 {
		check.Warn("systemCAs", "has no effect without rootCA: the system's authorities are trusted anyway")
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		check.Warn("clientCert", "has no effect unless clientCert and clientKey are both set")
	}
	if (len(c.ClientCertData) == 0) != (len(c.ClientKeyData) == 0) {
		check.Fail("clientCertData", "clientCertData and clientKeyData belong together: give both")
	}
	check.OneOf("tlsMinVersion", c.TLSMinVersion, "1.2", "1.3")
}

// loopback reports whether every host is this machine.
func (c *Config) loopback() bool {
	return !slices.ContainsFunc(c.servers(), func(server string) bool {
		host, _, _ := net.SplitHostPort(server)
		address, err := netip.ParseAddr(host)
		return host != "localhost" && (err != nil || !address.IsLoopback())
	})
}

func (c *Config) checkAccount(check *settings.Check) {
	switch {
	case c.BindDN != "" && c.BindPW == "":
		check.Required("bindPW", true, "is missing or empty: the password of bindDN; without both the searches are anonymous")
	case c.BindDN == "" && c.BindPW != "":
		check.Warn("bindPW", "has no effect without bindDN: the searches are anonymous")
	}
}
