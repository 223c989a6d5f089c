package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dex/internal/oauth"
)

// A Preview is what tokens would say.
type Preview struct {
	// Claims are those of the ID token, without what only a token has: its jti, and the hashes of what comes with it.
	Claims    json.RawMessage
	Algorithm string // of the signature
	// TooLarge is how many bytes a token would have that is longer than the terms let it be; 0 if none is.
	TooLarge int
	// Referred is for how many groups the tokens refer to UserInfo.
	Referred int
}

// Preview returns what an ID token would say that Mint made together with an access token. It signs nothing and stores nothing.
func (m *Minter) Preview(ctx context.Context, a *Authorization, on Terms) (Preview, error) {
	if len(on.Audience) == 0 {
		return Preview{}, errors.New("tokens were to be previewed that the policy has not decided about")
	}
	key, err := m.Signer.KeyFor(ctx, on.Algorithm)
	if err != nil {
		return Preview{}, err
	}
	d := m.draft(a, on, Wanted{Access: true, ID: true}, key)
	if _, err := m.referToGroups(a, on, d); err != nil {
		return Preview{}, err
	}
	seen := Preview{Algorithm: key.Algorithm(), Referred: d.referred}
	for _, p := range []*payload{d.access, d.id} {
		n, err := d.size(p)
		if err != nil {
			return Preview{}, err
		}
		if on.MaxSize > 0 && n > on.MaxSize {
			seen.TooLarge = max(seen.TooLarge, n)
		}
	}
	d.id.TokenID, d.id.AccessTokenHash = "", ""
	if seen.Claims, err = json.Marshal(d.id); err != nil {
		return Preview{}, oauth.Failed(fmt.Errorf("encode claims: %w", err))
	}
	return seen, nil
}
