// Package revocation lets applications revoke tokens that they no longer need (RFC 7009).
package revocation

import (
	"context"
	"errors"
	"net/http"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/refresh"
	"dex/internal/token"
)

// Config is what the endpoint needs.
type Config struct {
	Clients     *client.Registry
	Families    *refresh.Families
	Revocations *token.Revocations
	Verifier    *token.Verifier
	Events      event.Sink
}

// Endpoint is the revocation endpoint.
type Endpoint struct {
	cfg Config
}

// New returns the revocation endpoint.
func New(cfg Config) *Endpoint { return &Endpoint{cfg: cfg} }

// ServeHTTP answers a revocation request (RFC 7009, section 2.1).
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !oauth.PostOnly(w, r) {
		return
	}
	if err := e.serve(r); err != nil {
		oauth.Refuse(w, r, e.cfg.Events, event.Revocation, err)
		return
	}
	// Some libraries look at the type before they notice that the body is empty.
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (e *Endpoint) serve(r *http.Request) error {
	f, err := oauth.ReadForm(r)
	if err != nil {
		return err
	}
	c, err := e.cfg.Clients.Authenticate(r, e.cfg.Events)
	if err != nil {
		return err
	}
	text := f.Get("token")
	if text == "" {
		return oauth.Errorf(oauth.InvalidRequest, "The parameter token is missing.")
	}
	// The two kinds can be told apart, so token_type_hint is not needed.
	err = e.revokeJWT(r.Context(), c, text)
	if errors.Is(err, token.ErrRefused) {
		err = e.revokeLogin(r.Context(), c, text)
	}
	if errors.Is(err, token.ErrRefused) {
		return nil // an invalid token needs no revocation (section 2.2)
	}
	return err
}

// revokeJWT revokes an access token, or an ID token, which UserInfo may accept too.
func (e *Endpoint) revokeJWT(ctx context.Context, c *client.Client, text string) error {
	verified, err := e.cfg.Verifier.Verify(ctx, text)
	if err != nil {
		return err
	}
	if verified.Client() != c.ID {
		return e.foreign(ctx, c, verified.Client())
	}
	if err := e.cfg.Revocations.RevokeToken(ctx, &verified.Claims); err != nil {
		return err
	}
	e.cfg.Events.Emit(ctx, event.Revoked{Login: loginOf(c, &verified)})
	return nil
}

// loginOf returns the login of a client's access token or ID token. Its id is not in the token.
func loginOf(c *client.Client, v *token.Verified) event.Login {
	userID, connectorID, err := token.ReadSubject(v.Subject)
	if err != nil { // a token of the client itself
		userID = v.Subject
	}
	return event.Login{ClientID: c.ID, ConnectorID: connectorID, UserID: userID}
}

// revokeLogin ends the login of a refresh token, and with it all of its tokens (section 2.1).
func (e *Endpoint) revokeLogin(ctx context.Context, c *client.Client, text string) error {
	found, err := e.cfg.Families.Inspect(ctx, text)
	if err != nil {
		return err
	}
	if found.ClientID != c.ID {
		return e.foreign(ctx, c, found.ClientID)
	}
	if err := e.cfg.Revocations.RevokeLogin(ctx, found.FamilyID); err != nil {
		return err
	}
	if err := e.cfg.Families.End(ctx, found.FamilyID); err != nil {
		return err
	}
	e.cfg.Events.Emit(ctx, event.Revoked{Login: found.Login(found.FamilyID), All: true})
	return nil
}

// foreign refuses to revoke another client's token (section 2.1), and emits that.
func (e *Endpoint) foreign(ctx context.Context, c *client.Client, owner string) error {
	e.cfg.Events.Emit(ctx, event.ForeignToken{Endpoint: event.Revocation, ClientID: c.ID, OwnerID: owner})
	return oauth.Errorf(oauth.InvalidGrant, "The token was issued to another client.")
}
