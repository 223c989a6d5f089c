package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/outbound"
	"dex/internal/relyingparty"
)

// connection is a connector to a provider.
type connection struct {
	relyingparty.Logout
	cfg       *Config
	callback  relyingparty.Callback
	log       *slog.Logger
	client    *http.Client
	discovery *relyingparty.Discovery
	keys      *relyingparty.Keys
	idTokens  *relyingparty.IDTokens
	tokens    *relyingparty.Client
}

var (
	_ connector.Callback       = (*connection)(nil)
	_ connector.Refresher      = (*connection)(nil)
	_ connector.TokenIdentity  = (*connection)(nil)
	_ connector.Logout         = (*connection)(nil)
	_ connector.LogoutReceiver = (*connection)(nil)
	_ connector.Prober         = (*connection)(nil)
)

// Open makes the connector. It asks the provider nothing yet.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	us := c.client().Over(client)
	if err := us.CheckKey(); err != nil {
		return nil, fmt.Errorf("clientKey: %w", err)
	}
	if c.DecryptionKey != "" {
		if _, err := relyingparty.ReadDecryptionKeys(c.DecryptionKey); err != nil {
			return nil, fmt.Errorf("decryptionKey: %w", err)
		}
	}
	keys := &relyingparty.Keys{Client: client, MaxAge: c.maxKeyAge(), IgnoreUse: c.InsecureIgnoreKeyUse}
	conn := &connection{
		cfg: c, callback: relyingparty.NewCallback(ctx, c.RedirectURI, env), log: env.Log, client: client,
		discovery: relyingparty.NewDiscovery(client, env.Log, c.Issuer, c.adjust),
		keys:      keys,
		idTokens:  c.idTokens(keys),
		tokens:    us,
	}
	conn.Logout = relyingparty.Logout{Discovery: conn.discovery, Tokens: conn.idTokens, Opened: conn.opened, Env: env}
	return conn, nil
}

// Probe reads what the provider says of itself, anew each time, so that changes are noticed.
func (c *connection) Probe(ctx context.Context) error {
	_, err := c.discovery.Read(ctx)
	return err
}

