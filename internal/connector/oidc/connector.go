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
	cfg         *Config
	callbackURL string
	log         *slog.Logger
	client      *http.Client
	discovery   *discovery
	keys        *keyset
	tokens      *relyingparty.Client
}

var (
	_ connector.Callback      = (*connection)(nil)
	_ connector.Refresher     = (*connection)(nil)
	_ connector.TokenIdentity = (*connection)(nil)
	_ connector.Logout        = (*connection)(nil)
	_ connector.Prober        = (*connection)(nil)
)

// Open makes the connector. It asks the provider nothing yet.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	client, err := outbound.NewClient(c.RootCAs, c.InsecureSkipVerify)
	if err != nil {
		return nil, err
	}
	if c.ClientKey != "" {
		if _, _, err := relyingparty.ReadKey(c.ClientKey); err != nil {
			return nil, fmt.Errorf("clientKey: %w", err)
		}
	}
	if c.DecryptionKey != "" {
		if _, err := relyingparty.ReadDecryptionKeys(c.DecryptionKey); err != nil {
			return nil, fmt.Errorf("decryptionKey: %w", err)
		}
	}
	if c.RedirectURI != "" && c.RedirectURI != env.CallbackURL {
		env.Log.WarnContext(ctx, "redirectURI is not the callback of this server: logins will fail",
			"redirect_uri", c.RedirectURI, "callback", env.CallbackURL)
	}
	return &connection{
		cfg: c, callbackURL: env.CallbackURL, log: env.Log, client: client,
		discovery: &discovery{cfg: c, client: client},
		keys:      &keyset{client: client, ignoreUse: c.InsecureIgnoreKeyUse},
		tokens:    c.client().Over(client),
	}, nil
}

// ask makes a token request.
func (c *connection) ask(ctx context.Context, m *metadata, params url.Values) (*relyingparty.Tokens, error) {
	return c.tokens.Ask(ctx, m.TokenURL, m.AuthMethods, params)
}

// Probe reads what the provider says of itself, anew each time, so that changes are noticed.
func (c *connection) Probe(ctx context.Context) error {
	_, err := c.discovery.read(ctx)
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
	Nonce    string `json:"nonce"`
}

// Begin implements connector.Callback.
func (c *connection) Begin(ctx context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	if c.cfg.ClientID == "" {
		return connector.Redirect{}, errors.New("the connector has no clientID: it exchanges tokens only")
	}
	if c.cfg.RedirectURI != "" && c.cfg.RedirectURI != r.CallbackURL {
		return connector.Redirect{}, fmt.Errorf("redirectURI is %q, and must be %q", c.cfg.RedirectURI, r.CallbackURL)
	}
	m, err := c.discovery.get(ctx)
	if err != nil {
		return connector.Redirect{}, err
	}
	target, err := url.Parse(m.AuthURL)
	if err != nil || !isWebURL(m.AuthURL) {
		return connector.Redirect{}, fmt.Errorf("the provider's authorization_endpoint is %q", m.AuthURL)
	}
	t := trip{Nonce: rand.Text()}
	params := target.Query()
	for name, value := range map[string]string{
		"client_id": c.cfg.ClientID, "redirect_uri": r.CallbackURL, "response_type": "code", "state": r.State, "nonce": t.Nonce,
		"scope": strings.Join(c.scopesFor(m, r.Scopes), " "),
	} {
		params.Set(name, value)
	}
	c.wish(params, r)
	t.Method = c.cfg.challengeMethod(m)
	t.Verifier = relyingparty.Challenge(params, t.Method)
	data, err := json.Marshal(t)
	if err != nil {
		return connector.Redirect{}, fmt.Errorf("encode login: %w", err)
	}
	target.RawQuery = params.Encode()
	return connector.Redirect{URL: target.String(), Data: data}, nil
}

// scopesFor returns the scopes of a login. Providers that have offline_access give refresh tokens for it only.
func (c *connection) scopesFor(m *metadata, s connector.Scopes) []string {
	scopes := append([]string{oauth.ScopeOpenID}, c.cfg.scopes()...)
	if s.OfflineAccess && slices.Contains(m.Scopes, oauth.ScopeOfflineAccess) && !slices.Contains(scopes, oauth.ScopeOfflineAccess) {
		scopes = append(scopes, oauth.ScopeOfflineAccess)
	}
	return scopes
}

// wish adds how the user is to be asked: as the application wants it, and as is configured.
func (c *connection) wish(params url.Values, r connector.LoginRequest) {
	prompt := slices.Clone(r.Prompt)
	if r.Scopes.OfflineAccess {
		params.Set("access_type", "offline")
		configured := "consent"
		if c.cfg.PromptType != nil {
			configured = *c.cfg.PromptType
		}
		for word := range strings.FieldsSeq(configured) {
			if !slices.Contains(prompt, word) {
				prompt = append(prompt, word)
			}
		}
		params.Set("prompt", "") // an empty promptType is sent, as upstream does
	}
	if len(prompt) > 0 {
		params.Set("prompt", strings.Join(prompt, " "))
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
func (c *Config) challengeMethod(m *metadata) string {
	switch {
	case c.PKCEChallenge != "":
		return c.PKCEChallenge
	case slices.Contains(m.ChallengeMethods, relyingparty.ChallengeS256):
		return relyingparty.ChallengeS256
	case slices.Contains(m.ChallengeMethods, relyingparty.ChallengePlain):
		return relyingparty.ChallengePlain
	}
	return relyingparty.ChallengeNone
}

// HandleCallback implements connector.Callback.
func (c *connection) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	var t trip
	if err := json.Unmarshal(r.Data, &t); err != nil {
		return connector.Identity{}, fmt.Errorf("decode login: %w", err)
	}
	m, err := c.discovery.get(ctx)
	if err != nil {
		return connector.Identity{}, err
	}
	answer := relyingparty.Answer(r.Request)
	if err := c.checkAnswer(m, answer); err != nil {
		return connector.Identity{}, err
	}
	params := url.Values{
		"grant_type": {oauth.GrantAuthorizationCode}, "code": {answer.Get("code")}, "redirect_uri": {c.callbackURL},
	}
	if t.Verifier != "" {
		params.Set("code_verifier", t.Verifier)
	}
	given, err := c.ask(ctx, m, params)
	if err != nil {
		return connector.Identity{}, err
	}
	if given.ID == "" {
		return connector.Identity{}, errors.New("the provider gave no ID token")
	}
	said, err := c.verifyID(ctx, m, given)
	if err != nil {
		return connector.Identity{}, err
	}
	if err := c.checkLogin(said, t.Nonce, given); err != nil {
		return connector.Identity{}, err
	}
	return c.identify(ctx, m, said, given)
}

// checkAnswer reads what the provider says by the browser.
func (c *connection) checkAnswer(m *metadata, answer url.Values) error {
	// RFC 9207: an answer of another provider must not be taken for one of this.
	if iss := answer.Get("iss"); iss != m.Issuer && iss != c.cfg.expectedIssuer() && (iss != "" || m.AnswersWithIss) {
		return fmt.Errorf("the answer is from %q, not from %q", iss, m.Issuer)
	}
	if err := relyingparty.AnswerError(answer); err != nil {
		return err
	}
	if answer.Get("code") == "" {
		return errors.New("the provider's answer has no code")
	}
	return nil
}
