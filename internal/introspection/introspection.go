// Package introspection tells applications whether a token is active and what it is for (RFC 7662).
package introspection

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/refresh"
	"dex/internal/token"
)

// Config is what the endpoint needs.
type Config struct {
	Issuer   string
	Clients  *client.Registry
	Families *refresh.Families
	Verifier *token.Verifier
	Terms    Terms
	Events   event.Sink
	// Open lets anyone ask about any token, and accepts ID tokens as access tokens, as upstream does.
	Open bool
}

// Terms says what tokens would be made on now.
type Terms interface {
	// OfRefresh returns the scopes and the terms of the tokens that a client would get for a refresh token; false where it would get none.
	OfRefresh(ctx context.Context, c *client.Client, f *refresh.Inspected) (scopes []string, on token.Terms, ok bool, err error)
}

// Endpoint is the introspection endpoint.
type Endpoint struct {
	cfg Config
}

// New returns the introspection endpoint.
func New(cfg Config) *Endpoint { return &Endpoint{cfg: cfg} }

// answer is the answer for an active token. Its members are encoded in this order.
type answer struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id"`
	Subject   string `json:"sub"`
	Expires   int64  `json:"exp,omitempty"` // absent if the token is valid until it is revoked
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Username  string `json:"username,omitempty"`
	Audience  any    `json:"aud"`
	Issuer    string `json:"iss"`
	TokenID   string `json:"jti,omitempty"`
	TokenType string `json:"token_type"`
	TokenUse  string `json:"token_use"`
	// How strongly, how (RFC 8176) and when the user has signed in (RFC 9470, section 6.2).
	ACR      string   `json:"acr,omitempty"`
	Methods  []string `json:"amr,omitempty"`
	AuthTime int64    `json:"auth_time,omitempty"`
	Extra    extra    `json:"ext"`
	readers  []string // clients that may ask about it
}

// extra is the claims about the user.
type extra struct {
	AuthorizedParty string `json:"azp,omitempty"`
	SessionID       string `json:"sid,omitempty"`
	token.UserClaims

	more map[string]json.RawMessage // claims that policies add
}

// MarshalJSON implements json.Marshaler.
func (x extra) MarshalJSON() ([]byte, error) {
	type plain extra
	about, err := json.Marshal(plain(x))
	if err != nil || len(x.more) == 0 {
		return about, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(about, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, x.more)
	return json.Marshal(all)
}

// inactive is the answer for every other token (RFC 7662, section 2.2).
var inactive = []byte(`{"active":false}`)

// ServeHTTP answers an introspection request (RFC 7662, section 2).
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !oauth.PostOnly(w, r) {
		return
	}
	body, err := e.serve(r)
	if err != nil {
		oauth.Refuse(w, r, e.cfg.Events, event.Introspection, err)
		return
	}
	oauth.WriteJSON(w, http.StatusOK, body)
}

func (e *Endpoint) serve(r *http.Request) ([]byte, error) {
	f, err := oauth.ReadForm(r)
	if err != nil {
		return nil, err
	}
	reader, err := e.authenticate(r)
	if err != nil {
		return nil, err
	}
	text := f.Get("token")
	if text == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter token is missing.")
	}
	a, err := e.inspect(r.Context(), text)
	if errors.Is(err, token.ErrRefused) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	if !a.mayBeReadBy(reader) {
		e.cfg.Events.Emit(r.Context(), event.ForeignToken{Endpoint: event.Introspection, ClientID: reader.ID, OwnerID: a.ClientID})
		return inactive, nil
	}
	return json.Marshal(a)
}

// authenticate returns the client that asks; nil if anyone may. A client without a secret is refused, because it could be
// anyone (RFC 7662, section 2.1).
func (e *Endpoint) authenticate(r *http.Request) (*client.Client, error) {
	if e.cfg.Open {
		return nil, nil // no client is needed there
	}
	c, err := e.cfg.Clients.Authenticate(r, e.cfg.Events)
	if err != nil {
		return nil, err
	}
	if c.Secret == "" {
		return nil, oauth.Errorf(oauth.InvalidClient, "Only clients with a secret may ask about tokens.")
	}
	return c, nil
}

func (a *answer) mayBeReadBy(c *client.Client) bool {
	if c == nil {
		return true
	}
	for _, id := range a.readers {
		if id == c.ID {
			return true
		}
	}
	return false
}

func (e *Endpoint) inspect(ctx context.Context, text string) (*answer, error) {
	a, err := e.inspectToken(ctx, text)
	if errors.Is(err, token.ErrRefused) {
		a, err = e.inspectRefreshToken(ctx, text)
	}
	if err != nil {
		return nil, err
	}
	if _, err := e.cfg.Clients.Get(ctx, a.ClientID); errors.Is(err, client.ErrUnknown) {
		return nil, token.ErrRefused
	} else if err != nil {
		return nil, err
	}
	return a, nil
}

// inspectToken says what an ID or access token is.
func (e *Endpoint) inspectToken(ctx context.Context, text string) (*answer, error) {
	v, err := e.cfg.Verifier.Verify(ctx, text)
	if err != nil {
		return nil, err
	}
	if err := e.cfg.Verifier.Complete(ctx, &v); err != nil {
		return nil, err
	}
	if !v.IsAccessToken() && !e.cfg.Open {
		return nil, token.ErrRefused // an ID token, which is for its client and nobody else
	}
	a := &answer{
		Active: true, ClientID: v.Client(), Subject: v.Subject, Expires: v.Expires, IssuedAt: v.IssuedAt,
		NotBefore: v.IssuedAt, Username: v.PreferredUsername, Audience: v.Audience, Issuer: v.Issuer, TokenID: v.TokenID,
		TokenType: "Bearer", TokenUse: "access_token", ACR: v.ACR, Methods: v.Methods, AuthTime: v.AuthTime,
		Extra: extra{
			AuthorizedParty: v.AuthorizedParty, SessionID: v.SessionID, UserClaims: v.UserClaims, more: v.More(),
		},
		readers: append([]string{v.Client()}, v.Audience...),
	}
	if v.Scope != nil {
		a.Scope = *v.Scope
	}
	return a, nil
}
