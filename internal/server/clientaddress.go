package server

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddress says how to find the client's address behind proxies: in a header like X-Forwarded-For, to which each
// proxy appends the address that called it. With the zero value the client is the connection's peer.
type ClientAddress struct {
	Header         string
	TrustedProxies []netip.Prefix // whose header is believed; if empty, nobody's
}

// normalized returns the settings in the form that the method of compares with.
func (c ClientAddress) normalized() ClientAddress {
	c.Header = http.CanonicalHeaderKey(c.Header)
	proxies := slices.Clone(c.TrustedProxies)
	for i, p := range proxies {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			proxies[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	c.TrustedProxies = proxies
	return c
}

// of returns the address of the request's client: the last one in the header that is not a trusted proxy's, because each
// proxy vouches only for the address that called it. If the header is untrusted or malformed, it is the peer's.
func (c ClientAddress) of(r *http.Request) string {
	peer := host(r.RemoteAddr)
	if c.Header == "" || len(c.TrustedProxies) == 0 || !c.trustedPeer(peer) {
		return peer
	}
	// Several lines are one list (RFC 9110, 5.3): a proxy may add a line instead of appending to the client's.
	for _, line := range slices.Backward(r.Header[c.Header]) {
		for more := true; more; {
			hop := line
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, hop = line[:i], line[i+1:]
			} else {
				more = false
			}
			addr, err := parseHop(strings.TrimSpace(hop))
			if err != nil {
				return peer
			}
			if !c.trusts(addr) {
				return addr.String()
			}
		}
	}
	return peer
}

// parseHop reads an address as proxies write it. Some, such as Azure's, add the port; IPv6 addresses may be in brackets
// even without a port.
func parseHop(hop string) (netip.Addr, error) {
	if with, err := netip.ParseAddrPort(hop); err == nil {
		hop = with.Addr().String()
	} else if inner, ok := strings.CutPrefix(hop, "["); ok {
		if hop, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(hop, ":") {
			return netip.Addr{}, errors.New("the brackets hold no IPv6 address")
		}
	}
	addr, err := netip.ParseAddr(hop)
	if err != nil {
		return netip.Addr{}, err
	}
	if addr.Zone() != "" { // a zone means something only on its own host; here it is free text
		return netip.Addr{}, errors.New("the address has a zone")
	}
	return addr.Unmap(), nil
}

func (c ClientAddress) trustedPeer(peer string) bool {
	addr, err := netip.ParseAddr(peer)
	return err == nil && c.trusts(addr.Unmap().WithZone(""))
}

func (c ClientAddress) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(c.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// host returns the address without its port; unchanged if it has none, as on a Unix socket.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
