package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrInward says that an address is not one of the public internet, or that nothing of ours may ever go there.
var ErrInward = errors.New("requests may not go to this address")

// A Guard says where requests may go whose URL an application has named: otherwise it could make this server talk to services
// that only this machine, its network or its cloud should reach. The check counts when a connection is made, for the address that
// is really dialled, so that it doesn't matter what a name resolved to before.
type Guard struct {
	anywhere bool
	names    []string // in lower case; *.example.com stands for all names below
	networks []netip.Prefix
	resolver *net.Resolver // nil for the system's
}

// NewOperatorGuard returns a guard for URLs that the operator has written. They may lead to a private network, and through the
// proxy of the environment, but never to link-local addresses, where clouds give out credentials.
func NewOperatorGuard() *Guard { return &Guard{anywhere: true} }

// NewGuard returns a guard for URLs that others have written. They must lead to public addresses. The exceptions are
// host names, *.example.com for all names below one, IP addresses, and networks such as 10.0.0.0/8. Link-local addresses can't be
// excepted.
func NewGuard(exceptions []string) *Guard {
	g := &Guard{}
	for _, e := range exceptions {
		if network, err := netip.ParsePrefix(e); err == nil {
			g.networks = append(g.networks, network.Masked())
		} else if a, err := netip.ParseAddr(e); err == nil {
			a = a.Unmap()
			g.networks = append(g.networks, netip.PrefixFrom(a, a.BitLen()))
		} else {
			g.names = append(g.names, plainName(e))
		}
	}
	return g
}

// plainName returns a host name as it is compared.
func plainName(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Check returns why requests may not go to a host of a URL, as far as the host itself says so: an [ErrInward], or nil. It doesn't
// resolve names. For requests that browsers make it is all that can be checked.
func (g *Guard) Check(host string) error {
	name := plainName(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(name); err == nil {
		return g.check(name, a)
	}
	// Browsers and some resolvers read 127.1, 0x7f000001 and 2130706433 as addresses.
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case name == "" || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x"):
		return fmt.Errorf("%w: %q is an unusual way to write one", ErrInward, host)
	case !g.excepts(name) && !g.anywhere && last == "localhost":
		return fmt.Errorf("%w: %s", ErrInward, host)
	}
	return nil
}

// check returns why a connection may not be made to an address that a host has.
func (g *Guard) check(host string, a netip.Addr) error {
	targets := targetsOf(a)
	inside := func(networks []netip.Prefix) bool {
		return slices.ContainsFunc(targets, func(a netip.Addr) bool { return contain(networks, a) })
	}
	switch {
	case inside(never):
		return fmt.Errorf("%w: %s", ErrInward, a)
	case g.anywhere || g.excepts(host) || inside(g.networks):
		return nil
	case !slices.ContainsFunc(targets, isPublic) || inside(special):
		return fmt.Errorf("%w: %s is not public", ErrInward, a)
	}
	return nil
}

// excepts reports whether a host name is among the exceptions.
func (g *Guard) excepts(host string) bool {
	host = plainName(host)
	return slices.ContainsFunc(g.names, func(name string) bool {
		suffix, below := strings.CutPrefix(name, "*.")
		return host == name || below && strings.HasSuffix(host, "."+suffix)
	})
}

var (
	// never is where no application is: this network and host, link-local, multicast, broadcast.
	never = networks("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10", "ff00::/8")
	// special is what IANA's registries of special-purpose addresses have beyond that and beyond what isPublic leaves out.
	special = networks(
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "3fff::/20",
	)
	globalUnicast = netip.MustParsePrefix("2000::/3")

	// Within these, an IPv4 address is in the last four bytes: IPv4-compatible addresses (RFC 4291, section 2.5.5.1), NAT64
	// (RFC 6052 and 8215). In those of 6to4 (RFC 3056) it follows the first two.
	endInIPv4 = networks("::/96", "64:ff9b::/96", "64:ff9b:1::/48")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

func networks(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func contain(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isPublic reports whether an address may be one of the public internet.
func isPublic(a netip.Addr) bool { return a.Is4() || globalUnicast.Contains(a) }

// targetsOf returns an address and the IPv4 address within it that a gateway may send its packets to, if there is one.
func targetsOf(a netip.Addr) []netip.Addr {
	a = a.WithZone("").Unmap()
	if a.Is4() {
		return []netip.Addr{a}
	}
	b := a.As16()
	switch {
	case a.IsUnspecified() || a.IsLoopback():
	case contain(endInIPv4, a):
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[12:]))}
	case sixToFour.Contains(a):
		return []netip.Addr{a, netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return []netip.Addr{a}
}

// maxGuardedHeader bounds the header of an answer to a guarded request, in bytes.
const maxGuardedHeader = 64 << 10

// NewClient returns a client for requests that the guard lets out. It follows no redirects, keeps no connections, and gives up
// after the timeout, the body included. Only the operator's URLs go through the proxy of the environment: it would hide from the
// guard where others lead.
func (g *Guard) NewClient(timeout time.Duration) *http.Client {
	transport := &http.Transport{
		DialContext:            g.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: maxGuardedHeader,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
	if g.anywhere {
		transport.Proxy = http.ProxyFromEnvironment
	}
	return &http.Client{
		Timeout:       timeout,
		Transport:     guarded{g, transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guarded checks URLs before anything else happens, as a proxy would dial for us.
type guarded struct {
	guard *Guard
	next  http.RoundTripper
}

func (t guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.guard.CheckURL(r.URL); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(r)
}

// CheckURL is Check for the host of a URL.
func (g *Guard) CheckURL(u *url.URL) error { return g.Check(u.Hostname()) }

// dial connects to a host, which is that of the URL unless there is a proxy.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Resolver: g.resolver, Control: func(_, dialled string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(dialled)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInward, err)
		}
		return g.check(host, to.Addr())
	}}
	return dialer.DialContext(ctx, network, address)
}
