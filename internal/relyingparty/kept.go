package relyingparty

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"dex/internal/connector"
)

// kept is what is kept of a login, to ask the provider again later. Upstream's connectors write the same members, in this case
// or another, and not all of them.
type kept struct {
	AccessToken  string    `json:"accessToken"`
	RefreshToken string    `json:"refreshToken,omitempty"`
	Expiry       time.Time `json:"expiry,omitzero"`
}

// maxKept bounds what is kept, in bytes.
const maxKept = 64 << 10

// Keep returns what is to be kept of the tokens as connector data.
func (t *Tokens) Keep() ([]byte, error) {
	data, err := json.Marshal(kept{t.Access, t.Refresh, t.Expiry})
	if err != nil {
		return nil, fmt.Errorf("encode tokens: %w", err)
	}
	if len(data) > maxKept {
		return nil, fmt.Errorf("the provider's tokens are longer than %d bytes", maxKept)
	}
	return data, nil
}

// Kept returns the tokens that were kept of a login. Without any the error is connector.ErrGone. Upstream's openshift
// names the members as token endpoints do.
func Kept(data []byte) (*Tokens, error) {
	var k struct {
		kept
		OldAccess  string `json:"access_token"`
		OldRefresh string `json:"refresh_token"`
	}
	err := json.Unmarshal(data, &k)
	given := &Tokens{
		Access: cmp.Or(k.AccessToken, k.OldAccess), Type: "Bearer", Refresh: cmp.Or(k.RefreshToken, k.OldRefresh), Expiry: k.Expiry,
	}
	if err != nil || given.Access == "" && given.Refresh == "" {
		return nil, fmt.Errorf("%w: nothing was kept of the login", connector.ErrGone)
	}
	return given, nil
}

// spent is how long before its end an access token is no longer used: a call takes a while.
const spent = 10 * time.Second

// Usable reports whether the access token can be shown to the provider, as far as its expiry says.
func (t *Tokens) Usable() bool {
	return t.Access != "" && (t.Expiry.IsZero() || time.Until(t.Expiry) > spent)
}
