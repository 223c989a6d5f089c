package kubeapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A connection is what a configuration says about the way to an API server.
type connection struct {
	server      *url.URL
	namespace   string
	tls         *tls.Config
	proxy       *url.URL // nil means what the environment says
	credentials credentials
}

// parseServer refuses addresses that can't be an API server's, or that would put a password into messages.
func parseServer(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of the API server is not a URL") // it may hold a password
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("the address of the API server is %q, want https://host:port", u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the address of the API server, %s, may have a path, but neither a user nor a query",
			u.Redacted())
	}
	return u, nil
}

// authorities returns a pool of the certificates in a PEM text.
func authorities(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in PEM form found")
	}
	return pool, nil
}

func (c *connection) client(wrap func(http.RoundTripper) http.RoundTripper) *Client {
	proxy := http.ProxyFromEnvironment
	if c.proxy != nil {
		proxy = http.ProxyURL(c.proxy)
	}
	transport := &http.Transport{
		Proxy:               proxy,
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     c.tls,
		TLSHandshakeTimeout: 5 * time.Second,
		// Every answer begins soon, that to a watch and that with a long list too; how long it may last is up to the request.
		ResponseHeaderTimeout: 4 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16, // for a server, or a proxy, without HTTP/2
		MaxConnsPerHost:       64,
		ForceAttemptHTTP2:     true,
		// All requests share one connection. Without pings, one that is dead would be noticed after many minutes, and until
		// then nobody could sign in.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second},
	}
	var way http.RoundTripper = transport
	if wrap != nil {
		way = wrap(transport)
	}
	return &Client{
		http: &http.Client{
			Transport: way,
			// The API server does not redirect, and no other server may get our credentials.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		transport: transport, base: c.server, namespace: c.namespace, credentials: c.credentials,
	}
}