// Close lets go of idle connections.
func (c *connection) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// trip is what has to be known when the browser comes back. The names of the first two are upstream's, and what the first
// has is the verifier.
type trip struct {
	Verifier string `json:"codeChallenge,omitempty"`
	Method   string `json:"codeChallengeMethod,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
}

// Hints for the second departure of a login.
const withoutOffline = "without " + oauth.ScopeOfflineAccess

// Begin implements connector.Callback.
func (c *connection) Begin(ctx context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	if c.cfg.ClientID == "" {
		return connector.Redirect{}, errors.New("the connector has no clientID: it exchanges tokens only")
	}
	callbackURL, err := c.callback.URL()
	if err != nil {
		return connector.Redirect{}, err
	}
	m, err := c.discovery.Get(ctx)
	if err != nil {
		return connector.Redirect{}, err
	}
	if !outbound.IsURL(m.AuthURL) {
		return connector.Redirect{}, fmt.Errorf("the provider's authorization_endpoint is %q", m.AuthURL)
	}
	params, t := c.request(m, callbackURL, r)
	data, err := json.Marshal(t)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("encode login: %w", err)
	}
	if params, err = c.pushed(ctx, m, params); err != nil {
		err = c.withoutOfflineIf(relyingparty.RefusalCode(err), err)
		if again, ok := errors.AsType[*connector.Again](err); ok && r.Again == "" { // no need to bother the browser
			r.Again = again.Hint
			return c.Begin(ctx, r)
		}
		return connector.Redirect{}, err
	}
	target, err := relyingparty.WithParams(m.AuthURL, params)
	return connector.Redirect{URL: target, Data: data}, err
}

// request returns the parameters of an authorization request (OpenID Connect Core, section 3.1.2.1), and what has to be known
// when the browser comes back.
func (c *connection) request(m *relyingparty.Metadata, callbackURL string, r connector.LoginRequest) (url.Values, trip) {
	params := url.Values{
		"client_id": {c.cfg.ClientID}, "redirect_uri": {callbackURL}, "response_type": {"code"}, "state": {r.State},
		"scope": {strings.Join(c.scopesFor(r), " ")},
	}
	var t trip
	if !c.cfg.InsecureSkipNonce {
		t.Nonce = rand.Text()
		params.Set("nonce", t.Nonce)
	}
	c.wish(params, r)
	t.Method = c.cfg.challengeMethod(m)
	t.Verifier = relyingparty.Challenge(params, t.Method)
	return params, t
}

// pushed leaves the parameters with a provider that wants that (RFC 9126), and returns those that the browser takes along.
func (c *connection) pushed(ctx context.Context, m *relyingparty.Metadata, params url.Values) (url.Values, error) {
	switch {
	case c.cfg.PushedRequests == pushNever, c.cfg.PushedRequests != pushAlways && !m.RequiresPushed:
		return params, nil
	case m.PushURL == "":
		return nil, errors.New("the provider's metadata have no pushed_authorization_request_endpoint")
	}
	uri, err := c.tokens.Push(ctx, relyingparty.Endpoint{URL: m.PushURL, Methods: m.AuthMethods}, m.TokenURL, params)
	if err != nil {
		return nil, err
	}
	return url.Values{"client_id": {c.cfg.ClientID}, "request_uri": {uri}}, nil
}

// scopesFor returns the scopes of a login.
func (c *connection) scopesFor(r connector.LoginRequest) []string {
	scopes := append([]string{oauth.ScopeOpenID}, c.cfg.scopes()...)
	if r.Again == withoutOffline {
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return s == oauth.ScopeOfflineAccess })
	}
	return scopes
}

// withoutOfflineIf has a login begin once more, without offline_access, where the provider refuses that to this user or client:
// an error of the scope, or Keycloak's not_allowed. The user gets in, though nothing prolongs the login.
func (c *connection) withoutOfflineIf(code string, err error) error {
	refused := code == oauth.InvalidScope || code == "not_allowed"
	if !refused || !slices.Contains(c.cfg.scopes(), oauth.ScopeOfflineAccess) {
		return err
	}
	return &connector.Again{Cause: err, Hint: withoutOffline}
}

// wish adds how the user is to be asked: as the application wants it, else as is configured. Many providers take one prompt
// only, so the two are not joined.
func (c *connection) wish(params url.Values, r connector.LoginRequest) {
	if r.Scopes.OfflineAccess {
		params.Set("access_type", "offline")
		params.Set("prompt", c.cfg.promptType()) // an empty one is sent, as upstream does
	}
	if len(r.Prompt) > 0 {
		params.Set("prompt", strings.Join(r.Prompt, " "))
	}
	acr := slices.Clone(c.cfg.ACRValues)
	for word := range strings.FieldsSeq(r.ACRValues) {
		if !slices.Contains(acr, word) {
			acr = append(acr, word)
		}
	}
	if r.MaxAge != nil {
		params.Set("max_age", strconv.FormatInt(int64(*r.MaxAge/time.Second), 10))
	}
	for name, value := range map[string]string{
		"acr_values": strings.Join(acr, " "), "login_hint": r.LoginHint, "ui_locales": r.UILocales, "response_mode": c.cfg.ResponseMode,
	} {
		if value != "" {
			params.Set(name, value)
		}
	}
}

// challengeMethod returns how the code is bound to us (RFC 7636): as configured, or the best that the provider has.
func (c *Config) challengeMethod(m *relyingparty.Metadata) string {
	switch {
	case c.PKCEChallenge != "":
		return c.PKCEChallenge
	case slices.Contains(m.ChallengeMethods, relyingparty.ChallengeS256):
		return relyingparty.ChallengeS256
	case slices.Contains(m.ChallengeMethods, relyingparty.ChallengePlain):
		return relyingparty.ChallengePlain
	case c.InsecureSkipNonce: // then nothing else binds the code to this login
		return relyingparty.ChallengeS256
	}
	return relyingparty.ChallengeNone
}

// HandleCallback implements connector.Callback.
func (c *connection) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	if err := c.callback.Check(r); err != nil {
		return connector.Identity{}, err
	}
	var t trip
	if err := json.Unmarshal(r.Data, &t); err != nil {
		return connector.Identity{}, fmt.Errorf("decode login: %w", err)
	}
	m, err := c.discovery.Get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	answer := relyingparty.Answer(r.Request)
	if err := c.checkAnswer(m, answer); err != nil {
		return connector.Identity{}, c.withoutOfflineIf(answer.Get("error"), err)
	}
	given, err := c.redeem(ctx, m, answer.Get("code"), t.Verifier)
	if err != nil {
		return connector.Identity{}, err
	}
	said, err := c.verifyID(ctx, m, given)
	if err != nil {
		return connector.Identity{}, err
	}
	if err := c.checkLogin(said, t.Nonce, given); err != nil {
		return connector.Identity{}, err
	}
	id, err := c.identify(ctx, m, said, given)
	if err == nil {
		id.Session = relyingparty.SessionOf(said, given.ID)
	}
	return id, err
}

// redeem exchanges a code for tokens, one of which is an ID token.
func (c *connection) redeem(ctx context.Context, m *relyingparty.Metadata, code, verifier string) (*relyingparty.Tokens, error) {
	given, err := c.tokens.Redeem(ctx, m.TokenEndpoint(), c.callback, code, verifier)
	if err != nil {
		return nil, c.withoutOfflineIf(relyingparty.RefusalCode(err), err)
	}
	if given.ID == "" {
		return nil, errors.New("the provider gave no ID token")
	}
	return given, nil
}

// checkAnswer reads what the provider says by the browser.
func (c *connection) checkAnswer(m *relyingparty.Metadata, answer url.Values) error {
	if err := c.checkSender(m, answer.Get("iss")); err != nil {
		return err
	}
	return relyingparty.CheckAnswer(answer)
}

// checkSender checks that the answer is from the provider that was asked, and not from another (RFC 9207).
func (c *connection) checkSender(m *relyingparty.Metadata, iss string) error {
	if c.cfg.InsecureSkipIss || iss != "" && (iss == m.Issuer || iss == c.cfg.expectedIssuer()) || iss == "" && !m.AnswersWithIss {
		return nil
	}
	cause := fmt.Errorf("it has the iss %q, not %q", iss, m.Issuer)
	if iss == "" {
		cause = errors.New("it has no iss, although the provider says that its answers have one; if it can't be made to " +
			"send it, or not to say so, insecureSkipIss takes such answers")
	}
	return &connector.BadToken{Reason: "the answer is another provider's", Cause: cause}
}
