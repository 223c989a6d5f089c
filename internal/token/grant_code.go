package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/store"
)

// codeGrant redeems authorization codes (RFC 6749, section 4.1.3).
type codeGrant struct {
	codes      *Codes
	families   *Families
	offline    *OfflineSessions
	connectors *federation.Registry
	log        *slog.Logger
}

func (g *codeGrant) verify(ctx context.Context, r *request) (*granted, error) {
	secret := r.form.get("code")
	if secret == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter code is missing.")
	}
	// The first try of the client uses the code up, whatever else is wrong with it: who has stolen a code gets no second
	// guess.
	c, err := g.codes.use(ctx, secret, r.client.ID)
	switch {
	case errors.Is(err, errReplayed):
		return nil, g.endReplayed(ctx, r.client.ID, c.FamilyID)
	case errors.Is(err, store.ErrNotFound):
		return nil, oauth.Errorf(oauth.InvalidGrant, "The code is invalid or has expired.").Because(err)
	case err != nil:
		return nil, err
	}
	if err := c.Challenge.check(r.form.get("code_verifier")); err != nil {
		return nil, err
	}
	if r.form.get("redirect_uri") != c.RedirectURI {
		return nil, oauth.Errorf(oauth.InvalidGrant, "The redirect_uri is not that of the authorization request.")
	}
	source, err := g.connectors.Open(ctx, c.ConnectorID)
	if err != nil {
		return nil, fmt.Errorf("connector of the code: %w", err)
	}
	return &granted{
		Authorization: c.Authorization,
		connector:     source.Definition,
		code:          secret,
		commit: func(ctx context.Context) (string, error) {
			if !c.Has(oauth.ScopeOfflineAccess) || !source.Refreshes() {
				return "", nil
			}
			return g.begin(ctx, c)
		},
	}, nil
}

// begin stores what later refreshes need and returns the first refresh token.
func (g *codeGrant) begin(ctx context.Context, c code) (string, error) {
	if err := g.offline.keep(ctx, c.Identity.UserID, c.ConnectorID, c.Identity.Data); err != nil {
		return "", err
	}
	refresh, err := g.families.begin(ctx, c.FamilyID, c.Authorization)
	if errors.Is(err, store.ErrExists) {
		// The code was replayed while it was being redeemed, and the family was kept from beginning.
		return "", oauth.Errorf(oauth.InvalidGrant, "The code was used before.").Because(err)
	}
	return refresh, err
}

// endReplayed ends what the first use of a code gave, as one of the two users has stolen it (RFC 9700, section 4.5).
func (g *codeGrant) endReplayed(ctx context.Context, clientID, familyID string) error {
	if err := g.families.End(ctx, familyID); err != nil {
		return fmt.Errorf("end refresh tokens of a replayed code: %w", err)
	}
	g.log.WarnContext(ctx, "authorization code used twice, its refresh tokens are ended",
		"client_id", clientID, "token_id", familyID)
	return oauth.Errorf(oauth.InvalidGrant, "The code was used before.")
}
