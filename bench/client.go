package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A client is one application with one browser. It keeps its connection and does as little as it can, because it runs
// on the machine that it measures.
type client struct {
	issuer    string
	transport *http.Transport // used directly: follows no redirect, knows no cookie
	body      bytes.Buffer    // of the last answer
}

func newClient(issuer string) *client {
	return &client{issuer: issuer, transport: &http.Transport{DisableCompression: true, MaxConnsPerHost: 1}}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// do sends a request and reads the answer, which must have the status, into c.body.
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

// tokens are an answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
}

// login signs in by the authorization code flow: three requests.
func (c *client) login(ctx context.Context, scopes string) (tokens, error) {
	begun, err := c.get(ctx, c.issuer+"/auth?"+url.Values{
		"client_id":     {clientID},
		"redirect_uri":  {redirectURI},
		"response_type": {"code"},
		"scope":         {scopes},
		"state":         {"state-of-the-application"},
		"nonce":         {"nonce-of-the-application"},
		"connector_id":  {"mock"},
	}.Encode(), http.StatusFound)
	if err != nil {
		return tokens{}, err
	}
	cookie, _, _ := strings.Cut(begun.Get("Set-Cookie"), ";")
	ended, err := c.get(ctx, begun.Get("Location"), http.StatusSeeOther, "Cookie", cookie)
	if err != nil {
		return tokens{}, err
	}
	answer, err := url.Parse(ended.Get("Location"))
	if err != nil {
		return tokens{}, err
	}
	query := answer.Query()
	if query.Get("code") == "" || query.Get("state") != "state-of-the-application" {
		return tokens{}, errors.New("the answer to the application has no code or not its state")
	}
	return c.redeem(ctx, url.Values{
		"grant_type":   {"authorization_code"},
		"code":         {query.Get("code")},
		"redirect_uri": {redirectURI},
	})
}

// refresh exchanges a refresh token.
func (c *client) refresh(ctx context.Context, refreshToken string) (tokens, error) {
	return c.redeem(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func (c *client) redeem(ctx context.Context, form url.Values) (tokens, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return tokens{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	if _, err := c.do(r, http.StatusOK); err != nil {
		return tokens{}, err
	}
	var t tokens
	if err := json.Unmarshal(c.body.Bytes(), &t); err != nil {
		return tokens{}, fmt.Errorf("answer of the token endpoint: %w", err)
	}
	if t.Access == "" || t.ID == "" {
		return tokens{}, errors.New("the answer of the token endpoint lacks a token")
	}
	return t, nil
}
