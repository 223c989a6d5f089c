// Package remote calls the management API of a server, for the command line.
package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// base is the path of the API.
	base = "/api/v2"
	// maxAnswer bounds an answer, in bytes. A page of records is the largest one.
	maxAnswer = 256 << 20
	// maxCredential bounds files with certificates, keys and tokens, in bytes.
	maxCredential = 1 << 20
)

// A Client calls one server. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	server string // for messages
	root   string // what paths are appended to
	token  string
}

// New returns a client. It reads the files that the settings name, and doesn't ask the server yet. Errors are [*SettingsError].
func New(s Settings, timeout time.Duration) (*Client, error) {
	root, socket, err := s.address()
	if err != nil {
		return nil, err
	}
	c := &Client{server: s.Server, root: root}
	if c.token, err = s.token(); err != nil {
		return nil, err
	}
	if err := checkClear(root, socket, c.token); err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSHandshakeTimeout: timeout, MaxResponseHeaderBytes: 64 << 10, Proxy: http.ProxyFromEnvironment}
	if transport.TLSClientConfig, err = s.tls(); err != nil {
		return nil, err
	}
	if socket != "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}
	}
	c.http = &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the token is for this server
	}}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// checkClear refuses to send a token over a network that anybody may read along.
func checkClear(root, socket, token string) error {
	if socket != "" || token == "" {
		return nil
	}
	u, err := url.Parse(root)
	if err != nil {
		return badSetting("the address of the server can't be read: %v", err)
	}
	if u.Scheme == "https" {
		return nil
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return badSetting("the token would be sent to %s without TLS, and anybody on the way could read it; give an address with https://", u.Host)
}

func (s Settings) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		text, err := readSmall(s.CA)
		if err != nil {
			return nil, badSetting("the authority's certificate can't be read: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, badSetting("%s has no certificate in PEM", s.CA)
		}
	}
	switch {
	case s.Cert == "" && s.Key == "":
		return config, nil
	case s.Cert == "" || s.Key == "":
		return nil, badSetting("a client certificate needs both --cert and --key")
	}
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, badSetting("the client certificate can't be used: %v", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// A Call is a request.
type Call struct {
	Method  string
	Path    []string // segments below /api/v2, not encoded
	Query   url.Values
	Body    any    // sent as JSON; nil for none
	IfMatch string // the ETag that the record must still have
	IfNone  bool   // there must be no such record yet
	DryRun  bool   // validate, and write nothing
}

// An Answer is what the server has answered to a call that has succeeded.
type Answer struct {
	Status int
	ETag   string
	Body   []byte
}

// Decode reads the answer's JSON.
func (a *Answer) Decode(dst any) error {
	if err := json.Unmarshal(a.Body, dst); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	return nil
}

// Do calls the server. Errors are [*Refused], if the server has answered, or [*UnreachableError].
func (c *Client) Do(ctx context.Context, call Call) (*Answer, error) {
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &UnreachableError{c.server, cause(err)}
	}
	defer resp.Body.Close() //nolint:errcheck // was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, &UnreachableError{c.server, err}
	case len(body) > maxAnswer:
		return nil, &UnreachableError{c.server, errors.New("the answer is too large")}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, refused(c.server, resp, body)
	}
	return &Answer{Status: resp.StatusCode, ETag: resp.Header.Get("ETag"), Body: body}, nil
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	address := c.root
	for _, segment := range call.Path {
		address += "/" + escaped(segment)
	}
	query := url.Values{}
	for name, values := range call.Query {
		query[name] = values
	}
	if call.DryRun {
		query.Set("dryRun", "true")
	}
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	var body io.Reader
	if call.Body != nil {
		data, err := json.Marshal(call.Body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, address, body)
	if err != nil {
		return nil, badSetting("the server's address can't be used: %v", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if call.IfMatch != "" {
		req.Header.Set("If-Match", call.IfMatch)
	}
	if call.IfNone {
		req.Header.Set("If-None-Match", "*")
	}
	return req, nil
}

// escaped encodes a segment of a path, so that servers on the way don't take a dot for the folder that it names elsewhere.
func escaped(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

// cause takes the address from errors of net/http: messages name the server already, and a query may hold a user's id.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // G304: the user names it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
	if err == nil && len(data) > maxCredential {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxCredential)
	}
	return data, err
}
