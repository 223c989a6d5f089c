package relyingparty

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// Metadata is what a provider says of itself (OpenID Connect Discovery, section 3).
type Metadata struct {
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

	// OpenID Connect Front-Channel Logout, section 3.
	FrontChannelLogout   bool `json:"frontchannel_logout_supported"`
	FrontChannelSessions bool `json:"frontchannel_logout_session_supported"`
}

// TokenEndpoint returns where codes and refresh tokens are redeemed.
func (m *Metadata) TokenEndpoint() Endpoint { return Endpoint{URL: m.TokenURL, Methods: m.AuthMethods} }

// IDAlgorithms returns which algorithms the provider's ID tokens may have.
func (m *Metadata) IDAlgorithms() []jose.SignatureAlgorithm {
	if allowed := KnownAlgorithms(m.Algorithms); allowed != nil {
		return allowed
	}
	return []jose.SignatureAlgorithm{jose.RS256}
}

// InfoAlgorithms returns which algorithms the provider's userinfo may have: its own, of which a provider need not tell.
func (m *Metadata) InfoAlgorithms() []jose.SignatureAlgorithm {
	if allowed := KnownAlgorithms(m.UserInfoAlgorithms); allowed != nil {
		return allowed
	}
	return Algorithms
}

// CheckIssuer refuses what another provider than the configured one says of itself.
func (m *Metadata) CheckIssuer(issuer string) error {
	if m.Issuer == issuer {
		return nil
	}
	return fmt.Errorf("the provider says that its issuer is %q, and the configuration %q; they must be equal to the last slash",
		m.Issuer, issuer)
}

// A Discovery asks a provider what it says of itself, when that is first needed, and again by Read.
type Discovery struct {
	*outbound.Fact[Metadata]
	client *http.Client
	log    *slog.Logger
	issuer string
	path   string
	query  string
	adjust func(*Metadata) error

	mu  sync.Mutex
	odd string // what was left out of the metadata, and told of
}

// NewDiscovery returns the discovery of the provider with an issuer URL. What the provider says is checked, and may be changed, by
// adjust; nil for Metadata.CheckIssuer.
func NewDiscovery(client *http.Client, log *slog.Logger, issuer string, adjust func(*Metadata) error) *Discovery {
	d := &Discovery{client: client, log: log, issuer: issuer, path: "/.well-known/openid-configuration", adjust: adjust}
	if adjust == nil {
		d.adjust = func(m *Metadata) error { return m.CheckIssuer(issuer) }
	}
	d.Fact = outbound.NewFact(d.fetch)
	return d
}

// OfOAuth asks for what a provider that speaks OAuth 2.0 alone says of itself (RFC 8414).
func (d *Discovery) OfOAuth() *Discovery {
	d.path = "/.well-known/oauth-authorization-server"
	return d
}

// With adds a query to the address of the metadata, by which some providers choose the keys that they name there.
func (d *Discovery) With(query url.Values) *Discovery {
	d.query = "?" + query.Encode()
	return d
}

func (d *Discovery) fetch(ctx context.Context) (*Metadata, error) {
	address := strings.TrimSuffix(d.issuer, "/") + d.path + d.query
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
	if err := d.adjust(m); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	d.warn(ctx, append(odd, m.dropOdd()...))
	return m, nil
}

// needed are the members without which nobody can log in.
var needed = []string{"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}

// readMetadata reads what a provider says of itself, member by member: one that is not needed, and not what it should be, is
// left out, and named.
func readMetadata(body []byte) (m *Metadata, odd []string, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, nil, fmt.Errorf("it is no metadata: %w", err)
	}
	m = &Metadata{}
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
func (m *Metadata) dropOdd() []string {
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
func (d *Discovery) warn(ctx context.Context, odd []string) {
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
