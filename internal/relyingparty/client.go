package relyingparty

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/outbound"
)

// Ways to authenticate to a provider (OpenID Connect Core, section 9).
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthSecretJWT  = "client_secret_jwt"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none"
)

// A Client makes requests to providers in our own name. It is safe for concurrent use.
type Client struct {
	ID, Secret   string
	Method       string                  // one of the ways above; empty to find out
	Key          string                  // path of a private key in PEM, for AuthPrivateKey
	KeyAlgorithm jose.SignatureAlgorithm // of what the key signs; empty for the usual one of its type
	// SecretFile is the path of a file that has the secret; empty for Secret.
	SecretFile string
	// AssertionFile is the path of an assertion that somebody else has made, for AuthPrivateKey; empty to sign by the key.
	AssertionFile string

	http  *http.Client
	known atomic.Pointer[string] // the way that has worked; nil before
}

// Over makes the client use an HTTP client.
func (c *Client) Over(client *http.Client) *Client {
	c.http = client
	return c
}

// Own returns what takes the place of an access token in calls to an API that knows us by our id and secret (RFC 7617).
func (c *Client) Own() *Tokens {
	return &Tokens{Type: "Basic", Access: base64.StdEncoding.EncodeToString([]byte(c.ID + ":" + c.Secret))}
}

// method returns how to authenticate, and whether nothing else should be tried.
func (c *Client) method(methods []string) (method string, sure bool) {
	if c.Method != "" {
		return c.Method, true
	}
	if c.Secret == "" && c.SecretFile == "" {
		return AuthNone, true
	}
	if known := c.known.Load(); known != nil {
		return *known, false
	}
	if !slices.Contains(methods, AuthBasic) && slices.Contains(methods, AuthPost) {
		return AuthPost, true
	}
	return AuthBasic, false
}

// eitherWay makes a request, and repeats it with the secret in the other place if it is refused and it is not known yet what
// the provider wants: providers rarely answer invalid_client to a secret in the wrong place. It makes two requests at most, and
// remembers what has worked, because some providers take a code that comes twice for a stolen one.
func (c *Client) eitherWay(methods []string, ask func(method string) error) error {
	method, sure := c.method(methods)
	err := ask(method)
	if err == nil {
		c.remember(method)
		return nil
	}
	refused, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	if sure || !c.worthAnother(refused) {
		return refused.classified()
	}
	other := AuthPost
	if method == AuthPost {
		other = AuthBasic
	}
	otherErr := ask(other)
	if otherErr == nil {
		c.remember(other)
		return nil
	}
	again, ok := errors.AsType[*Refusal](otherErr)
	if !ok {
		return otherErr
	}
	return fmt.Errorf("%w (%s: %s; %s: %s)", moreTelling(refused, again).classified(), method, short(refused.Code), other, short(again.Code))
}

func (c *Client) remember(method string) {
	if known := c.known.Load(); known == nil || *known != method {
		c.known.Store(&method)
	}
}

// worthAnother reports whether a refusal may be due to how we have authenticated. Once a way has worked, only invalid_client may
// be.
func (c *Client) worthAnother(r *Refusal) bool {
	if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
		return false
	}
	return c.known.Load() == nil || r.Code == "invalid_client"
}

// moreTelling returns which of two refusals of one request is about the request, and not about our authentication.
func moreTelling(first, second *Refusal) *Refusal {
	if first.Code != "invalid_grant" && (second.Code == "invalid_grant" || first.Code == "invalid_client" || first.Code == "") {
		return second
	}
	return first
}

// post sends a form to an endpoint of the provider, and authenticates. Assertions are made for the audience.
func (c *Client) post(ctx context.Context, endpoint, audience, method string, params url.Values) (*outbound.Answer, error) {
	form := url.Values{}
	for name, values := range params {
		form[name] = values
	}
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	switch method {
	case AuthPost:
		form.Set("client_id", c.ID)
		form.Set("client_secret", secret)
	case AuthNone:
		if c.ID != "" {
			form.Set("client_id", c.ID)
		}
	case AuthPrivateKey, AuthSecretJWT:
		assertion, err := c.assertion(method, audience)
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
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(secret))
	}
	return outbound.Do(c.http, r)
}

// secret returns the secret. A file is read each time, as it may change.
func (c *Client) secret() (string, error) {
	if c.SecretFile == "" {
		return c.Secret, nil
	}
	text, err := outbound.ReadFile(c.SecretFile)
	if err != nil {
		return "", fmt.Errorf("client secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("client secret: %s is empty", c.SecretFile)
	}
	return secret, nil
}

// CheckSecret reports what is wrong with the file that has the secret, if there is one.
func (c *Client) CheckSecret() error {
	_, err := c.secret()
	return err
}
