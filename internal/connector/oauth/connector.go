package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// connection is a connector to a provider.
type connection struct {
	cfg         *Config
	callbackURL string // where the provider sends the browser back
	callbackErr error  // why it can't
	log         *slog.Logger
	client      *http.Client
	tokens      *relyingparty.Client
	// inexact tells the operator once of ids that are not what the provider has.
	inexact sync.Once
}

var (
	_ connector.Callback  = (*connection)(nil)
	_ connector.Refresher = (*connection)(nil)
)

// Open makes the connector. It asks the provider nothing.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	callbackURL, err := relyingparty.CallbackURL(c.RedirectURI, env)
	if err != nil {
		env.Log.WarnContext(ctx, "nobody can log in", "err", err)
	}
	us := &relyingparty.Client{ID: c.ClientID, Secret: c.ClientSecret, Method: c.ClientAuthMethod}
	return &connection{
		cfg: c, callbackURL: callbackURL, callbackErr: err, log: env.Log, client: client, tokens: us.Over(client),
	}, nil
}

// Close lets go of idle connections.
func (c *connection) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// Begin implements connector.Callback.
func (c *connection) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	if c.callbackErr != nil {
		return connector.Redirect{}, c.callbackErr
	}
	target, err := url.Parse(c.cfg.AuthorizationURL)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("authorizationURL: %w", err)
	}
	params := target.Query()
	params.Set("client_id", c.cfg.ClientID)
	params.Set("redirect_uri", c.callbackURL)
	params.Set("response_type", "code")
	params.Set("state", r.State)
	if len(c.cfg.Scopes) > 0 {
		params.Set("scope", strings.Join(c.cfg.Scopes, " "))
	}
	verifier := relyingparty.Challenge(params, c.cfg.PKCEChallenge)
	target.RawQuery = params.Encode()
	return connector.Redirect{URL: target.String(), Data: []byte(verifier)}, nil
}

// HandleCallback implements connector.Callback.
func (c *connection) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	if err := relyingparty.CheckReturn(c.callbackURL, r); err != nil {
		return connector.Identity{}, err
	}
	answer := relyingparty.Answer(r.Request)
	if iss := answer.Get("iss"); c.cfg.Issuer != "" && iss != c.cfg.Issuer { // RFC 9207
		return connector.Identity{}, &connector.BadToken{
			Reason: "the answer is another provider's", Cause: fmt.Errorf("it has the iss %q, not %q, which is the issuer", iss, c.cfg.Issuer),
		}
	}
	if err := relyingparty.AnswerError(answer); err != nil {
		return connector.Identity{}, err
	}
	if answer.Get("code") == "" {
		return connector.Identity{}, &connector.BadToken{Reason: "the provider's answer has no code"}
	}
	params := url.Values{
		"grant_type": {oauth.GrantAuthorizationCode}, "code": {answer.Get("code")}, "redirect_uri": {c.callbackURL},
	}
	if len(r.Data) > 0 {
		params.Set("code_verifier", string(r.Data))
	}
	given, err := c.tokens.Ask(ctx, c.cfg.TokenURL, nil, params)
	if err != nil {
		return connector.Identity{}, relyingparty.CodeError(err)
	}
	id, err := c.identify(ctx, r.Scopes, given)
	if err == nil && r.Scopes.OfflineAccess {
		id.Data, err = encode(given)
	}
	return id, err
}

// stored is what is kept of a login. Upstream keeps the first of them only, and never uses it.
type stored struct {
	AccessToken  string `json:"AccessToken"`
	RefreshToken string `json:"RefreshToken,omitempty"`
}

// maxStored bounds what is kept, in bytes.
const maxStored = 64 << 10

func encode(t *relyingparty.Tokens) ([]byte, error) {
	data, err := json.Marshal(stored{t.Access, t.Refresh})
	if err != nil {
		return nil, fmt.Errorf("encode tokens: %w", err)
	}
	if len(data) > maxStored {
		return nil, fmt.Errorf("the provider's tokens are longer than %d bytes", maxStored)
	}
	return data, nil
}

// Rotates implements connector.Rotating: many providers' refresh tokens work once.
func (c *connection) Rotates() {}

// Refresh implements connector.Refresher: with a new access token if the provider gave a refresh token, else with the old
// one as long as it is good.
func (c *connection) Refresh(ctx context.Context, s connector.Scopes, last connector.Identity) (connector.Identity, error) {
	var kept stored
	if err := json.Unmarshal(last.Data, &kept); err != nil || kept == (stored{}) {
		return connector.Identity{}, fmt.Errorf("%w: nothing was kept of the login", connector.ErrGone)
	}
	given := &relyingparty.Tokens{Access: kept.AccessToken, Type: "Bearer", Refresh: kept.RefreshToken}
	if kept.RefreshToken != "" {
		fresh, err := c.tokens.Ask(ctx, c.cfg.TokenURL, nil, url.Values{
			"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {kept.RefreshToken},
		})
		if err != nil {
			return connector.Identity{}, relyingparty.RefreshError(err)
		}
		if fresh.Refresh == "" {
			fresh.Refresh = kept.RefreshToken
		}
		given = fresh
	}
	data, err := encode(given)
	if err != nil {
		return connector.Identity{}, err
	}
	id, err := c.identify(ctx, s, given)
	switch {
	case errors.Is(err, errUnauthorized):
		err = fmt.Errorf("%w: %w", connector.ErrGone, err)
	case err == nil && id.UserID != last.UserID:
		err = fmt.Errorf("%w: the provider answers for another user", connector.ErrGone)
	}
	if err != nil {
		id = connector.Identity{}
	}
	id.Data = data // the old tokens may be worth nothing any more, whatever else fails
	return id, err
}
