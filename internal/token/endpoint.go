// Package token is the token endpoint: a registry of grants, and the one pipeline around them that authenticates the
// client, asks the policy, makes the tokens and writes the log, so that no grant can forget one of these.
package token

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"mime"
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
	form   form
	client *client.Client
}

// form is the parameters of a request, each given once at most.
type form map[string][]string

func (f form) get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
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
	connector *federation.Definition
	code      string // the authorization code, if the tokens are for one
	// commit makes the refresh token that goes with the tokens, empty if there is none. It is called last, when nothing
	// else can fail.
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
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		oauth.Errorf(oauth.InvalidRequest, "The token endpoint takes POST only.").WriteJSON(w, http.StatusMethodNotAllowed)
		return
	}
	answer, err := e.serve(r)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, answer)
}

// serve is the pipeline that every grant goes through.
func (e *Endpoint) serve(r *http.Request) ([]byte, error) {
	ctx := r.Context()
	f, err := parseForm(r)
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
	found, err := g.verify(ctx, &request{form: f, client: c})
	if err != nil {
		return nil, err
	}
	if err := e.policy.Connector(c, found.connector, f.get("grant_type")); err != nil {
		return nil, err
	}
	t, err := e.minter.Mint(ctx, c, &found.Authorization, found.code)
	if err != nil {
		return nil, err
	}
	refresh, err := found.commit(ctx)
	if err != nil {
		return nil, err
	}
	return encode(t, refresh, found.Scopes)
}

// grant finds the grant that a request asks for.
func (e *Endpoint) grant(f form) (grant, error) {
	name := f.get("grant_type")
	if name == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter grant_type is missing.")
	}
	g, ok := e.grants[name]
	if !ok {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "This grant type is not served here.")
	}
	return g, nil
}

// parseForm reads the parameters of the body; those of the URL don't count (RFC 6749, section 3.2).
func parseForm(r *http.Request) (form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	if err := r.ParseForm(); err != nil {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The body can't be read.").Because(err)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter %s is given more than once.", name)
		}
	}
	return form(r.PostForm), nil
}

// encode writes the answer of RFC 6749 (5.1).
func encode(t tokens, refreshToken string, scopes []string) ([]byte, error) {
	return json.Marshal(struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token,omitempty"`
		IDToken      string `json:"id_token,omitempty"`
		Scope        string `json:"scope"`
	}{t.access, "bearer", t.expiresIn, refreshToken, t.id, strings.Join(scopes, " ")})
}

// refuse answers with an error and writes its cause to the log.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var oe *oauth.Error
	if !errors.As(err, &oe) {
		oe = oauth.Errorf(oauth.ServerError, "").Because(err)
	}
	level := slog.LevelInfo
	if oe.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	clientID, _, basic := r.BasicAuth()
	if !basic {
		clientID = r.PostForm.Get("client_id")
	}
	e.log.Log(r.Context(), level, "token request refused",
		"grant_type", r.PostForm.Get("grant_type"), "client_id", clientID, "err", oe)
	if oe.Code == oauth.InvalidClient && basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="dex", charset="UTF-8"`)
	}
	oe.WriteJSON(w, oe.Status())
}
