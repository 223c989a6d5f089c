package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/server"
	"dex/internal/telemetry"
)

// Behind a proxy that adds the port to an address, all users shared the limits of one address: the proxy's.
var _ = faulttest.Add("R26", func(t *testing.T) {
	opts := options("")
	opts.ClientAddress = server.ClientAddress{
		Header: "X-Forwarded-For", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	for written, want := range map[string]string{
		"203.0.113.9:80": "203.0.113.9", "[2001:db8::9]:80": "2001:db8::9", "[2001:db8::9]": "2001:db8::9",
		"203.0.113.9:80, 10.0.0.7:4711": "203.0.113.9", "203.0.113.9": "203.0.113.9", "2001:db8::9": "2001:db8::9",
	} {
		var got string
		h := server.New(opts, []server.Route{{Pattern: "/x", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = telemetry.ClientAddress(r.Context())
		})}})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		r.RemoteAddr = "10.0.0.1:1000"
		r.Header.Set("X-Forwarded-For", written)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != want {
			t.Errorf("%s: the client is %s, want %s", written, got, want)
		}
	}
})
