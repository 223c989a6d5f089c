package client

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"dex/internal/oauth"
)

// RedirectRules are switches for redirect URIs. The zero value is the default.
type RedirectRules struct {
	FixedLocalhost bool // the port of a registered localhost must match, as upstream has it
	NoOutOfBand    bool // codes are never shown to the user
}

// CheckRedirectURI returns why no answer can be sent to a URI, or nil. A script in a URI would run as one of this server's
// pages.
func CheckRedirectURI(uri string) error {
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return errors.New("has spaces or control characters")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return fmt.Errorf("is no URI: %w", errors.Unwrap(err))
	case u.Scheme == "":
		return errors.New("is not an absolute URI")
	case slices.Contains([]string{"javascript", "data", "vbscript", "blob", "about", "view-source"}, u.Scheme):
		return fmt.Errorf("leads to no application, as its scheme is %s", u.Scheme)
	}
	return nil
}

// AllowsRedirect reports whether answers for the client may be sent to a redirect URI.
//
// A registered URI matches character by character (RFC 9700, section 4.1.3). Only the port of a loopback address is
// free: native applications listen on whatever port they get (RFC 8252, section 7.3). A public client without registered
// URIs may use any loopback address and the out-of-band form.
func (c *Client) AllowsRedirect(uri string, rules RedirectRules) bool {
	if uri == oauth.RedirectOutOfBand && rules.NoOutOfBand || CheckRedirectURI(uri) != nil {
		return false
	}
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	requested, ok := parseLoopback(uri)
	if c.Public && len(c.RedirectURIs) == 0 {
		return ok || uri == oauth.RedirectOutOfBand
	}
	if !ok {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		r, ok := parseLoopback(registered)
		if !ok || r.named && (!c.Public || rules.FixedLocalhost) {
			return false
		}
		return r == requested
	})
}

// loopback is a redirect URI on the user's own machine, without its port.
type loopback struct {
	host  string
	named bool // localhost, which a hosts file may point elsewhere, instead of an address
	rest  string
}

// parseLoopback accepts http URIs whose host is localhost or a loopback address. It refuses user info and fragments, which
// don't belong in a redirect URI (RFC 6749, section 3.1.2).
func parseLoopback(uri string) (loopback, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Opaque != "" || strings.Contains(uri, "#") {
		return loopback{}, false
	}
	host := u.Hostname()
	l := loopback{host: host, named: host == "localhost", rest: u.EscapedPath() + "?" + u.RawQuery}
	if l.named {
		return l, true
	}
	addr, err := netip.ParseAddr(host)
	return l, err == nil && addr.IsLoopback() && addr.Zone() == ""
}
