package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// proxyReturns is a login by a proxy whose browser comes back, with the proxy's headers, to a path of its own choice.
func proxyReturns(t *testing.T, path string) answer {
	t.Helper()
	b := startWith(t, strings.Replace(configuration, "connectors:\n", `connectors:
- type: authproxy
  id: proxy
  name: Proxy
  config: {trustedProxies: [192.0.2.0/24], emailVerified: false}
`, 1)).browser()
	trip := b.visit(authPath("connector_id", "proxy")).wantStatus(http.StatusFound)
	if trip.location().Path != "/dex/callback/proxy" {
		t.Fatalf("the browser is sent to %s", trip.location())
	}
	r := proxied(httptest.NewRequest(http.MethodGet, "http://dex.test"+path+"?state="+trip.location().Query().Get("state"), nil))
	for _, name := range []string{"X-Remote-User", "X-Remote-User-Id", "X-Remote-Group"} {
		r.Header.Set(name, "jane")
	}
	return b.send(r)
}

// The path that a proxy guards has one spelling.
var _ = faulttest.Add("R7", func(t *testing.T) {
	proxyReturns(t, "/dex/callback/proxy").wantStatus(http.StatusSeeOther)
	for _, other := range []string{"/dex/callback/%70roxy", "/dex/callback/prox%79", "/dex/callback/%70%72%6F%78%79", "/dex/callback/%70%72%6f%78%79"} {
		proxyReturns(t, other).wantStatus(http.StatusNotFound)
	}
})

// The address that all connectors share is guarded by no proxy, so that nobody's word counts there.
var _ = faulttest.Add("T-callback-42", func(t *testing.T) {
	if a := proxyReturns(t, "/dex/callback"); a.location().Query().Get("error") != "server_error" {
		t.Errorf("status %d, to %s", a.status, a.location())
	}
})
