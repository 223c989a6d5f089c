package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
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

	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	UserInfoAlgorithms       []string `json:"userinfo_signing_alg_values_supported"`

	AnswersWithIss bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207
	PushURL        string `json:"pushed_authorization_request_endpoint"`          // this and the next: RFC 9126
	RequiresPushed bool   `json:"require_pushed_authorization_requests"`
}

func (m *metadata) tokenEndpoint() relyingparty.Endpoint {
	return relyingparty.Endpoint{URL: m.TokenURL, Methods: m.AuthMethods}
}

// discovery knows what the provider says of itself.
type discovery struct {
	cfg      *Config
	client   *http.Client
	log      *slog.Logger
	metadata *outbound.Fact[metadata]

	mu  sync.Mutex
	odd string // what was left out of the metadata, and told of
}

func newDiscovery(cfg *Config, client *http.Client, log *slog.Logger) *discovery {
	d := &discovery{cfg: cfg, client: client, log: log}
	d.metadata = outbound.NewFact(d.fetch)
	return d
}

func (d *discovery) fetch(ctx context.Context) (*metadata, error) {
	address := strings.TrimSuffix(d.cfg.Issuer, "/") + "/.well-known/openid-configuration"
	status, body, err := outbound.Get(ctx, d.client, address, nil)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if status != http.StatusOK {
		return nil, connector.FromStatus(status, fmt.Errorf("discovery: %s answers %d", address, status))
	}
	m, odd, err := readMetadata(body)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s: %w", address, err)
	}
	if d.cfg.IssuerAlias == "" && m.Issuer != d.cfg.Issuer {
		return nil, fmt.Errorf("discovery: the provider says that its issuer is %q, and the configuration %q; "+
			"they must be equal to the last slash, unless issuerAlias is set", m.Issuer, d.cfg.Issuer)
	}
	m.override(&d.cfg.Overrides)
	d.warn(ctx, append(odd, m.dropOdd()...))
	return m, nil
}

// needed are the members without which nobody can log in.
var needed = []string{"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}

// readMetadata reads what a provider says of itself, member by member: one that is not needed, and not what it should be, is
// left out, and named.
func readMetadata(body []byte) (m *metadata, odd []string, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, nil, fmt.Errorf("it is no metadata: %w", err)
	}
	m = &metadata{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if strings.ToLower(name) != name { // which encoding/json would take for the same name
			continue
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: members[name]})
		if err != nil {
			return nil, nil, fmt.Errorf("member %s: %w", name, err)
		}
		with := *m
		switch err := json.Unmarshal(one, &with); {
		case err == nil:
			*m = with
		case slices.Contains(needed, name):
			return nil, nil, fmt.Errorf("member %s: %w", name, err)
		default:
			odd = append(odd, name)
		}
	}
	return m, odd, nil
}

// dropOdd leaves out addresses that browsers and we can't go to, and names them.
func (m *metadata) dropOdd() []string {
	var odd []string
	for name, address := range map[string]*string{
		"end_session_endpoint": &m.EndSessionURL, "userinfo_endpoint": &m.UserInfoURL,
		"pushed_authorization_request_endpoint": &m.PushURL,
	} {
		if *address != "" && !outbound.IsURL(*address) {
			*address = ""
			odd = append(odd, name)
		}
	}
	return odd
}

// warn tells of what was left out of the metadata, once for as long as it stays the same.
func (d *discovery) warn(ctx context.Context, odd []string) {
	slices.Sort(odd)
	text := strings.Join(odd, ", ")
	d.mu.Lock()
	told := d.odd == text
	d.odd = text
	d.mu.Unlock()
	if text != "" && !told {
		d.log.WarnContext(ctx, "members of the provider's metadata are not what they should be, and are left out", "members", text)
	}
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
