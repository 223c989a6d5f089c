package server

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

// Whatever a client writes into the header, it can't choose its address: behind one trusted proxy, which appends its
// peer's, it is always that one.
func FuzzClientAddress(f *testing.F) {
	f.Add("192.0.2.1")
	f.Add("192.0.2.1, 10.0.0.1,")
	f.Add("fe80::1%eth0, ::ffff:10.0.0.1")
	addresses := ClientAddress{
		Header: "X-Forwarded-For", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}.normalized()
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "http://dex.test/", nil)
		r.RemoteAddr = "10.0.0.1:1234"
		r.Header["X-Forwarded-For"] = []string{header + ", 203.0.113.7"}
		if got := addresses.of(r); got != "203.0.113.7" {
			t.Errorf("known by %q", got)
		}
		r.RemoteAddr = "198.51.100.1:1234"
		if got := addresses.of(r); got != "198.51.100.1" {
			t.Errorf("a stranger is known by %q", got)
		}
	})
}
