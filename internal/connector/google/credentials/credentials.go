// Package credentials is who we are at Google's APIs: a service account, or a user, whose access tokens it gets and keeps.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// An Env is what credentials need of their surroundings.
type Env struct {
	HTTP   *http.Client
	Direct *http.Client // for what is near this machine; no proxy is in between
	// IAM is the address of the API that signs for service accounts (iamcredentials.googleapis.com).
	IAM string
	// TokenURL returns the address of Google's token endpoint.
	TokenURL func(context.Context) (string, error)
}

// An origin is an identity that gets access tokens.
type origin interface {
	// token returns an access token of the identity itself.
	token(ctx context.Context, scope string) (*relyingparty.Tokens, error)
}

// A signer is an origin that is a service account, and can sign as such.
type signer interface {
	origin
	email(ctx context.Context) (string, error)
	// sign returns a JWT.
	sign(ctx context.Context, claims map[string]any) (string, error)
	// tokenURL is where what is signed is exchanged for an access token.
	tokenURL(ctx context.Context) (string, error)
}

// Credentials get access tokens for Google's APIs, and keep each until it ends. They are safe for concurrent use.
type Credentials struct {
	// From says where they are from, for the log.
	From string
	// Header is what calls by the tokens must have; nil for nothing.
	Header http.Header

	env    Env
	origin origin
	asking outbound.Shared[*relyingparty.Tokens]

	mu   sync.Mutex // guards the rest, never held over I/O
	kept map[question]*relyingparty.Tokens
}

// A question is what a token is for.
type question struct{ subject, scope string }

// Close lets go of idle connections.
func (c *Credentials) Close() { c.env.Direct.CloseIdleConnections() }

// CanActFor returns why the credentials can't act for users; nil if they can.
func (c *Credentials) CanActFor() error {
	if _, ok := c.origin.(signer); ok {
		return nil
	}
	return fmt.Errorf("the credentials of %s are no service account, and so can't act for an administrator", c.From)
}

// Token returns an access token for a scope: of the subject, a user for whom the service account may act (domain-wide
// delegation), or of the service account itself where the subject is empty.
func (c *Credentials) Token(ctx context.Context, subject, scope string) (*relyingparty.Tokens, error) {
	q := question{subject, scope}
	if known := c.known(q); known != nil {
		return known, nil
	}
	return c.asking.Ask(ctx, subject+" "+scope, func(ctx context.Context) (*relyingparty.Tokens, error) {
		given, err := c.ask(ctx, q)
		if err != nil {
			return nil, relyingparty.InOurName(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.kept == nil {
			c.kept = map[question]*relyingparty.Tokens{}
		}
		c.kept[q] = given
		return given, nil
	})
}

func (c *Credentials) known(q question) *relyingparty.Tokens {
	c.mu.Lock()
	defer c.mu.Unlock()
	if given := c.kept[q]; given != nil && given.Usable() {
		return given
	}
	return nil
}

// Forget drops a token that Google no longer takes.
func (c *Credentials) Forget(given *relyingparty.Tokens) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for q, known := range c.kept {
		if known == given {
			delete(c.kept, q)
		}
	}
}

func (c *Credentials) ask(ctx context.Context, q question) (*relyingparty.Tokens, error) {
	if q.subject == "" {
		given, err := c.origin.token(ctx, q.scope)
		if err != nil {
			return nil, fmt.Errorf("access token of %s: %w", c.From, err)
		}
		return given, nil
	}
	account, ok := c.origin.(signer)
	if !ok {
		return nil, c.CanActFor()
	}
	given, err := c.env.asserted(ctx, account, q)
	if err != nil {
		return nil, fmt.Errorf("access token of %s, which acts for %s: %w", c.From, q.subject, err)
	}
	return given, nil
}

// Bounds of what we sign. Google allows an hour, and clocks may differ.
const (
	assertionLife = time.Hour
	clockSkew     = 10 * time.Second
)

// asserted gets a token by what a service account has signed (RFC 7523, section 2.1).
func (e *Env) asserted(ctx context.Context, account signer, q question) (*relyingparty.Tokens, error) {
	at, err := account.tokenURL(ctx)
	if err != nil {
		return nil, err
	}
	email, err := account.email(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	claims := map[string]any{
		"iss": email, "scope": q.scope, "aud": at,
		"iat": now.Add(-clockSkew).Unix(), "exp": now.Add(assertionLife - clockSkew).Unix(),
	}
	if q.subject != "" {
		claims["sub"] = q.subject
	}
	assertion, err := account.sign(ctx, claims)
	if err != nil {
		return nil, err
	}
	us := (&relyingparty.Client{Method: relyingparty.AuthNone}).Over(e.HTTP)
	return post(ctx, us, at, map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion,
	})
}

// post asks a token endpoint.
func post(ctx context.Context, us *relyingparty.Client, at string, params map[string]string) (*relyingparty.Tokens, error) {
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	return us.Ask(ctx, relyingparty.Endpoint{URL: at}, form)
}

var errNoToken = errors.New("the answer has no access token")
