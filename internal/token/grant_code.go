package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dex/internal/answer"
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
	revoked    *Revocations
	log        *slog.Logger
}

func (g *codeGrant) verify(ctx context.Context, r *request) (*granted, error) {
	secret := r.form.Get("code")
	if secret == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter code is missing.")
	}
	e, err := g.codes.read(ctx, secret, r.client.ID)
	c := e.Value
	if errors.Is(err, errTooOld) {
		err = g.tooOld(ctx, &c, secret)
	}
	switch {
	case errors.Is(err, answer.ErrReplayed):
		return nil, g.endReplayed(ctx, &c, answer.Use{Stamp: c.Stamp, At: c.Redeemed})
	case errors.Is(err, store.ErrNotFound), errors.Is(err, errTooOld):
		return nil, oauth.Errorf(oauth.InvalidGrant, "The code is invalid or has expired.").Because(err)
	case err != nil:
		return nil, err
	}
	if err := check(&c, r.form); err != nil {
		return nil, g.spoil(ctx, e, err)
	}
	source, err := g.connectors.Open(ctx, c.ConnectorID)
	if err != nil {
		return nil, fmt.Errorf("connector of the code: %w", err)
	}
	c.GrantID = c.FamilyID
	return &granted{
		Authorization: c.Authorization,
		connector:     source.Definition,
		wanted:        Wanted{Access: true, ID: true, Code: secret},
		commit: func(ctx context.Context) (string, error) {
			if !c.Has(oauth.ScopeOfflineAccess) || !source.Refreshes() {
				return "", g.redeem(ctx, secret, e)
			}
			return g.begin(ctx, &c, secret)
		},
	}, nil
}

// check compares a request with that of the authorization endpoint.
func check(c *code, f oauth.Form) error {
	if err := c.Challenge.Check(f.Get("code_verifier")); err != nil {
		return err
	}
	if f.Get("redirect_uri") != c.RedirectURI {
		return oauth.Errorf(oauth.InvalidGrant, "The redirect_uri is not that of the authorization request.")
	}
	return nil
}

// spoil makes a code useless after a request that does not fit it, and returns why it does not: whoever has stolen a code
// gets no second guess.
func (g *codeGrant) spoil(ctx context.Context, e store.Entry[code], why error) error {
	used, err := g.codes.spoil(ctx, e)
	if err != nil {
		return fmt.Errorf("spoil code: %w", err)
	}
	begun, _, err := g.families.begun(ctx, e.Value.FamilyID)
	if err != nil {
		return fmt.Errorf("spoil code: %w", err)
	}
	if used || !begun.IsZero() {
		if err := g.revoked.RevokeLogin(ctx, e.Value.FamilyID); err != nil {
			return err
		}
	}
	if err := g.families.End(ctx, e.Value.FamilyID); err != nil {
		return fmt.Errorf("spoil code: %w", err)
	}
	return why
}

// redeem uses up a code that gives no refresh token.
func (g *codeGrant) redeem(ctx context.Context, secret string, e store.Entry[code]) error {
	err := g.codes.redeem(ctx, secret, e)
	if errors.Is(err, answer.ErrReplayed) {
		return g.endReplayed(ctx, &e.Value, answer.Use{})
	}
	return err
}

// begin stores what later refreshes need and returns the first refresh token. The family can begin only once, which uses
// up the code: a server that dies before this write has changed nothing, and the client may try again.
func (g *codeGrant) begin(ctx context.Context, c *code, secret string) (string, error) {
	err := g.offline.keep(ctx, c.Identity.UserID, c.ConnectorID, c.Identity.Data, func(ctx context.Context) error {
		return g.unused(ctx, c, secret)
	})
	if err != nil && !errors.Is(err, errKept) {
		return "", err
	}
	refresh, err := g.families.begin(ctx, c.FamilyID, secret, c.Authorization)
	if !errors.Is(err, store.ErrExists) {
		return refresh, err
	}
	for {
		refresh, begun, err := g.again(ctx, c, secret)
		switch {
		case err != nil:
			return "", err
		case refresh == "":
			return "", g.endReplayed(ctx, c, begun)
		case g.codes.mayRepeat(begun.At):
			return refresh, nil
		}
		err = g.families.repeat(ctx, c.FamilyID, begun)
		if err == nil {
			return refresh, nil
		}
		if !errors.Is(err, answer.ErrReplayed) {
			return "", err
		}
	}
}

// errKept says that what a login gave was kept when its code was used before.
var errKept = errors.New("connector data was kept before")

// unused refuses a code that was used before, by errKept if it may be used again. Without it the data that the login gave
// would take the place of newer data of the connector, with which all logins of the user go on.
func (g *codeGrant) unused(ctx context.Context, c *code, secret string) error {
	_, possible, err := g.families.begun(ctx, c.FamilyID)
	if err != nil || possible {
		return err
	}
	refresh, begun, err := g.again(ctx, c, secret)
	switch {
	case err != nil:
		return err
	case refresh != "":
		return errKept
	}
	return g.endReplayed(ctx, c, begun)
}

// again returns the refresh token that a code gave, and when; the token only if it may be given once more: within the reuse
// interval, or where the answer to the first request got lost.
func (g *codeGrant) again(ctx context.Context, c *code, secret string) (refresh string, begun answer.Use, err error) {
	refresh, begun, err = g.families.first(ctx, c.FamilyID, secret)
	if err != nil || refresh == "" || g.codes.mayRepeat(begun.At) {
		return refresh, begun, err
	}
	owed, err := g.codes.answers.Owed(ctx, begun, g.codes.now())
	if err != nil {
		return "", begun, fmt.Errorf("code was used, look for the answer: %w", err)
	}
	if !owed {
		refresh = ""
	}
	return refresh, begun, nil
}

// endReplayed ends what the first use of a code gave, as one of the two users has stolen it (RFC 9700, section 4.5).
// Where codes may be repeated, whoever does so a little too late is refused and nothing ends.
func (g *codeGrant) endReplayed(ctx context.Context, c *code, used answer.Use) error {
	if g.codes.mayHaveRepeated(used) {
		return oauth.Errorf(oauth.InvalidGrant, "The code was used before.")
	}
	if err := g.revoked.RevokeLogin(ctx, c.FamilyID); err != nil {
		return err
	}
	if err := g.families.End(ctx, c.FamilyID); err != nil {
		return fmt.Errorf("end refresh tokens of a replayed code: %w", err)
	}
	g.log.WarnContext(ctx, "authorization code used twice, its tokens are revoked",
		"client_id", c.ClientID, "token_id", c.FamilyID)
	return oauth.Errorf(oauth.InvalidGrant, "The code was used before.")
}

// tooOld says what becomes of an expired code. It gives once more what it gave while it was good, if that answer got lost;
// otherwise what it gave ends.
func (g *codeGrant) tooOld(ctx context.Context, c *code, secret string) error {
	at, _, err := g.families.begun(ctx, c.FamilyID)
	switch {
	case err != nil:
		return err
	case at.IsZero():
		return errTooOld
	}
	refresh, begun, err := g.families.first(ctx, c.FamilyID, secret)
	if err != nil {
		return err
	}
	owed, err := g.codes.answers.Owed(ctx, begun, g.codes.now())
	switch {
	case err != nil:
		return fmt.Errorf("code was used, look for the answer: %w", err)
	case refresh == "" || !owed:
		return g.endReplayed(ctx, c, begun)
	}
	return nil
}
