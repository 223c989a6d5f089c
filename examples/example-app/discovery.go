package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// discoveryPause is the pause between two attempts to reach the provider.
const discoveryPause = 500 * time.Millisecond

// metadata is the part of the discovery document (OpenID Connect Discovery
// 1.0, section 3) that we need and go-oidc doesn't read.
type metadata struct {
	Issuer             string   `json:"issuer"`
	Scopes             []string `json:"scopes_supported"`
	GrantTypes         []string `json:"grant_types_supported"`
	TokenAuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	EndSessionEndpoint string   `json:"end_session_endpoint"`
	PromptValues       []string `json:"prompt_values_supported"`
	ACRValues          []string `json:"acr_values_supported"`
	// ResponseIssuer promises `iss` in every authorization response (RFC 9207).
	ResponseIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// supportsGrant is true for every grant type if none is advertised.
func (m metadata) supportsGrant(grantType string) bool {
	return len(m.GrantTypes) == 0 || slices.Contains(m.GrantTypes, grantType)
}

// discover reads the provider's metadata. It tries again while the provider
// may still be starting, until ctx ends.
func discover(ctx context.Context, opts options, client *http.Client, progress io.Writer) (*provider, error) {
	clientCtx := oidc.ClientContext(ctx, client)
	var failure error
	for {
		found, err := oidc.NewProvider(clientCtx, opts.issuer)
		if err == nil {
			return newProvider(opts, found, client)
		}
		if hint := permanentFailure(err); hint != "" {
			return nil, fmt.Errorf("provider %s: %s: %w", opts.issuer, hint, err)
		}
		if failure == nil {
			_, _ = fmt.Fprintf(progress, "waiting for the provider at %s\n", opts.issuer)
		}
		// Once time is up, the previous attempt's error says more than a timeout.
		if failure == nil || ctx.Err() == nil {
			failure = err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("provider %s: no discovery document: %w", opts.issuer, failure)
		case <-time.After(discoveryPause):
		}
	}
}

// permanentFailure says what is wrong if waiting will not help; empty otherwise.
func permanentFailure(err error) string {
	if _, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return "--issuer must be exactly what the provider calls itself"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not trusted, see --issuer-root-ca"
	}
	return ""
}

func newProvider(opts options, found *oidc.Provider, client *http.Client) (*provider, error) {
	p := &provider{oidc: found, client: client}
	if err := found.Claims(&p.metadata); err != nil {
		return nil, fmt.Errorf("provider %s: discovery document: %w", opts.issuer, err)
	}
	endpoint := found.Endpoint()
	for member, value := range map[string]string{
		"authorization_endpoint": endpoint.AuthURL,
		"token_endpoint":         endpoint.TokenURL,
	} {
		if _, err := webURL(value); err != nil {
			return nil, fmt.Errorf("provider %s: discovery document: %s: %w", opts.issuer, member, err)
		}
	}
	// Sign-out redirects browsers to this address, so it must be one.
	if _, err := webURL(p.metadata.EndSessionEndpoint); err != nil {
		p.metadata.EndSessionEndpoint = ""
	}

	endpoint.AuthStyle = authStyle(p.metadata.TokenAuthMethods, opts.clientSecret)
	p.oauth2 = oauth2.Config{
		ClientID:     opts.clientID,
		ClientSecret: opts.clientSecret,
		Endpoint:     endpoint,
		RedirectURL:  opts.redirectURI.String(),
	}
	p.verifier = found.Verifier(&oidc.Config{ClientID: opts.clientID})
	return p, nil
}

// authStyle chooses how to authenticate at the token endpoint. By default
// x/oauth2 tries both ways, and would send a refused code twice.
func authStyle(methods []string, secret string) oauth2.AuthStyle {
	if secret == "" {
		return oauth2.AuthStyleInParams
	}
	// Without the member, client_secret_basic is the default.
	if len(methods) == 0 || slices.Contains(methods, "client_secret_basic") {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}
