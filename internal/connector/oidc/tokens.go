package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/outbound"
)

// tokens is the answer of the provider's token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// A refusal is an error of the provider's token endpoint (RFC 6749, section 5.2).
type refusal struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("the provider answers %d %s %q", r.Status, r.Code, r.Description)
}

// tokenRequests are requests to the token endpoint, in our own name.
type tokenRequests struct {
	cfg    *Config
	client *http.Client
	// inBody remembers that the provider wants the secret in the body.
	inBody atomic.Bool
}

func newTokenRequests(cfg *Config, client *http.Client) *tokenRequests {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // with our secret to nowhere else
	return &tokenRequests{cfg: cfg, client: &direct}
}

// ask makes a request. A *refusal says that the provider refuses it.
func (t *tokenRequests) ask(ctx context.Context, m *metadata, params url.Values) (*tokens, error) {
	method, sure := t.authMethod(m)
	answer, err := t.askBy(ctx, m, method, params)
	var refused *refusal
	if sure || method != authBasic || !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return answer, err
	}
	// Once more in the other way: a provider that did not know who asked has not looked at the code.
	if answer, err = t.askBy(ctx, m, authPost, params); err == nil {
		t.inBody.Store(true)
	}
	return answer, err
}

// authMethod returns how to show who we are, and whether that is sure to be the provider's way.
func (t *tokenRequests) authMethod(m *metadata) (method string, sure bool) {
	c := t.cfg
	switch {
	case c.ClientAuthMethod != "":
		return c.ClientAuthMethod, true
	case c.ClientSecret == "":
		return authNone, true
	case c.BasicAuthUnsupported != nil && *c.BasicAuthUnsupported, c.BasicAuthUnsupported == nil && isOkta(c.Issuer), t.inBody.Load():
		return authPost, true
	case len(m.AuthMethods) == 0:
		return authBasic, false
	case !slices.Contains(m.AuthMethods, authBasic) && slices.Contains(m.AuthMethods, authPost):
		return authPost, true
	}
	return authBasic, false
}

// isOkta reports whether a provider is one that is known to refuse the secret in the header.
func isOkta(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	host := "." + u.Hostname()
	return strings.HasSuffix(host, ".okta.com") || strings.HasSuffix(host, ".oktapreview.com")
}

func (t *tokenRequests) askBy(ctx context.Context, m *metadata, method string, params url.Values) (*tokens, error) {
	if m.TokenURL == "" {
		return nil, errors.New("the provider's metadata have no token_endpoint")
	}
	form := url.Values{}
	for name, values := range params {
		form[name] = values
	}
	switch method {
	case authPost:
		form.Set("client_id", t.cfg.ClientID)
		form.Set("client_secret", t.cfg.ClientSecret)
	case authNone:
		form.Set("client_id", t.cfg.ClientID)
	case authPrivateKey:
		assertion, err := t.assertion(m)
		if err != nil {
			return nil, err
		}
		form.Set("client_id", t.cfg.ClientID)
		form.Set("client_assertion", assertion)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("token request: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if method == authBasic { // RFC 6749, section 2.3.1
		r.SetBasicAuth(url.QueryEscape(t.cfg.ClientID), url.QueryEscape(t.cfg.ClientSecret))
	}
	answer, err := outbound.Do(t.client, r)
	if err != nil {
		return nil, fmt.Errorf("token request: %w", err)
	}
	return readTokens(answer)
}

// readTokens reads an answer, in JSON or as a form, as old providers have it.
func readTokens(answer *outbound.Answer) (*tokens, error) {
	var t tokens
	var e refusal
	if kind := answer.MediaType(); kind == "application/x-www-form-urlencoded" || kind == "text/plain" {
		form, err := url.ParseQuery(string(answer.Body))
		if err != nil {
			return nil, fmt.Errorf("token request: the answer is no form: %w", err)
		}
		t = tokens{form.Get("access_token"), form.Get("token_type"), form.Get("refresh_token"), form.Get("id_token")}
		e = refusal{Code: form.Get("error"), Description: form.Get("error_description")}
	} else {
		_ = json.Unmarshal(answer.Body, &e) // of a proxy, perhaps: then the status says enough
		if err := json.Unmarshal(answer.Body, &t); err != nil && answer.Status == http.StatusOK && e.Code == "" {
			return nil, fmt.Errorf("token request: the answer can't be read: %w", err)
		}
	}
	e.Status = answer.Status
	switch {
	case e.Status < http.StatusOK || e.Status >= http.StatusMultipleChoices || e.Code != "":
		return nil, &e
	case t.Access == "":
		return nil, errors.New("token request: the answer has no access_token")
	}
	return &t, nil
}

// assertionLife is how long the provider may take to read what we have signed.
const assertionLife = time.Minute

// assertion returns a token that says who we are (RFC 7523, section 2.2). The key is read each time, as it may change.
func (t *tokenRequests) assertion(m *metadata) (string, error) {
	key, alg, err := readKey(t.cfg.ClientKey)
	if err != nil {
		return "", fmt.Errorf("clientKey: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("clientKey: %w", err)
	}
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": t.cfg.ClientID, "sub": t.cfg.ClientID, "aud": m.TokenURL, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	return signed.CompactSerialize()
}

func readKey(path string) (crypto.Signer, jose.SignatureAlgorithm, error) {
	text, err := os.ReadFile(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, "", fmt.Errorf("%s is no PEM", path)
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s is no private key", path)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, jose.RS256, nil
	case *ecdsa.PrivateKey:
		if key.Curve.Params().BitSize == 256 { //nolint:mnd // P-256, the curve of ES256
			return key, jose.ES256, nil
		}
	}
	return nil, "", fmt.Errorf("%s must be an RSA key or one of P-256", path)
}
