package telemetry

import (
	"context"
	"net/netip"
)

// request is what a context carries about its HTTP request.
type request struct {
	id            string
	clientAddress string
	userAgent     string
}

type requestKey struct{}

// WithRequest returns a context that carries the request's id and its client's address, for the log and for records of
// where a login came from.
func WithRequest(ctx context.Context, requestID, clientAddress string) context.Context {
	return WithRequestBy(ctx, requestID, clientAddress, "")
}

// WithRequestBy is WithRequest for a client that says what program it is.
func WithRequestBy(ctx context.Context, requestID, clientAddress, userAgent string) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{requestID, clientAddress, userAgent})
}

// UserAgent returns what the context's client says it is, as it was sent; empty outside of a request.
func UserAgent(ctx context.Context) string { return requestOf(ctx).userAgent }

// RequestID returns the id of the context's request; empty outside of one.
func RequestID(ctx context.Context) string { return requestOf(ctx).id }

// ClientAddress returns the IP address of the context's client; empty outside of a request. It serves records, logs and
// limits, and is no proof of anything: a trusted proxy may have named it.
func ClientAddress(ctx context.Context) string { return requestOf(ctx).clientAddress }

// translated are the addresses under which translators show all of IPv4 to networks that have nothing but IPv6 (RFC 6052, section 2.1).
// Nobody has one of them elsewhere.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// Network returns the part of an address that identifies a user: all of an IPv4 address, but only the given number of bits
// of an IPv6 address, because IPv6 users have many. One that stands for an IPv4 address is that. It is empty if there is no IP
// address, as on a Unix socket.
func Network(address string, bits int) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	if translated.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}

func requestOf(ctx context.Context) request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return *r
	}
	return request{}
}
