package server

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// A FormGuard tells the forms of our own pages from those that another site makes the browser send (CSRF).
type FormGuard struct {
	issuer   *url.URL
	crossing *http.CrossOriginProtection
}

// NewFormGuard returns a guard for the pages of an issuer, at whatever address browsers see them.
func NewFormGuard(issuer *url.URL) *FormGuard {
	return &FormGuard{issuer: issuer, crossing: http.NewCrossOriginProtection()}
}

// Check returns an error, for the log, if a form comes from another site.
//
// Browsers say so by themselves (Sec-Fetch-Site), but not over plain HTTP. There the Origin is compared with the issuer,
// and with the address of the request as far as proxies leave it alone: many drop the port, or put their own in its place.
// Ports count for nothing then. That is no loss, as they don't part cookies either (RFC 6265, section 8.5): a page on
// another port of the host gets and sets those of a login as it likes.
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

// port returns the port of an address, also where its scheme implies it.
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

// isAddressOf reports whether a request was sent to the host of an origin. X-Forwarded-Host may be believed whoever has
// set it: no page can make a browser send it to another site without being asked by CORS, which our pages don't have.
func isAddressOf(r *http.Request, origin *url.URL) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",") // the first proxy's, that is the browser's
	return isHostOf(r.Host, origin) || isHostOf(strings.TrimSpace(forwarded), origin)
}

// isHostOf reports whether a Host header may be what is left of an origin's.
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
