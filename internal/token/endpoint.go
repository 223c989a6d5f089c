// Package token is the token endpoint: a registry of grants, and the one pipeline around them that authenticates the
// client, asks the policy, makes the tokens and writes the log, so that no grant can forget one of these.
package token

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/policy"
)

// A request is one at the token endpoint whose client has been authenticated.
type request struct {
	form   oauth.Form
	client *client.Client
}

// A grant is one way to tokens (RFC 6749, section 1.3). Verify finds out what a request is good for; nothing that it
// returns reaches the client before the pipeline has checked it. Its error is an *oauth.Error, or any other for a
// failure of our own.
type grant interface {
	verify(ctx context.Context, r *request) (*granted, error)
}

// granted is what a grant has found out.
type granted struct {
	Authorization
	connector *federation.Definition // where the user signed in; nil only for the client's own tokens
	wanted    Wanted
	// issued is the token type of the one token of a token exchange; empty for all other grants.
	issued string
	// commit makes the refresh token that goes with the tokens, empty if there is none. It is called last, when nothing
	// else can fail. Nil means that there is nothing to store.
	commit func(ctx context.Context) (refreshToken string, err error)
}

// Endpoint is the token endpoint.
type Endpoint struct {
	grants  map[string]grant
	clients *client.Registry
	policy  *policy.Policy
	minter  *Minter
	log     *slog.Logger
}

// Config is what the token endpoint is made of.
type Config struct {
	Clients    *client.Registry
	Connectors *federation.Registry
	Policy     *policy.Policy
	Minter     *Minter
	Codes      *Codes
	Families   *Families
	Offline    *OfflineSessions
	GrantTypes []string // the grants to serve; those that are not known are left out
	Log        *slog.Logger
}

// NewEndpoint returns the token endpoint.
func NewEndpoint(cfg Config) *Endpoint {
	all := map[string]grant{
		oauth.GrantAuthorizationCode: &codeGrant{
			codes: cfg.Codes, families: cfg.Families, offline: cfg.Offline, connectors: cfg.Connectors, log: cfg.Log,
		},
		oauth.GrantRefreshToken: &refreshGrant{
			families: cfg.Families, offline: cfg.Offline, connectors: cfg.Connectors, log: cfg.Log,
		},
	}
	maps.DeleteFunc(all, func(name string, _ grant) bool { return !slices.Contains(cfg.GrantTypes, name) })
	return &Endpoint{grants: all, clients: cfg.Clients, policy: cfg.Policy, minter: cfg.Minter, log: cfg.Log}
}

// GrantTypes returns the grants that are served, sorted.
func (e *Endpoint) GrantTypes() []string { return slices.Sorted(maps.Keys(e.grants)) }

// ServeHTTP answers a token request (RFC 6749, section 3.2).
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !oauth.PostOnly(w, r) {
		return
	}
	answer, err := e.serve(r)
	if err != nil {
		oauth.Refuse(w, r, e.log, "token request refused", err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, answer)
}

// serve is the pipeline that every grant goes through.
func (e *Endpoint) serve(r *http.Request) ([]byte, error) {
	ctx := r.Context()
	f, err := oauth.ReadForm(r)
	if err != nil {
		return nil, err
	}
	g, err := e.grant(f)
	if err != nil {
		return nil, err
	}
	c, err := e.clients.Authenticate(r, e.log)
	if err != nil {
		return nil, err
	}
	if err := e.policy.Grant(c, f.Get("grant_type")); err != nil {
		return nil, err
	}
	found, err := g.verify(ctx, &request{form: f, client: c})
	if err != nil {
		return nil, err
	}
	if err := e.checkConnector(c, found, f.Get("grant_type")); err != nil {
		return nil, err
	}
	t, err := e.minter.Mint(ctx, c, &found.Authorization, found.wanted)
	if err != nil {
		return nil, err
	}
	refresh := ""
	if found.commit != nil {
		if refresh, err = found.commit(ctx); err != nil {
			return nil, err
		}
	}
	return encode(found, t, refresh)
}

// checkConnector asks the policy about where a user comes from; who comes from nowhere must be the client itself.
func (e *Endpoint) checkConnector(c *client.Client, found *granted, grantType string) error {
	if found.connector == nil {
		if found.ConnectorID != "" || found.Identity.UserID != c.ID {
			return errors.New("a grant named no connector for its user")
		}
		return nil
	}
	return e.policy.Connector(c, found.connector, grantType)
}

// grant finds the grant that a request asks for.
func (e *Endpoint) grant(f oauth.Form) (grant, error) {
	name := f.Get("grant_type")
	if name == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter grant_type is missing.")
	}
	g, ok := e.grants[name]
	if !ok {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "This grant type is not served here.")
	}
	return g, nil
}

// encode writes the answer of RFC 6749 (5.1), or of RFC 8693 (2.2.1) for a token exchange.
func encode(found *granted, t Tokens, refreshToken string) ([]byte, error) {
	answer := struct {
		AccessToken  string `json:"access_token"`
		Issued       string `json:"issued_token_type,omitempty"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token,omitempty"`
		IDToken      string `json:"id_token,omitempty"`
		Scope        string `json:"scope"`
	}{t.Access, found.issued, "bearer", t.ExpiresIn, refreshToken, t.ID, strings.Join(found.Scopes, " ")}
	return json.Marshal(answer)
}
