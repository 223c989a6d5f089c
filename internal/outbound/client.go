// Package outbound is the HTTP client for identity sources: it trusts the authorities that the operator names, gives up in time,
// and reads no more than a source should send.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"dex/internal/telemetry"
)

const (
	// Timeout bounds a request with all of its redirects and its body.
	Timeout = 20 * time.Second
	// maxBody bounds the body of an answer, in bytes.
	maxBody = 4 << 20

	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 15 * time.Second
	idleTimeout      = 90 * time.Second
	maxIdlePerHost   = 16
	maxHeader        = 256 << 10 // bytes
)

// ErrTooLong says that a source sent more than any answer should have.
var ErrTooLong = errors.New("the answer is longer than 4 MiB")

// NewDirectClient returns a client for what is near this machine, such as the metadata server of a cloud: no proxy is in between.
func NewDirectClient() *http.Client { return newClient(&tls.Config{MinVersion: tls.VersionTLS12}, nil) }

// NewClient returns a client for one source. Each of rootCAs is the path of a PEM file, base64 of PEM, or PEM, and is trusted
// beside the system's authorities; an error names the one that has no certificate. The proxy is that of the environment.
func NewClient(rootCAs []string, insecureSkipVerify bool) (*http.Client, error) {
	pool, err := Pool(rootCAs)
	if err != nil {
		return nil, err
	}
	return newClient(&tls.Config{
		RootCAs: pool, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: insecureSkipVerify, //nolint:gosec // G402: the operator asked for it by a key named insecure
	}, http.ProxyFromEnvironment), nil
}

func newClient(trust *tls.Config, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Client{
		Timeout:       Timeout,
		CheckRedirect: checkRedirect,
		Transport: bounded{&http.Transport{
			Proxy:                  proxy,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        trust,
			TLSHandshakeTimeout:    handshakeTimeout,
			ResponseHeaderTimeout:  headerTimeout,
			IdleConnTimeout:        idleTimeout,
			MaxIdleConnsPerHost:    maxIdlePerHost,
			MaxResponseHeaderBytes: maxHeader,
		}},
	}
}

var errNoAuthority = errors.New("is no PEM certificate, nor the path or the base64 of one")

// maxRedirects is how often an address may lead to another.
const maxRedirects = 10

// checkRedirect follows no redirect of a request with credentials, or with a form, which contains them: they are for the address
// that the operator, or the source, has named. The answer is then the redirect itself.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || first.Header.Get("Authorization") != "" {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("%s leads on more than %d times", first.URL.Redacted(), maxRedirects)
	}
	return nil
}

// Pool returns the system's authorities and those of rootCAs; nil for the system's alone.
func Pool(rootCAs []string) (*x509.CertPool, error) {
	if len(rootCAs) == 0 {
		return nil, nil // what crypto/tls takes for the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("system's certificate authorities: %w", err)
	}
	for i, ca := range rootCAs {
		if ca == "" {
			continue
		}
		if !pool.AppendCertsFromPEM(readCA(ca)) {
			return nil, fmt.Errorf("rootCAs[%d]: %w", i, errNoAuthority)
		}
	}
	return pool, nil
}

func readCA(ca string) []byte {
	if data, err := ReadFile(ca); err == nil {
		return data
	}
	if data, err := base64.StdEncoding.DecodeString(ca); err == nil {
		return data
	}
	return []byte(ca)
}

// bounded ends answers that are too long.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if parent := telemetry.Traceparent(r.Context()); parent != "" {
		r = r.Clone(r.Context()) // a RoundTripper must not change a request
		r.Header.Set("Traceparent", parent)
	}
	answer, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &body{ReadCloser: answer.Body, left: maxBody}
	return answer, nil
}

type body struct {
	io.ReadCloser
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLong
	}
	return n, err
}

// Get requests an address, with additional headers, and returns the answer's status and body.
func Get(ctx context.Context, c *http.Client, address string, header http.Header) (status int, content []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := Do(c, r)
	if err != nil {
		return 0, nil, err
	}
	return answer.Status, answer.Body, nil
}

// IsURL reports whether a text is an http or https URL with a host.
func IsURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// An Answer is a response that has been read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// MediaType returns the type of the body, without its parameters.
func (a *Answer) MediaType() string {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	return kind
}

// Do makes a request and reads the answer.
func Do(c *http.Client, r *http.Request) (*Answer, error) {
	answer, err := c.Do(r) //nolint:gosec // G704: the address is the operator's, or the caller has checked it
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it has been read
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.URL.Redacted(), err)
	}
	return &Answer{Status: answer.StatusCode, Header: answer.Header, Body: content}, nil
}
