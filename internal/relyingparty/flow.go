package relyingparty

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"dex/internal/connector"
	"dex/internal/oauth"
)

// An Endpoint is an address of a provider at which we authenticate.
type Endpoint struct {
	URL string
	// Methods are the ways of client authentication that the provider says it has; nil where it doesn't say.
	Methods []string
}

// A Flow is the authorization code grant at a provider (RFC 6749, section 4.1).
type Flow struct {
	Client    *Client
	AuthURL   string
	Tokens    Endpoint
	Callback  Callback
	Challenge string // one of the values of pkceChallenge
	Issuer    string // what answers must have as iss (RFC 9207); empty where they need none
}

// Begin sends the browser to the provider. More parameters are added to the usual ones, and may replace them.
func (f *Flow) Begin(state string, scopes []string, more url.Values) (connector.Redirect, error) {
	callbackURL, err := f.Callback.URL()
	if err != nil {
		return connector.Redirect{}, err
	}
	params := url.Values{"client_id": {f.Client.ID}, "redirect_uri": {callbackURL}, "response_type": {"code"}, "state": {state}}
	if len(scopes) > 0 {
		params.Set("scope", strings.Join(scopes, " "))
	}
	for name, values := range more {
		params[name] = values
	}
	verifier := Challenge(params, f.Challenge)
	target, err := WithParams(f.AuthURL, params)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("authorization endpoint: %w", err)
	}
	return connector.Redirect{URL: target, Data: []byte(verifier)}, nil
}

// Finish reads the answer that the browser brings, and redeems its code.
func (f *Flow) Finish(ctx context.Context, r connector.Return) (*Tokens, error) {
	if err := f.Callback.Check(r); err != nil {
		return nil, err
	}
	answer := Answer(r.Request)
	if iss := answer.Get("iss"); f.Issuer != "" && iss != f.Issuer {
		return nil, otherProvider(fmt.Errorf("it has the iss %q, not %q, which is the issuer", iss, f.Issuer))
	}
	if err := CheckAnswer(answer); err != nil {
		return nil, err
	}
	return f.Client.Redeem(ctx, f.Tokens, f.Callback, answer.Get("code"), string(r.Data))
}

// Renew returns new tokens for a refresh token.
func (f *Flow) Renew(ctx context.Context, refreshToken string) (*Tokens, error) {
	return f.Client.Renew(ctx, f.Tokens, refreshToken)
}

// WithParams adds parameters to an address, which may have some already. Those that it has are replaced.
func WithParams(address string, params url.Values) (string, error) {
	target, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	query := target.Query()
	for name, values := range params {
		query[name] = values
	}
	target.RawQuery = query.Encode()
	return target.String(), nil
}

// Redeem exchanges a code for tokens. A *connector.BadToken says that the provider refuses the code.
func (c *Client) Redeem(ctx context.Context, at Endpoint, callback Callback, code, verifier string) (*Tokens, error) {
	params := url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {callback.url}}
	if verifier != "" {
		params.Set("code_verifier", verifier)
	}
	given, err := c.Ask(ctx, at, params)
	return given, codeError(err)
}

// Renew exchanges a refresh token for new tokens, among them the old refresh token where there is no new one. The error is
// connector.ErrGone where the user has to sign in again.
func (c *Client) Renew(ctx context.Context, at Endpoint, refreshToken string) (*Tokens, error) {
	given, err := c.Ask(ctx, at, url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {refreshToken}})
	if err != nil {
		return nil, refreshError(err)
	}
	if given.Refresh == "" {
		given.Refresh = refreshToken
	}
	return given, nil
}
