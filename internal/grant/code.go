package grant

import (
	"context"
	"errors"
	"fmt"

	"dex/internal/answer"
	"dex/internal/code"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/token"
)

// codeGrant redeems authorization codes (RFC 6749, section 4.1.3).
type codeGrant struct {
	beginner
	codes      *code.Codes
	connectors *federation.Registry
	revoked    *token.Revocations
	events     event.Sink
}

func (g *codeGrant) verify(ctx context.Context, r *request) (*granted, error) {
	secret := r.form.Get("code")
	if secret == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter code is missing.")
	}
	e, err := g.codes.Read(ctx, secret, r.client.ID)
	c := e.Value
	if err == nil || c.FamilyID != "" {
		r.login = c.Login(c.FamilyID)
	}
	if errors.Is(err, code.ErrExpired) {
		err = g.expired(ctx, &c, secret)
	}
	switch {
	case errors.Is(err, answer.ErrReplayed):
		return nil, g.endReplayed(ctx, &c, answer.Use{Stamp: c.Stamp, At: c.Redeemed})
	case errors.Is(err, store.ErrNotFound), errors.Is(err, code.ErrExpired):
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
		source:        source,
		inSession:     true,
		wanted:        token.Wanted{Access: true, ID: true, Code: secret},
		commit: func(ctx context.Context, refreshDue bool) (string, error) {
			if !refreshDue {
				return "", g.redeem(ctx, secret, e)
			}
			return g.begin(ctx, &c.Authorization, secret, func(ctx context.Context) (first, error) {
				return g.again(ctx, &c, secret)
			})
		},
	}, nil
}

// check compares a request with that of the authorization endpoint.
func check(c *code.Issued, f oauth.Form) error {
	if err := c.Challenge.Check(f.Get("code_verifier")); err != nil {
		return err
	}
	if f.Get("redirect_uri") != c.RedirectURI {
		return oauth.Errorf(oauth.InvalidGrant, "The redirect_uri is not that of the authorization request.")
	}
	return nil
}

// spoil makes a code useless after a request that doesn't fit it, and returns why: whoever has stolen a code gets no second
// guess. If the code was used before, this is a second use.
func (g *codeGrant) spoil(ctx context.Context, e store.Entry[code.Issued], why error) error {
	c := &e.Value
	used, err := g.codes.Spoil(ctx, e)
	if err != nil {
		return fmt.Errorf("spoil code: %w", err)
	}
	begun, _, err := g.families.Begun(ctx, c.FamilyID)
	if err != nil {
		return fmt.Errorf("spoil code: %w", err)
	}
	if used || !begun.IsZero() {
		if err := g.endLogin(ctx, c); err != nil {
			return err
		}
		return why
	}
	if err := g.families.End(ctx, c.FamilyID); err != nil { // so that none begins
		return fmt.Errorf("spoil code: %w", err)
	}
	return why
}

// redeem uses up a code that gives no refresh token.
func (g *codeGrant) redeem(ctx context.Context, secret string, e store.Entry[code.Issued]) error {
	err := g.codes.Redeem(ctx, secret, e)
	if errors.Is(err, answer.ErrReplayed) {
		return g.endReplayed(ctx, &e.Value, answer.Use{})
	}
	return err
}

// again returns the refresh token that a code gave, if it may be given once more: within the reuse interval, or where the
// answer to the first request got lost. Otherwise what the code gave ends.
func (g *codeGrant) again(ctx context.Context, c *code.Issued, secret string) (first, error) {
	refresh, begun, err := g.families.First(ctx, c.FamilyID, secret)
	if err != nil {
		return first{}, err
	}
	if refresh == "" {
		return first{}, g.endReplayed(ctx, c, begun)
	}
	if g.codes.MayRepeat(begun.At) {
		return first{token: refresh, begun: begun, settled: true}, nil
	}
	owed, err := g.codes.Owed(ctx, begun)
	switch {
	case err != nil:
		return first{}, err
	case !owed:
		return first{}, g.endReplayed(ctx, c, begun)
	}
	return first{token: refresh, begun: begun}, nil
}

// endReplayed ends what the first use of a code gave, as one of the two that used it has stolen it (RFC 9700, section 4.5).
// Where codes may be repeated, a client that does so a little too late is refused, and nothing ends.
func (g *codeGrant) endReplayed(ctx context.Context, c *code.Issued, used answer.Use) error {
	if g.codes.MayHaveRepeated(used) {
		return oauth.Errorf(oauth.InvalidGrant, "The code was used before.")
	}
	if err := g.endLogin(ctx, c); err != nil {
		return err
	}
	return oauth.Errorf(oauth.InvalidGrant, "The code was used before.")
}

// endLogin ends what a code gave that was used twice.
func (g *codeGrant) endLogin(ctx context.Context, c *code.Issued) error {
	if err := g.revoked.RevokeLogin(ctx, c.FamilyID); err != nil {
		return err
	}
	if err := g.families.End(ctx, c.FamilyID); err != nil {
		return fmt.Errorf("end refresh tokens of a replayed code: %w", err)
	}
	g.events.Emit(ctx, event.CodeReplayed{Login: c.Login(c.FamilyID)})
	return nil
}

// expired says what becomes of an expired code. It gives once more what it gave while it was good, if that answer got lost.
// Otherwise what it gave ends.
func (g *codeGrant) expired(ctx context.Context, c *code.Issued, secret string) error {
	at, _, err := g.families.Begun(ctx, c.FamilyID)
	switch {
	case err != nil:
		return err
	case at.IsZero():
		return code.ErrExpired
	}
	refresh, begun, err := g.families.First(ctx, c.FamilyID, secret)
	if err != nil {
		return err
	}
	owed, err := g.codes.Owed(ctx, begun)
	switch {
	case err != nil:
		return err
	case refresh == "" || !owed:
		return g.endReplayed(ctx, c, begun)
	}
	return nil
}
