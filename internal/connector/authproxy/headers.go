package authproxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"dex/internal/connector"
)

const (
	// maxValue bounds a name, an address, and the name of a group, in bytes.
	maxValue = 1024
	// maxGroups bounds the groups of a user.
	maxGroups = 5000
)

// names returns the headers that are read.
func (c *Config) names() []string {
	all := []string{
		c.UserIDHeader, c.UserHeader, c.UserNameHeader, c.DisplayNameHeader, c.EmailHeader, c.GroupHeader, c.SecretHeader,
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

// checkSpelling refuses headers whose names differ from ours only in underscores. Many servers treat the two as one, so a
// proxy that removes or sets one may let the other through.
func (c *Config) checkSpelling(h http.Header) error {
	spelled := map[string]string{}
	for _, name := range c.names() {
		spelled[dashed(name)] = http.CanonicalHeaderKey(name)
	}
	for name := range h {
		if ours, ok := spelled[dashed(name)]; ok && name != ours {
			return fmt.Errorf("the request has a header %q, which could be taken for %s: the proxy must remove it", name, ours)
		}
	}
	return nil
}

func dashed(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "-")) }

// single returns the value of a header that may be there only once, or nothing if it is absent.
func single(h http.Header, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	lines := h.Values(name)
	if len(lines) > 1 {
		// The proxy has added its own to the browser's, and they can't be told apart.
		return "", fmt.Errorf("the request has several headers %s: the proxy must replace what the browser sends", name)
	}
	if len(lines) == 0 {
		return "", nil
	}
	value, err := clean(name, lines[0])
	if isUnset(value) {
		value = ""
	}
	return value, err
}

// isUnset reports whether a value is what servers write for an unset variable: "(null)" by Apache, and "-" by others, as in
// their logs.
func isUnset(value string) bool { return value == "(null)" || value == "-" }

// clean trims a value, and refuses one that can't be a name, an address or a group.
func clean(header, value string) (string, error) {
	value = strings.TrimSpace(value)
	switch {
	case len(value) > maxValue:
		return "", fmt.Errorf("header %s: is longer than %d bytes", header, maxValue)
	case !utf8.ValidString(value):
		return "", fmt.Errorf("header %s: is not UTF-8", header)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", fmt.Errorf("header %s: has control characters", header)
	}
	return value, nil
}

// identity returns who the headers say it is.
func (c *Config) identity(h http.Header) (connector.Identity, error) {
	if err := c.checkSpelling(h); err != nil {
		return connector.Identity{}, err
	}
	read := [...]string{c.UserHeader, c.UserIDHeader, c.UserNameHeader, c.DisplayNameHeader, c.EmailHeader}
	var values [len(read)]string
	for i, name := range read {
		var err error
		if values[i], err = single(h, name); err != nil {
			return connector.Identity{}, err
		}
	}
	user := values[0]
	if user == "" {
		return connector.Identity{}, fmt.Errorf("the request has no header %s: the proxy did not sign anybody in", c.UserHeader)
	}
	for i := range values {
		if values[i] != "" {
			continue
		}
		if slices.Contains(c.required, read[i]) {
			return connector.Identity{}, &connector.Unusable{
				Reason: "Your account is missing something that you need to log in here.",
				Cause:  fmt.Errorf("the request has no header %s, which the settings name; see requireHeaders", read[i]),
			}
		}
		values[i] = user
	}
	groups, err := c.groups(h)
	if err != nil {
		return connector.Identity{}, err
	}
	return connector.Identity{
		UserID: values[1], PreferredUsername: values[2], Username: values[3], Email: values[4],
		EmailVerified: isTrue(c.EmailVerified),
		Groups:        groups,
	}, nil
}

// groups returns the groups of all lines of the header, and the static ones.
func (c *Config) groups(h http.Header) ([]string, error) {
	var groups []string
	seen := map[string]bool{}
	add := func(name string) {
		if name != "" && !isUnset(name) && !seen[name] {
			seen[name] = true
			groups = append(groups, name)
		}
	}
	for _, line := range h.Values(c.GroupHeader) {
		for part := range strings.SplitSeq(line, c.GroupHeaderSeparator) {
			name, err := clean(c.GroupHeader, part)
			if err != nil {
				return nil, err
			}
			if add(name); len(groups) > maxGroups {
				return nil, errors.New("the user is in too many groups")
			}
		}
	}
	for _, name := range c.StaticGroups {
		add(name)
	}
	return groups, nil
}
