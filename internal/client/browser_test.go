package client_test

import (
	"net/netip"
	"strings"
)

// staysLocal reads the host of a URI in the crude way of a browser, which ends it at slashes of both kinds, and removes
// tabs and line breaks.
func staysLocal(uri string) bool {
	if uri == "urn:ietf:wg:oauth:2.0:oob" {
		return true
	}
	uri = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(uri)
	rest, ok := strings.CutPrefix(strings.ToLower(uri), "http://")
	if !ok || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, `\`) {
		return false
	}
	host := rest
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		host = rest[:i]
	}
	if strings.Contains(host, "@") {
		return false
	}
	if name, _, ok := strings.Cut(host, ":"); ok && !strings.HasPrefix(host, "[") {
		host = name
	}
	if host == "localhost" {
		return true
	}
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host[1:], "]")
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
