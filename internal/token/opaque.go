package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dex/internal/oauth"
	"dex/internal/seal"
)

// opaquePrefix begins opaque access tokens, so that people, and what looks for secrets, know one when they see it.
const opaquePrefix = "dexat_"

// sealPurpose keeps what is sealed for browsers from being taken for an access token, and the reverse.
const sealPurpose = "access token"

// A Sealer seals the claims of opaque access tokens.
type Sealer interface {
	Seal(purpose string, plaintext []byte) string
}

// An Opener opens what a Sealer has sealed. The error is [seal.ErrInvalid] for anything else.
type Opener interface {
	Open(ctx context.Context, purpose, sealed string) ([]byte, error)
}

// seal makes an opaque access token: nothing in it can be read by the application, and it costs no signature.
func (m *Minter) seal(p *payload) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", oauth.Failed(fmt.Errorf("encode claims: %w", err))
	}
	if m.Sealer == nil {
		return "", oauth.Failed(errors.New("there are no keys for opaque access tokens"))
	}
	return opaquePrefix + m.Sealer.Seal(sealPurpose, b), nil
}

// open returns the claims of an opaque access token as they were sealed; false if the text is none. The error is ErrRefused, or that
// the keys could not be read.
func (v *Verifier) open(ctx context.Context, text string) (payload []byte, ok bool, err error) {
	sealed, ok := strings.CutPrefix(text, opaquePrefix)
	if !ok || v.Opener == nil {
		return nil, false, nil
	}
	payload, err = v.Opener.Open(ctx, sealPurpose, sealed)
	if errors.Is(err, seal.ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return payload, true, err
}
