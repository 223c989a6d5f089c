package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"sync"
	"time"
)

const (
	// providerTimeout bounds one request to the provider, body included.
	providerTimeout = 15 * time.Second
	// maxProviderBody bounds, in bytes, how much of a response is read. It is
	// below x/oauth2's limit, which truncates without an error.
	maxProviderBody = 512 << 10
)

// newProviderClient returns the HTTP client for all requests to the provider.
func newProviderClient(opts options, debugOut io.Writer) (*http.Client, error) {
	defaults, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default HTTP transport was replaced")
	}
	base := defaults.Clone()
	if opts.issuerRootCA != "" {
		roots, err := readRoots(opts.issuerRootCA)
		if err != nil {
			return nil, fmt.Errorf("--issuer-root-ca: %w", err)
		}
		base.TLSClientConfig.RootCAs = roots
	}

	var transport http.RoundTripper = limitTransport{next: base}
	if opts.debug {
		transport = &dumpTransport{next: transport, out: debugOut}
	}
	return &http.Client{
		Transport: transport,
		Timeout:   providerTimeout,
		// No endpoint we call has a reason to redirect, and a token request
		// that followed would take its secrets elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path) //nolint:gosec // the path is the operator's own
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return roots, nil
}

// limitTransport makes reading more than maxProviderBody an error.
type limitTransport struct{ next http.RoundTripper }

func (t limitTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxProviderBody)
	return resp, nil
}

// dumpTransport prints each request and response in full.
type dumpTransport struct {
	next http.RoundTripper
	mu   sync.Mutex // keeps the dumps of parallel requests apart
	out  io.Writer
}

func (t *dumpTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context()) // dumping replaces the body
	dump, err := httputil.DumpRequestOut(req, true)
	if err != nil {
		return nil, fmt.Errorf("dumping the request: %w", err)
	}
	t.print(">", dump)

	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	dump, err = httputil.DumpResponse(resp, true)
	if err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("dumping the response: %w", err)
	}
	t.print("<", dump)
	return resp, nil
}

func (t *dumpTransport) print(mark string, dump []byte) {
	var text bytes.Buffer
	for line := range bytes.Lines(dump) {
		fmt.Fprintf(&text, "%s %s\n", mark, bytes.TrimRight(line, "\r\n"))
	}
	text.WriteByte('\n')

	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.out.Write(text.Bytes()) // if the terminal is gone, there is nothing to do
}

// recordTransport keeps a copy of the response bodies that pass through.
type recordTransport struct {
	next http.RoundTripper
	body *bytes.Buffer
}

func (t recordTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, t.body), resp.Body}
	return resp, nil
}
