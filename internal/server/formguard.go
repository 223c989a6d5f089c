package server

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// A FormGuard tells forms on our own pages from those that another site makes the browser submit (CSRF).
type FormGuard struct {
	issuer   *url.URL
	crossing *http.CrossOriginProtection
}

// NewFormGuard returns a guard for the pages of an issuer, whatever address browsers use to reach them.
func NewFormGuard(issuer *url.URL) *FormGuard {
	return &FormGuard{issuer: issuer, crossing: http.NewCrossOriginProtection()}
}

// Check returns an error, for the log, if a form comes from another site.
//
// Browsers say so themselves (Sec-Fetch-Site), but not over plain HTTP. There the Origin is compared with the issuer, and
// with the address of the request as far as proxies leave it alone: many drop the port or replace it by their own, so then
// ports are ignored. That loses nothing, because ports don't separate cookies either (RFC 6265, section 8.5): a page on
// another port of the host can read and set a login's cookies anyway.
func (g *FormGuard) Check(r *http.Request) error {
	err := g.crossing.Check(r)
	if err == nil {
		return nil
	}
	origin, unreadable := url.Parse(r.Header.Get("Origin"))
	if unreadable == nil && origin.Host != "" {
		if sameOrigin(origin, g.issuer) || r.Header.Get("Sec-Fetch-Site") == "" && isAddressOf(r, origin) {
			return nil
		}
	}
	return fmt.Errorf("%w (Origin %q, Host %q)", err, r.Header.Get("Origin"), r.Host)
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// port returns the port of a URL, or its scheme's default.
func port(u *url.URL) string {
	implied := ""
	switch strings.ToLower(u.Scheme) {
	case "http":
		implied = "80"
	case "https":
		implied = "443"
	}
	return cmp.Or(u.Port(), implied)
}

// isAddressOf reports whether a request was sent to the host of an origin. X-Forwarded-Host can be believed no matter who
// set it: a page can't make a browser send it to another site without a CORS preflight, and our pages don't answer those.
func isAddressOf(r *http.Request, origin *url.URL) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",") // the first proxy's: what the browser sent
	return isHostOf(r.Host, origin) || isHostOf(strings.TrimSpace(forwarded), origin)
}

// isHostOf reports whether a Host header matches an origin's, ignoring a missing or replaced port.
func isHostOf(header string, origin *url.URL) bool {
	host, p, err := net.SplitHostPort(header)
	if err != nil {
		host, p = strings.Trim(header, "[]"), ""
	}
	if !strings.EqualFold(host, origin.Hostname()) {
		return false
	}
	switch p {
	case "", "80", "443":
		return true
	}
	return p == port(origin)
}
