// Package settings checks what the settings of several kinds of connectors have in common, and collects what is wrong.
package settings

import (
	"slices"
	"strings"
	"time"

	"dex/internal/config"
	"dex/internal/outbound"
)

// A Check collects what is wrong with the settings of one connector.
type Check struct {
	section config.Section
	found   config.Problems
}

// Decode reads a section into the struct that dst points to, which must not be a [config.Unmarshaler] itself.
func Decode(s config.Section, dst any) *Check {
	return &Check{section: s, found: s.Decode(dst)}
}

// Problems returns what was found, in the order of the file.
func (c *Check) Problems() config.Problems { return c.found.InOrder() }

// Has reports whether the section has a value other than null at a dotted key.
func (c *Check) Has(key string) bool { return c.section.Has(key) }

// Fail reports an error in the setting at a dotted key.
func (c *Check) Fail(key, format string, args ...any) {
	c.found = append(c.found, c.section.Problem(key, format, args...))
}

// Warn reports a setting that works, but may not be what is meant.
func (c *Check) Warn(key, format string, args ...any) {
	p := c.section.Problem(key, format, args...)
	p.Warning = true
	c.found = append(c.found, p)
}

// Required reports a setting that is empty, unless it is empty because it could not be read.
func (c *Check) Required(key string, empty bool, format string, args ...any) {
	if empty && !c.Unread(key) {
		c.Fail(key, format, args...)
	}
}

// Unread reports whether there is a value at a key that could not be read, which was reported already.
func (c *Check) Unread(key string) bool {
	if c.section.Checker().IsBroken(key) {
		return true
	}
	at := c.section.Problem(key, "").Key
	return slices.ContainsFunc(c.found, func(p config.Problem) bool { return !p.Warning && strings.EqualFold(p.Key, at) })
}

// OneOf reports a value that is neither empty nor one of those allowed.
func (c *Check) OneOf(key, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.Fail(key, "must be one of %s, not %q", strings.Join(allowed, ", "), value)
	}
}

// Between reports a duration outside of bounds, which it may reach; nil is none.
func (c *Check) Between(key string, value *time.Duration, least, most time.Duration) {
	if value != nil && (*value < least || *value > most) {
		c.Fail(key, "must be between %s and %s", least, most)
	}
}

// URL reports a value that is neither empty nor an http or https URL, and shows what is meant by an example.
func (c *Check) URL(key, value, example string) {
	if value != "" && !outbound.IsURL(value) {
		c.Fail(key, "must be an http or https URL, such as %s", example)
	}
}

// Base reports what URL reports, and an address to which no path can be added.
func (c *Check) Base(key, value, example string) {
	c.URL(key, value, example)
	if strings.ContainsAny(value, "?#") {
		c.Fail(key, "must end with its path, such as %s", example)
	}
}

// Application checks how a provider knows us.
func (c *Check) Application(id, secret string) {
	c.Required("clientID", id == "", "is missing: the id that the provider has given to Dex")
	if secret == "" && !c.Unread("clientSecret") {
		c.Warn("clientSecret", "is missing: that works only if the provider has registered Dex as a public client")
	}
}

// SkipVerify warns of a connection that anybody can listen to. The key is the setting that is on.
func (c *Check) SkipVerify(key string, on bool) {
	if on {
		c.Warn(key, "lets anybody on the way sign in as anybody; use rootCAs")
	}
}
