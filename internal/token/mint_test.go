package token

import (
	"errors"
	"testing"
	"time"

	"dex/internal/oauth"
)

// Without a decision of the policy there are no terms, and so no tokens.
func TestNoTokensWithoutTerms(t *testing.T) {
	for _, on := range []Terms{{}, {IDLifetime: time.Hour, AccessLifetime: time.Hour}, {IDLifetime: time.Hour, Audience: []string{"app"}}, {Audience: []string{"app"}}} {
		got, err := (&Minter{}).Mint(t.Context(), &Authorization{ClientID: "app"}, on, Wanted{Access: true, ID: true})
		refused, ok := errors.AsType[*oauth.Error](err)
		if !ok || refused.Code != oauth.ServerError || got != (Tokens{}) {
			t.Errorf("on %+v: got %+v, %v", on, got, err)
		}
	}
}
