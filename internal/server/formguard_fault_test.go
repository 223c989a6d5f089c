package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/server"
)

// Behind proxies that drop the port from the Host header, forms were refused over plain HTTP unless the issuer was the
// address that browsers use.
var _ = faulttest.Add("P19", func(t *testing.T) {
	inner, err := url.Parse("http://dex.auth.svc.cluster.local:5556/dex")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, origin, host, site, forwarded string
		refused                             bool
	}{
		{name: "nginx's $host", origin: "http://10.0.0.5:8080", host: "10.0.0.5"},
		{name: "nginx's $host with a name", origin: "http://kubeflow.example:8080", host: "Kubeflow.example"},
		{name: "nginx's $host with IPv6", origin: "http://[2001:db8::1]:8080", host: "[2001:db8::1]"},
		{name: "nginx's $host:$server_port in a container", origin: "http://10.0.0.5:8080", host: "10.0.0.5:80"},
		{name: "a port that its scheme implies", origin: "http://10.0.0.5", host: "10.0.0.5:80"},
		{name: "nginx's $http_host", origin: "http://10.0.0.5:8080", host: "10.0.0.5:8080"},
		{name: "an old browser over TLS", origin: "https://10.0.0.5:8443", host: "10.0.0.5"},
		{name: "nginx's $proxy_host", origin: "http://10.0.0.5:8080", host: "dex:5556", forwarded: "10.0.0.5"},
		{name: "two proxies", origin: "http://10.0.0.5:8080", host: "dex:5556", forwarded: "10.0.0.5:8080, proxy:80"},
		{name: "the issuer", origin: "http://dex.auth.svc.cluster.local:5556", host: "10.0.0.5:80"},
		{name: "no browser", host: "10.0.0.5"},
		{name: "the browser knows", origin: "https://10.0.0.5:8443", host: "dex:5556", site: "same-origin"},

		{name: "another host", origin: "http://evil.example:8080", host: "10.0.0.5", refused: true},
		{name: "a subdomain", origin: "http://evil.kubeflow.example", host: "kubeflow.example", refused: true},
		{name: "a parent", origin: "http://example", host: "kubeflow.example", refused: true},
		{name: "another port, seen", origin: "http://10.0.0.5:8081", host: "10.0.0.5:8080", refused: true},
		{name: "another port of the issuer", origin: "http://dex.auth.svc.cluster.local", host: "x", refused: true},
		{name: "a sandbox", origin: "null", host: "10.0.0.5", refused: true},
		{name: "user information", origin: "http://10.0.0.5@evil.example", host: "10.0.0.5", refused: true},
		{name: "forwarded for another", origin: "http://evil.example", host: "dex:5556", forwarded: "10.0.0.5", refused: true},
		{name: "only the last proxy's", origin: "http://proxy", host: "dex:5556", forwarded: "10.0.0.5, proxy", refused: true},
		{name: "the browser knows better", origin: "http://10.0.0.5:8080", host: "10.0.0.5", site: "same-site", refused: true},
		{name: "cross-site", origin: "https://evil.example", host: "10.0.0.5", site: "cross-site", refused: true},
	} {
		r := httptest.NewRequest(http.MethodPost, "/dex/auth/local/login", strings.NewReader("login=jane"))
		r.Host = test.host
		for name, value := range map[string]string{
			"Origin": test.origin, "Sec-Fetch-Site": test.site, "X-Forwarded-Host": test.forwarded,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if err := server.NewFormGuard(inner).Check(r); (err != nil) != test.refused {
			t.Errorf("%s: %v", test.name, err)
		}
	}

	upper, err := url.Parse("HTTPS://Login.Example:443")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "http://dex:5556/auth/local/login", http.NoBody)
	r.Header.Set("Origin", "https://login.example")
	if err := server.NewFormGuard(upper).Check(r); err != nil {
		t.Errorf("an issuer written otherwise: %v", err)
	}
})
