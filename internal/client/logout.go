package client

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dex/internal/config"
)

// logoutHost is the host of a logout URI, with a port. It keeps out what would end an entry of a Content-Security-Policy, where the
// hosts of the front channel are named.
var logoutHost = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// CheckLogoutURI returns why applications can't be told of a logout at a URI, or nil. It is for both channels.
func CheckLogoutURI(uri string) error {
	if err := CheckRedirectURI(uri); err != nil {
		return err
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || !logoutHost.MatchString(u.Host):
		return errors.New("must be a URL with the scheme https or http and a host, such as https://app.example.net/logout")
	case u.User != nil:
		return errors.New("must not have a user name or a password")
	case strings.Contains(uri, "#"):
		return errors.New("must not have a fragment (the part from # on)")
	}
	return nil
}

// checkLogout reports mistakes in what a client says of logouts.
func (c *Client) checkLogout(on *config.Checker, key string) {
	for i, uri := range c.PostLogoutRedirectURIs {
		checkPostLogoutRedirectURI(on, config.Item(key+".postLogoutRedirectURIs", i), uri)
	}
	if c.LogoutWithoutConfirmation && len(c.PostLogoutRedirectURIs) == 0 {
		on.Warnf(key+".logoutWithoutConfirmation", "does nothing without postLogoutRedirectURIs, one of which a logout has to name")
	}
	for _, channel := range []struct {
		name, uri string
		required  bool
	}{
		{"backchannelLogout", c.BackchannelLogoutURI, c.BackchannelLogoutSessionRequired},
		{"frontchannelLogout", c.FrontchannelLogoutURI, c.FrontchannelLogoutSessionRequired},
	} {
		member := key + "." + channel.name
		if channel.uri == "" {
			if channel.required {
				on.Warnf(member+"SessionRequired", "does nothing without %sURI", channel.name)
			}
			continue
		}
		if err := CheckLogoutURI(channel.uri); err != nil {
			on.Errorf(member+"URI", "%v", err)
		}
	}
	if c.FrontchannelLogoutURI != "" && CheckLogoutURI(c.FrontchannelLogoutURI) == nil && !c.ownsOrigin(c.FrontchannelLogoutURI) {
		on.Warnf(key+".frontchannelLogoutURI",
			"should have the scheme, host and port of one of the redirectURIs (OpenID Connect Front-Channel Logout, section 2)")
	}
}

// checkPostLogoutRedirectURI is [checkRedirectURI] for where browsers go after a logout, without the forms that only answers with
// codes have.
func checkPostLogoutRedirectURI(on *config.Checker, key, uri string) {
	u, err := url.Parse(uri)
	relative := err == nil && u.Scheme == ""
	if err := CheckRedirectURI(uri); err != nil && !relative {
		on.Errorf(key, "%v", err)
	}
	switch {
	case err != nil:
	case relative || slices.Contains([]string{"http", "https"}, u.Scheme) && u.Host == "":
		on.Warnf(key, "is not an absolute URI such as https://app.example.net/signed-out")
	case strings.Contains(uri, "*"):
		on.Warnf(key, "has a *, which stands for itself: addresses are compared character by character, so list each of them")
	}
}

// ownsOrigin reports whether a URI has the scheme, host and port of one of the client's redirect URIs.
func (c *Client) ownsOrigin(uri string) bool {
	origin, ok := originOf(uri)
	return ok && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		other, ok := originOf(registered)
		return ok && other == origin
	})
}

// originOf returns the scheme, host and port of a URL in lower case; the port also where it is the scheme's own.
func originOf(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return "", false
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	case u.Scheme == "http":
		port = "80"
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port), true
}
