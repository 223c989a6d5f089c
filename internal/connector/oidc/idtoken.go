package oidc

import (
	"context"
	"fmt"
	"slices"

	"dex/internal/relyingparty"
)

// verifyID returns the claims of an ID token that was made for us. An encrypted one is replaced by the signed one in it.
func (c *connection) verifyID(
	ctx context.Context, m *relyingparty.Metadata, given *relyingparty.Tokens,
) (said relyingparty.Claims, err error) {
	if given.ID, err = c.opened(given.ID); err == nil {
		said, err = c.idTokens.Verify(ctx, m, given.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	return said, nil
}

// checkLogin checks what binds an ID token to this login.
func (c *connection) checkLogin(said relyingparty.Claims, nonce string, given *relyingparty.Tokens) error {
	if err := c.idTokens.CheckLogin(said, nonce, given); err != nil {
		return err
	}
	if acr := said.Text("acr"); c.cfg.VerifyACR && !slices.Contains(c.cfg.ACRValues, acr) {
		return fmt.Errorf("ID token: its acr is %q, which is none of acrValues", acr)
	}
	return nil
}

func useless(format string, args ...any) error {
	return &relyingparty.InvalidToken{Reason: fmt.Sprintf(format, args...)}
}
