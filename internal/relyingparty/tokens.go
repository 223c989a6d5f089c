package relyingparty

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

// Tokens is the answer of a provider's token endpoint.
type Tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// A Refusal is an error of the provider's token endpoint (RFC 6749, section 5.2).
type Refusal struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("the provider answers %d %s %q", r.Status, r.Code, r.Description)
}

// Ways to show a provider who we are (OpenID Connect Core, section 9).
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none"
)

// A Client makes requests to token endpoints in our own name. It is safe for concurrent use.
type Client struct {
	ID, Secret string
	Method     string // one of the ways above; empty to find out
	Key        string // path of a private key in PEM, for AuthPrivateKey

	http   *http.Client
	inBody atomic.Bool // the provider wants the secret in the body
}

// Over makes the client use an HTTP client.
func (c *Client) Over(client *http.Client) *Client {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // with our secret to nowhere else
	c.http = &direct
	return c
}

// Ask makes a request to a token endpoint whose provider says that it has the methods of authentication. A *Refusal says that
// the provider refuses it.
func (c *Client) Ask(ctx context.Context, endpoint string, methods []string, params url.Values) (*Tokens, error) {
	method, sure := c.method(methods)
	answer, err := c.ask(ctx, endpoint, method, params)
	var refused *Refusal
	if sure || !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return answer, err
	}
	// Once more in the other way: a provider that did not know who asked has not looked at the code.
	if answer, err = c.ask(ctx, endpoint, AuthPost, params); err == nil {
		c.inBody.Store(true)
	}
	return answer, err
}

// method returns how to show who we are, and whether that is sure to be the provider's way.
func (c *Client) method(methods []string) (method string, sure bool) {
	switch {
	case c.Method != "":
		return c.Method, true
	case c.Secret == "":
		return AuthNone, true
	case c.inBody.Load():
		return AuthPost, true
	case len(methods) == 0:
		return AuthBasic, false
	case !slices.Contains(methods, AuthBasic) && slices.Contains(methods, AuthPost):
		return AuthPost, true
	}
	return AuthBasic, false
}

func (c *Client) ask(ctx context.Context, endpoint, method string, params url.Values) (*Tokens, error) {
	if endpoint == "" {
		return nil, errors.New("token request: the provider has no token endpoint")
	}
	answer, err := c.post(ctx, endpoint, method, params)
	if err != nil {
		return nil, fmt.Errorf("token request: %w", err)
	}
	return readTokens(answer)
}

// post sends a form to an endpoint of the provider, and shows who we are.
func (c *Client) post(ctx context.Context, endpoint, method string, params url.Values) (*outbound.Answer, error) {
	form := url.Values{}
	for name, values := range params {
		form[name] = values
	}
	switch method {
	case AuthPost:
		form.Set("client_id", c.ID)
		form.Set("client_secret", c.Secret)
	case AuthNone:
		form.Set("client_id", c.ID)
	case AuthPrivateKey:
		assertion, err := c.assertion(endpoint)
		if err != nil {
			return nil, err
		}
		form.Set("client_id", c.ID)
		form.Set("client_assertion", assertion)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if method == AuthBasic { // RFC 6749, section 2.3.1
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return outbound.Do(c.http, r)
}

// readTokens reads an answer, in JSON or as a form, as old providers have it.
func readTokens(answer *outbound.Answer) (*Tokens, error) {
	var t Tokens
	var e Refusal
	if kind := answer.MediaType(); kind == "application/x-www-form-urlencoded" || kind == "text/plain" {
		form, err := url.ParseQuery(string(answer.Body))
		if err != nil {
			return nil, fmt.Errorf("token request: the answer is no form: %w", err)
		}
		t = Tokens{form.Get("access_token"), form.Get("token_type"), form.Get("refresh_token"), form.Get("id_token")}
		e = Refusal{Code: form.Get("error"), Description: form.Get("error_description")}
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
func (c *Client) assertion(endpoint string) (string, error) {
	key, alg, err := ReadKey(c.Key)
	if err != nil {
		return "", fmt.Errorf("clientKey: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("clientKey: %w", err)
	}
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": c.ID, "sub": c.ID, "aud": endpoint, "jti": rand.Text(),
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

// ReadKey reads a private key that tokens can be signed with: RSA, or of P-256.
func ReadKey(path string) (crypto.Signer, jose.SignatureAlgorithm, error) {
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
