package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"dex/internal/server"
	"dex/internal/telemetry"
)

func TestClientAddress(t *testing.T) {
	prefixes := func(list ...string) (ps []netip.Prefix) {
		for _, s := range list {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return ps
	}
	behind := server.ClientAddress{
		Header:         "x-forwarded-for",
		TrustedProxies: prefixes("10.0.0.0/8", "192.168.7.1/32", "2001:db8:1::/48", "fe80::/10"),
	}
	for _, tc := range []struct {
		name   string
		config server.ClientAddress
		peer   string
		lines  []string // of the header
		want   string
	}{
		{"nothing configured", server.ClientAddress{}, "10.0.0.1:1000", []string{"1.2.3.4"}, "10.0.0.1"},
		{"no header configured", server.ClientAddress{TrustedProxies: prefixes("10.0.0.0/8")}, "10.0.0.1:1000", []string{"1.2.3.4"}, "10.0.0.1"},
		{"no proxies configured", server.ClientAddress{Header: "X-Forwarded-For"}, "10.0.0.1:1000", []string{"1.2.3.4"}, "10.0.0.1"},

		{"no header sent", behind, "10.0.0.1:1000", nil, "10.0.0.1"},
		{"peer not trusted", behind, "203.0.113.9:1000", []string{"1.2.3.4"}, "203.0.113.9"},
		{"one hop", behind, "10.0.0.1:1000", []string{"1.2.3.4"}, "1.2.3.4"},
		{"second prefix", behind, "192.168.7.1:1000", []string{"1.2.3.4"}, "1.2.3.4"},
		{"beside the prefix", behind, "192.168.7.2:1000", []string{"1.2.3.4"}, "192.168.7.2"},
		{"forged hop before", behind, "10.0.0.1:1000", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"trusted hops after", behind, "10.0.0.1:1000", []string{"6.6.6.6, 1.2.3.4 ,10.9.9.9,\t192.168.7.1"}, "1.2.3.4"},
		{"only trusted hops", behind, "10.0.0.1:1000", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.1"},
		{"added line", behind, "10.0.0.1:1000", []string{"6.6.6.6", "1.2.3.4"}, "1.2.3.4"},
		{"trusted line, then older", behind, "10.0.0.1:1000", []string{"6.6.6.6, 1.2.3.4", "10.0.0.2"}, "1.2.3.4"},

		{"malformed", behind, "10.0.0.1:1000", []string{"unknown"}, "10.0.0.1"},
		{"malformed stops", behind, "10.0.0.1:1000", []string{"1.2.3.4, unknown, 10.0.0.2"}, "10.0.0.1"},
		{"malformed line stops", behind, "10.0.0.1:1000", []string{"1.2.3.4", "unknown"}, "10.0.0.1"},
		{"malformed before is not reached", behind, "10.0.0.1:1000", []string{"unknown, 1.2.3.4"}, "1.2.3.4"},
		{"port", behind, "10.0.0.1:1000", []string{"1.2.3.4:5678"}, "1.2.3.4"},
		{"port of a trusted hop", behind, "10.0.0.1:1000", []string{"1.2.3.4:5678, 10.0.0.9:80"}, "1.2.3.4"},
		{"no port behind the colon", behind, "10.0.0.1:1000", []string{"1.2.3.4:"}, "10.0.0.1"},
		{"port too large", behind, "10.0.0.1:1000", []string{"1.2.3.4:70000"}, "10.0.0.1"},
		{"brackets", behind, "10.0.0.1:1000", []string{"[2001:db8:2::1]"}, "2001:db8:2::1"},
		{"brackets and port", behind, "10.0.0.1:1000", []string{"[2001:db8:2::1]:443"}, "2001:db8:2::1"},
		{"brackets around IPv4", behind, "10.0.0.1:1000", []string{"[1.2.3.4]"}, "10.0.0.1"},
		{"half a bracket", behind, "10.0.0.1:1000", []string{"[2001:db8:2::1"}, "10.0.0.1"},
		{"zone in brackets", behind, "10.0.0.1:1000", []string{"[fe80::1%eth0]:80"}, "10.0.0.1"},
		{"empty", behind, "10.0.0.1:1000", []string{""}, "10.0.0.1"},
		{"empty hop stops", behind, "10.0.0.1:1000", []string{"1.2.3.4,"}, "10.0.0.1"},
		{"prefix", behind, "10.0.0.1:1000", []string{"1.2.3.0/24"}, "10.0.0.1"},
		{"leading zero", behind, "10.0.0.1:1000", []string{"1.2.3.04"}, "10.0.0.1"},

		{"IPv6 peer", behind, "[2001:db8:1::5]:1000", []string{"2001:db8:2::1"}, "2001:db8:2::1"},
		{"IPv6 peer not trusted", behind, "[2001:db8:3::5]:1000", []string{"1.2.3.4"}, "2001:db8:3::5"},
		{"IPv6 in short form", behind, "10.0.0.1:1000", []string{"2001:0DB8:0002:0:0:0:0:1, 2001:db8:1::7"}, "2001:db8:2::1"},
		{"IPv4 in IPv6 hop", behind, "10.0.0.1:1000", []string{"1.2.3.4, ::ffff:10.0.0.2"}, "1.2.3.4"},
		{"IPv4 in IPv6 peer", behind, "[::ffff:10.0.0.1]:1000", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"IPv4 in IPv6 prefix", server.ClientAddress{Header: "X-Forwarded-For", TrustedProxies: prefixes("::ffff:10.0.0.0/104")},
			"10.0.0.1:1000", []string{"1.2.3.4"}, "1.2.3.4"},
		{"peer with zone", behind, "[fe80::1%eth0]:1000", []string{"1.2.3.4"}, "1.2.3.4"},
		{"peer with zone alone", behind, "[fe80::1%eth0]:1000", nil, "fe80::1%eth0"},
		{"hop with zone", behind, "10.0.0.1:1000", []string{"2001:db8:2::1%<script>"}, "10.0.0.1"},

		{"Unix socket", behind, "@", []string{"1.2.3.4"}, "@"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := options("")
			opts.ClientAddress = tc.config
			h := server.New(opts, []server.Route{{Pattern: "/", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, telemetry.ClientAddress(r.Context()))
			})}})
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.RemoteAddr = tc.peer
			r.Header["X-Forwarded-For"] = tc.lines
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := w.Body.String(); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
