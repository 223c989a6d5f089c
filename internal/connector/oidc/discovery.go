package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"dex/internal/outbound"
)

// metadata is what a provider says of itself (OpenID Connect Discovery, section 3).
type metadata struct {
	Issuer           string   `json:"issuer"`
	AuthURL          string   `json:"authorization_endpoint"`
	TokenURL         string   `json:"token_endpoint"`
	JWKSURL          string   `json:"jwks_uri"`
	UserInfoURL      string   `json:"userinfo_endpoint"`
	EndSessionURL    string   `json:"end_session_endpoint"`
	IntrospectionURL string   `json:"introspection_endpoint"` // RFC 8414
	Algorithms       []string `json:"id_token_signing_alg_values_supported"`
	ChallengeMethods []string `json:"code_challenge_methods_supported"`
	AuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	Scopes           []string `json:"scopes_supported"`

	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	UserInfoAlgorithms       []string `json:"userinfo_signing_alg_values_supported"`

	AnswersWithIss bool `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// Bounds of the pause after the provider could not be read, which doubles each time.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// errNotNow says that the provider could not be read a moment ago.
var errNotNow = errors.New("provider can't be read, and is tried again soon")

// discovery knows what the provider says of itself. A provider that is down costs nobody but its own users, and those no
// more than a wait.
type discovery struct {
	cfg    *Config
	client *http.Client
	flight singleflight.Group

	mu    sync.Mutex // guards the rest, never held over I/O
	known *metadata
	err   error // of the last try
	pause time.Duration
	retry time.Time // no try before, but by probe
}

// get returns what is known of the provider, and asks it first if that is nothing.
func (d *discovery) get(ctx context.Context) (*metadata, error) {
	d.mu.Lock()
	known, err, soon := d.known, d.err, time.Now().Before(d.retry)
	d.mu.Unlock()
	switch {
	case known != nil:
		return known, nil
	case err != nil && soon:
		return nil, fmt.Errorf("%w: %w", errNotNow, err)
	}
	return d.read(ctx)
}

// read asks the provider. Those who ask at once share one answer, which comes even if the first of them goes away. What was
// known stays if it fails.
func (d *discovery) read(ctx context.Context) (*metadata, error) {
	answer := d.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outbound.Timeout)
		defer cancel()
		fresh, err := d.fetch(ctx)
		d.keep(fresh, err)
		return fresh, err
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(*metadata), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *discovery) keep(fresh *metadata, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
	if err != nil {
		d.pause = min(max(2*d.pause, firstPause), longestPause)
		d.retry = time.Now().Add(d.pause)
		return
	}
	d.known, d.pause, d.retry = fresh, 0, time.Time{}
}

func (d *discovery) fetch(ctx context.Context) (*metadata, error) {
	address := strings.TrimSuffix(d.cfg.Issuer, "/") + "/.well-known/openid-configuration"
	status, body, err := outbound.Get(ctx, d.client, address, nil)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("discovery: %s answers %d", address, status)
	}
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("discovery: %s is no metadata: %w", address, err)
	}
	if d.cfg.IssuerAlias == "" && m.Issuer != d.cfg.Issuer {
		return nil, fmt.Errorf("discovery: the provider says that its issuer is %q, and the configuration %q; "+
			"they must be equal, be it for a slash, or issuerAlias be set", m.Issuer, d.cfg.Issuer)
	}
	m.override(&d.cfg.Overrides)
	if m.EndSessionURL != "" && !isWebURL(m.EndSessionURL) {
		return nil, fmt.Errorf("discovery: end_session_endpoint %q is no http or https URL", m.EndSessionURL)
	}
	return &m, nil
}

func (m *metadata) override(o *Overrides) {
	for _, each := range []struct {
		to   *string
		with string
	}{
		{&m.AuthURL, o.AuthURL}, {&m.TokenURL, o.TokenURL}, {&m.JWKSURL, o.JWKSURL}, {&m.UserInfoURL, o.UserInfoURL},
		{&m.EndSessionURL, o.EndSessionURL},
	} {
		if each.with != "" {
			*each.to = each.with
		}
	}
}

// expectedIssuer returns what the provider's tokens have as iss.
func (c *Config) expectedIssuer() string {
	if c.IssuerAlias != "" {
		return c.IssuerAlias
	}
	return c.Issuer
}
