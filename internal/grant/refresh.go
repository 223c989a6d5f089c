package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"golang.org/x/sync/singleflight"

	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/refresh"
	"dex/internal/store"
	"dex/internal/token"
)

// refreshGrant exchanges refresh tokens (RFC 6749, section 6).
type refreshGrant struct {
	families   *refresh.Families
	offline    *refresh.OfflineSessions
	connectors *federation.Registry
	revoked    *token.Revocations
	signOut    SignOut
	log        *slog.Logger
	events     event.Sink

	asking singleflight.Group // one question to a source for each family at a time
	turns  *Turns             // of the users of a connector
}

func (g *refreshGrant) verify(ctx context.Context, r *request) (*granted, error) {
	t, err := readRefreshToken(r)
	if err != nil {
		return nil, err
	}
	p, err := g.families.Present(ctx, t, r.client.ID)
	if err != nil {
		var generation uint64
		r.login, generation = loginOf(err, t.FamilyID, r.client.ID)
		return nil, g.refused(ctx, r.login, generation, err)
	}
	scopes, err := narrow(p.Scopes, r.form.Get("scope"))
	if err != nil {
		return nil, err
	}
	source, err := g.connectors.Open(ctx, p.ConnectorID)
	if errors.Is(err, federation.ErrUnknown) {
		return nil, oauth.Errorf(oauth.InvalidGrant, "The connector of this login is gone.").Because(err)
	}
	if err != nil {
		return nil, notOpened(ctx, g.connectors, p.ConnectorID, federation.Refresh, err)
	}
	found := &granted{
		Authorization: p.Authorization,
		source:        source,
		wanted:        token.Wanted{Access: true, ID: true},
	}
	found.Scopes = scopes // narrower for this answer only (RFC 6749, section 6)
	found.GrantID, found.generation = t.FamilyID, p.Shown
	if p.Current {
		found.ask = func(ctx context.Context) (err error) {
			found.Identity, err = g.ask(ctx, p, source, found.sourceScopes(p.Scopes))
			return err
		}
	}
	found.abandon = func(ctx context.Context) error { return g.families.End(ctx, t.FamilyID) }
	found.commit = func(ctx context.Context, _ bool) (string, error) { // it is due, whatever the scopes of this answer
		next, err := g.families.Advance(ctx, p, found.Identity)
		if err != nil {
			return "", g.refused(ctx, found.Login(t.FamilyID), p.Shown, err)
		}
		return next, nil
	}
	return found, nil
}

// readRefreshToken reads the refresh token of a request.
func readRefreshToken(r *request) (refresh.Token, error) {
	text := r.form.Get("refresh_token")
	if text == "" {
		return refresh.Token{}, oauth.Errorf(oauth.InvalidRequest, "The parameter refresh_token is missing.")
	}
	t, ok := refresh.Read(text)
	if !ok {
		return refresh.Token{}, oauth.Errorf(oauth.InvalidGrant, "The refresh token is invalid.")
	}
	return t, nil
}

// loginOf returns what is known of the login of a refused token, and the token's generation.
func loginOf(err error, familyID, clientID string) (event.Login, uint64) {
	if refused, ok := errors.AsType[*refresh.Refused](err); ok {
		return refused.Login, refused.Generation
	}
	return event.Login{ID: familyID, ClientID: clientID}, 0
}

// refused returns what the client is told. If a token was used before, two parties have it, so its family ends (RFC 9700,
// section 4.14.2). The user's other logins live on.
func (g *refreshGrant) refused(ctx context.Context, login event.Login, generation uint64, err error) error {
	switch {
	case errors.Is(err, refresh.ErrOtherClient):
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token belongs to another client.")
	case errors.Is(err, refresh.ErrReused):
		if revokeErr := g.revoked.RevokeLogin(ctx, login.ID); revokeErr != nil {
			return revokeErr
		}
		if endErr := g.families.End(ctx, login.ID); endErr != nil {
			return fmt.Errorf("end reused refresh token family: %w", endErr)
		}
		g.events.Emit(ctx, event.RefreshTokenReused{Login: login, Generation: generation})
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token was used before; the login has ended.")
	case errors.Is(err, refresh.ErrRaced):
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token was used by another request at the same time.")
	case errors.Is(err, refresh.ErrExpired):
		g.events.Emit(ctx, event.RefreshTokenExpired{Login: login})
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token has expired.")
	case errors.Is(err, refresh.ErrForged), errors.Is(err, store.ErrNotFound):
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token is invalid or has expired.").Because(err)
	}
	return err
}

// narrow returns the scopes of one answer: those asked for, which must all have been granted, or all that were granted. Scopes
// without a meaning were left out at the login, and are left out here.
func narrow(granted []string, requested string) ([]string, error) {
	names := strings.Fields(requested)
	if len(names) == 0 {
		return granted, nil
	}
	for _, name := range names {
		if oauth.KnownScope(name) && !slices.Contains(granted, name) {
			return nil, oauth.Errorf(oauth.InvalidScope, "The scope was not granted at the login.")
		}
	}
	var narrowed []string
	for _, scope := range granted {
		if slices.Contains(names, scope) {
			narrowed = append(narrowed, scope)
		}
	}
	return narrowed, nil
}
