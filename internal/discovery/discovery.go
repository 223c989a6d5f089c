// Package discovery tells applications where the endpoints are and what they support (OpenID Connect Discovery 1.0, RFC
// 8414, and the logout specifications of OpenID Connect), and publishes the signing keys.
package discovery

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dex/internal/oauth"
	"dex/internal/signing"
)

// maxAge is how long applications may cache the metadata.
const maxAge = 10 * time.Minute

// Keys is the signer's published side.
type Keys interface {
	JWKS() signing.Document
	Algorithms() []string
	MaxAge() time.Duration
}

// Config is what the metadata says.
type Config struct {
	Issuer           string // as configured
	IssuerURL        *url.URL
	NoIssuer         bool // whether answers of the authorization endpoint leave out iss
	Keys             Keys
	GrantTypes       []string
	ResponseTypes    []string
	ChallengeMethods []string
	Sessions         bool // browser sessions, and what ends them
	SessionIframe    bool // the page of Session Management
	ACRValues        []string
}

// metadata is the published document. Up to claims_supported the members and their order are upstream's.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint,omitempty"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint,omitempty"`
	BackchannelLogout     bool     `json:"backchannel_logout_supported,omitempty"`
	BackchannelSession    bool     `json:"backchannel_logout_session_supported,omitempty"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenSigningAlgs    []string `json:"id_token_signing_alg_values_supported"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	Scopes                []string `json:"scopes_supported"`
	TokenEndpointAuth     []string `json:"token_endpoint_auth_methods_supported"`
	Claims                []string `json:"claims_supported"`
	ClaimTypes            []string `json:"claim_types_supported"` // OpenID Connect Core, section 5.6
	ResponseModes         []string `json:"response_modes_supported"`
	PromptValues          []string `json:"prompt_values_supported"`
	AuthorizationIssuer   bool     `json:"authorization_response_iss_parameter_supported,omitempty"` // RFC 9207
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"` // true if absent
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`

	FrontchannelLogout        bool   `json:"frontchannel_logout_supported,omitempty"`
	FrontchannelLogoutSession bool   `json:"frontchannel_logout_session_supported,omitempty"`
	CheckSessionIframe        string `json:"check_session_iframe,omitempty"`

	ACRValues []string `json:"acr_values_supported,omitempty"`
}

// Discovery serves the documents from memory. They are rebuilt only when the keys change.
type Discovery struct {
	cfg   Config
	built atomic.Pointer[build]
}

// build is the metadata for a list of algorithms.
type build struct {
	algorithms []string
	document   signing.Document
}

// New returns a server of the documents.
func New(cfg Config) *Discovery { return &Discovery{cfg: cfg} }

// Metadata serves the discovery document, which is also the RFC 8414 metadata.
func (d *Discovery) Metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, err := d.metadata()
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		serve(w, r, document, maxAge)
	})
}

// Document returns the discovery document.
func (d *Discovery) Document() ([]byte, error) {
	document, err := d.metadata()
	return document.Body, err
}

// JWKS serves the published keys.
func (d *Discovery) JWKS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, d.cfg.Keys.JWKS(), d.cfg.Keys.MaxAge())
	})
}

func (d *Discovery) metadata() (signing.Document, error) {
	algorithms := d.cfg.Keys.Algorithms()
	if b := d.built.Load(); b != nil && slices.Equal(b.algorithms, algorithms) {
		return b.document, nil
	}
	document, err := signing.NewDocument(d.describe(algorithms))
	if err != nil {
		return signing.Document{}, err
	}
	d.built.Store(&build{algorithms: algorithms, document: document})
	return document, nil
}

func (d *Discovery) describe(algorithms []string) metadata {
	endpoint := func(p string) string { return d.cfg.IssuerURL.JoinPath(p).String() }
	m := metadata{
		Issuer:                d.cfg.Issuer,
		AuthorizationEndpoint: endpoint("auth"),
		TokenEndpoint:         endpoint("token"),
		JWKSURI:               endpoint("keys"),
		UserInfoEndpoint:      endpoint("userinfo"),
		IntrospectionEndpoint: endpoint("token/introspect"),
		GrantTypes:            d.cfg.GrantTypes,
		ResponseTypes:         d.cfg.ResponseTypes,
		SubjectTypes:          []string{"public"},
		IDTokenSigningAlgs:    algorithms,
		CodeChallengeMethods:  d.cfg.ChallengeMethods,
		Scopes: []string{
			oauth.ScopeOpenID, oauth.ScopeEmail, oauth.ScopeGroups, oauth.ScopeProfile, oauth.ScopeOfflineAccess,
			oauth.ScopeFederatedID,
		},
		TokenEndpointAuth: []string{"client_secret_basic", "client_secret_post", "none"},
		Claims: []string{
			"iss", "sub", "aud", "iat", "exp", "email", "email_verified", "name", "preferred_username", "at_hash",
			"groups", "federated_claims", "azp", "nonce", "auth_time", "c_hash", "jti", "amr",
		},
		// Any client, a stored one too, may have too many groups referred to instead of named.
		ClaimTypes:          []string{"normal", "distributed"},
		ResponseModes:       []string{oauth.ModeQuery, oauth.ModeFragment, oauth.ModeFormPost},
		PromptValues:        []string{"none", "login", "consent", "select_account"},
		AuthorizationIssuer: !d.cfg.NoIssuer,
		RevocationEndpoint:  endpoint("token/revoke"),
		RevocationAuth:      []string{"client_secret_basic", "client_secret_post", "none"},
		IntrospectionAuth:   []string{"client_secret_basic", "client_secret_post"},
	}
	if slices.Contains(d.cfg.GrantTypes, oauth.GrantDeviceCode) {
		m.DeviceEndpoint = endpoint("device/code")
	}
	if d.cfg.Sessions {
		m.EndSessionEndpoint = endpoint("logout")
		m.BackchannelLogout, m.BackchannelSession = true, true
		m.FrontchannelLogout, m.FrontchannelLogoutSession = true, true
		m.Claims = append(m.Claims, "sid")
	}
	if len(d.cfg.ACRValues) > 0 {
		m.ACRValues = d.cfg.ACRValues
		m.Claims = append(m.Claims, "acr")
	}
	if d.cfg.SessionIframe {
		m.CheckSessionIframe = endpoint("session/check")
	}
	return m
}

// serve answers with a document, or with 304 to clients that have it already (RFC 9110, section 13.1.2).
func serve(w http.ResponseWriter, r *http.Request, document signing.Document, maxAge time.Duration) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d, must-revalidate", int(maxAge/time.Second)))
	h.Set("ETag", document.ETag)
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, document.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", fmt.Sprint(len(document.Body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(document.Body) // the client hung up: nobody is left to tell
	}
}
