package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A client is one application with one browser. It keeps its connection and does as little as possible, because it shares
// the machine with the server.
type client struct {
	issuer    string
	id        string          // the application's
	transport *http.Transport // used directly: follows no redirects, keeps no cookies
	body      bytes.Buffer    // of the last answer
}

func newClient(issuer string) *client {
	return &client{issuer: issuer, id: clientID, transport: &http.Transport{DisableCompression: true, MaxConnsPerHost: 1}}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// do sends a request and reads the answer's body into c.body. The answer must have the given status.
func (c *client) do(r *http.Request, status int) (http.Header, error) {
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	c.body.Reset()
	_, err = io.Copy(&c.body, answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	if answer.StatusCode != status {
		return nil, fmt.Errorf("%s %s: status %d, want %d: %s", r.Method, r.URL.Path, answer.StatusCode, status, &c.body)
	}
	return answer.Header, nil
}

func (c *client) get(ctx context.Context, target string, status int, header ...string) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(r, status)
}

// read fetches a document that must contain a text.
func (c *client) read(ctx context.Context, path, text string, header ...string) error {
	if _, err := c.get(ctx, c.issuer+path, http.StatusOK, header...); err != nil {
		return err
	}
	if !bytes.Contains(c.body.Bytes(), []byte(text)) {
		return fmt.Errorf("the answer of %s has no %s", path, text)
	}
	return nil
}

// post sends an application's form and returns the answer's body, which is valid until the next request.
func (c *client) post(ctx context.Context, path, application string, form url.Values) ([]byte, error) {
	r, err := newForm(ctx, c.issuer+path, form)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth(application, clientSecret)
	_, err = c.do(r, http.StatusOK)
	return c.body.Bytes(), err
}

func newForm(ctx context.Context, target string, form url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}
