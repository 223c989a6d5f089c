package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/store"
)

// refreshGrant exchanges refresh tokens (RFC 6749, section 6).
type refreshGrant struct {
	families   *Families
	offline    *OfflineSessions
	connectors *federation.Registry
	revoked    *Revocations
	log        *slog.Logger

	asking singleflight.Group // one question to a source for each family at a time
	turns  turns              // of the users of a connector
}

func (g *refreshGrant) verify(ctx context.Context, r *request) (*granted, error) {
	familyID, p, err := g.present(r)
	if err != nil {
		return nil, err
	}
	arrived := g.families.now()
	e, u, err := g.judge(ctx, r.client.ID, familyID, p, arrived)
	if err != nil {
		return nil, err
	}
	f := &e.Value
	scopes, err := narrow(f.Scopes, r.form.Get("scope"))
	if err != nil {
		return nil, err
	}
	source, err := g.connectors.Open(ctx, f.ConnectorID)
	if errors.Is(err, federation.ErrUnknown) {
		return nil, oauth.Errorf(oauth.InvalidGrant, "The connector of this login is gone.").Because(err)
	}
	if err != nil {
		return nil, notOpened(ctx, g.connectors, f.ConnectorID, federation.Refresh, err)
	}
	fresh := f.Authorization
	if u == useCurrent {
		if fresh.Identity, err = g.ask(ctx, familyID, f, source); err != nil {
			return nil, err
		}
	}
	a := fresh
	a.Scopes = scopes // narrower for this answer only (RFC 6749, section 6)
	a.GrantID = familyID
	return &granted{
		Authorization: a,
		connector:     source.Definition,
		wanted:        Wanted{Access: true, ID: true},
		commit: func(ctx context.Context) (string, error) {
			next, err := g.families.advance(ctx, e, u, p, arrived, fresh)
			if err != nil {
				return "", g.refused(ctx, familyID, err)
			}
			return next, nil
		},
	}, nil
}

// present reads the refresh token of a request.
func (g *refreshGrant) present(r *request) (familyID string, p presented, err error) {
	token := r.form.Get("refresh_token")
	if token == "" {
		return "", presented{}, oauth.Errorf(oauth.InvalidRequest, "The parameter refresh_token is missing.")
	}
	familyID, secret := decodeRefreshToken(token)
	if familyID == "" || len(familyID) > store.MaxKey {
		return "", presented{}, oauth.Errorf(oauth.InvalidGrant, "The refresh token is invalid.")
	}
	return familyID, readSecret(secret), nil
}

// judge finds the family of a token and says what presenting the token comes to.
func (g *refreshGrant) judge(
	ctx context.Context, clientID, familyID string, p presented, arrived time.Time,
) (store.Entry[family], effect, error) {
	e, u, err := g.families.read(ctx, familyID, p, arrived)
	if f := &e.Value; e.Key != "" && !f.Ended && f.ClientID != clientID {
		return e, 0, oauth.Errorf(oauth.InvalidGrant, "The refresh token belongs to another client.")
	}
	if err == nil {
		u, err = g.families.settle(ctx, &e.Value, u, arrived)
	}
	if err != nil {
		return e, 0, g.refused(ctx, familyID, err)
	}
	return e, u, nil
}

// refused returns what the client is told. A token that was used before is in two hands, so its family ends
// (RFC 9700, section 4.14.2); the user's other logins live on.
func (g *refreshGrant) refused(ctx context.Context, familyID string, err error) error {
	switch {
	case errors.Is(err, errReused):
		if revokeErr := g.revoked.RevokeLogin(ctx, familyID); revokeErr != nil {
			return revokeErr
		}
		if endErr := g.families.End(ctx, familyID); endErr != nil {
			return fmt.Errorf("end reused refresh token family: %w", endErr)
		}
		g.log.ErrorContext(ctx, "refresh token claimed twice", "token_id", familyID)
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token was used before; the login has ended.")
	case errors.Is(err, errRaced):
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token was used by another request at the same time.")
	case errors.Is(err, errExpired):
		g.log.InfoContext(ctx, "refresh token expired", "token_id", familyID)
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token has expired.")
	case errors.Is(err, errForged), errors.Is(err, store.ErrNotFound):
		return oauth.Errorf(oauth.InvalidGrant, "The refresh token is invalid or has expired.").Because(err)
	}
	return err
}

// narrow returns the scopes of one answer: those asked for, all of which must have been granted, or all that were. Scopes
// without a meaning were left out at the login, and are here.
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
