// Package authproxy trusts a proxy in front of the server that signs people in itself and sends who they are in headers.
package authproxy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dex/internal/config"
	"dex/internal/connector/settings"
)

// Config is the settings of the type authproxy.
type Config struct {
	UserIDHeader         string   `key:"userIDHeader"`
	UserHeader           string   `key:"userHeader"`
	UserNameHeader       string   `key:"userNameHeader"` // the preferred name, as in upstream
	DisplayNameHeader    string   `key:"displayNameHeader"`
	EmailHeader          string   `key:"emailHeader"`
	EmailVerified        *bool    `key:"emailVerified"` // nil means true
	GroupHeader          string   `key:"groupHeader"`
	GroupHeaderSeparator string   `key:"groupHeaderSeparator"`
	StaticGroups         []string `key:"staticGroups"`

	TrustedProxies []string `key:"trustedProxies"` // addresses and CIDRs; none means everybody
	SecretHeader   string   `key:"secretHeader"`
	Secret         string   `key:"secret" secret:"file"`

	RefreshMaxAge time.Duration `key:"refreshMaxAge"` // 0 for no refresh

	// RequireHeaders refuses requests that lack a user's header that the settings name; nil means true. With
	// "Connection: X-Remote-User-Id" a browser can make the proxy drop a header that the proxy itself has set.
	RequireHeaders *bool `key:"requireHeaders"`

	proxies  []netip.Prefix
	required []string // headers that must be in each request
}

// shortSecret is the length below which a secret could be guessed, in bytes.
const shortSecret = 16

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	if isTrue(c.EmailVerified) && c.EmailHeader == "" {
		check.Warn("emailVerified", "is true by default, and emailHeader is missing: if the proxy sends no "+
			"X-Remote-User-Email, the user's name counts as a verified address; set emailHeader, or emailVerified: false")
	}
	c.complete()
	for key, name := range map[string]string{
		"userIDHeader": c.UserIDHeader, "userHeader": c.UserHeader, "userNameHeader": c.UserNameHeader,
		"displayNameHeader": c.DisplayNameHeader, "emailHeader": c.EmailHeader, "groupHeader": c.GroupHeader,
		"secretHeader": c.SecretHeader,
	} {
		if !isHeaderName(name) {
			check.Fail(key, "must be the name of a header, such as X-Remote-User, not %q", name)
		}
	}
	for _, text := range c.TrustedProxies {
		if p, ok := prefixOf(text); ok {
			c.proxies = append(c.proxies, p)
		} else {
			check.Fail("trustedProxies", "must be addresses and CIDRs, such as 10.0.0.7 or 10.0.0.0/24, not %q", text)
		}
	}
	switch {
	case (c.SecretHeader == "") != (c.Secret == ""):
		check.Fail("secretHeader", "goes with secret: the header in which the proxy sends it")
	case c.Secret != "" && len(c.Secret) < shortSecret:
		check.Warn("secret", "is shorter than 16 characters, and could be guessed")
	case c.Secret == "" && len(c.TrustedProxies) == 0:
		check.Warn("trustedProxies", "and secret are missing: anybody who reaches Dex around the proxy can sign in as anybody; give "+
			"the addresses of the proxy")
	}
	if check.Has("refreshMaxAge") && c.RefreshMaxAge <= 0 {
		check.Fail("refreshMaxAge", "must be longer than 0, such as 12h; leave it out for no refresh tokens")
	}
	return check.Problems()
}

// isTrue reads a switch that is on by default.
func isTrue(value *bool) bool { return value == nil || *value }

// complete sets the defaults.
func (c *Config) complete() {
	if isTrue(c.RequireHeaders) {
		named := []string{c.UserIDHeader, c.UserNameHeader, c.DisplayNameHeader, c.EmailHeader}
		c.required = slices.DeleteFunc(named, func(name string) bool { return name == "" })
	}
	c.UserIDHeader = cmp.Or(c.UserIDHeader, "X-Remote-User-Id")
	c.UserHeader = cmp.Or(c.UserHeader, "X-Remote-User")
	c.UserNameHeader = cmp.Or(c.UserNameHeader, "X-Remote-User-Name")
	c.EmailHeader = cmp.Or(c.EmailHeader, "X-Remote-User-Email")
	c.GroupHeader = cmp.Or(c.GroupHeader, "X-Remote-Group")
	c.GroupHeaderSeparator = cmp.Or(c.GroupHeaderSeparator, ",")
}

// isHeaderName reports whether a text can be the name of a header (RFC 9110, section 5.6.2). An empty one passes.
func isHeaderName(name string) bool {
	return strings.Trim(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// prefixOf reads an address, or a range of them.
func prefixOf(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), true
}
