package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"dex/internal/server"
	"dex/internal/telemetry"
)

// nowhere discards an answer.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}

// BenchmarkRequest measures everything around a handler, without network or handler.
func BenchmarkRequest(b *testing.B) {
	opts := options("/dex")
	opts.Metrics = telemetry.NewMetrics("v")
	opts.CORS = server.CORS{AllowedOrigins: []string{"https://app.example"}}
	opts.ClientAddress = server.ClientAddress{Header: "X-Forwarded-For", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	nothing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	h := server.New(opts, []server.Route{
		{Pattern: "/token", Handler: nothing, CORS: true},
		{Pattern: "/auth/{connector}", Handler: nothing},
	})
	for _, target := range []string{"/dex/token", "/dex/auth/ldap"} {
		b.Run(target, func(b *testing.B) {
			r := httptest.NewRequestWithContext(b.Context(), "POST", target, nil)
			r.Header.Set("X-Forwarded-For", "203.0.113.9, 192.0.2.7")
			r.Header.Set("Origin", "https://app.example")
			w := &nowhere{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}
