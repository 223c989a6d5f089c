package factor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"dex/internal/id"
	"dex/internal/seal"
)

// A ceremony is what a challenge was made for.
type ceremony string

const (
	registration ceremony = "webauthn registration"
	assertion    ceremony = "webauthn assertion"
	passkey      ceremony = "webauthn passkey" //nolint:gosec // G101: a name; an assertion of somebody who isn't known yet
)

const (
	nonceLen = 16
	// clocksApart is how much the clocks of replicas may differ: one must not forget what another still accepts.
	clocksApart = 5 * time.Minute
	// maxAnswered bounds the answers of a user within the lifetime of a challenge.
	maxAnswered = 200
)

// challengeFor returns a challenge, which the browser returns in its answer. Nothing is stored: it says itself what it is for.
func (f *Factors) challengeFor(c ceremony, bound, authenticatorID, userKey string, lifetime time.Duration) []byte {
	plain := id.Random(nonceLen)
	plain = binary.BigEndian.AppendUint64(plain, uint64(f.now().Add(lifetime).UnixMilli()))
	plain = append(plain, binding(bound, authenticatorID, userKey)...)
	sealed, err := base64.RawURLEncoding.DecodeString(f.ring.Seal(string(c), plain))
	if err != nil {
		panic("factor: sealed text is not base64url") // it always is
	}
	return sealed
}

// openChallenge returns what must be remembered of a challenge that was made for the same as this.
func (f *Factors) openChallenge(ctx context.Context, c ceremony, bound, authenticatorID, userKey, challenge string) (answered, error) {
	plain, err := f.ring.Open(ctx, string(c), challenge)
	if errors.Is(err, seal.ErrInvalid) {
		return answered{}, refusal{errors.New("the challenge is not ours, or for something else")}
	}
	if err != nil {
		return answered{}, err
	}
	if len(plain) < nonceLen+8 {
		return answered{}, refusal{errors.New("the challenge is too short")}
	}
	a := answered{
		Nonce:   plain[:nonceLen],
		Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(plain[nonceLen:]))), //nolint:gosec // was an int64
	}
	switch {
	case !bytes.Equal(plain[nonceLen+8:], binding(bound, authenticatorID, userKey)):
		return answered{}, refusal{errors.New("the challenge is for another login or user")}
	case f.now().After(a.Expires):
		return answered{}, refusal{errors.New("the challenge has expired")}
	}
	return a, nil
}

// binding is a digest of what a challenge is for.
func binding(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint32(len(p))) //nolint:gosec // lengths of ids; a hash never fails
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// use remembers that a challenge was answered. The error is ErrReplayed if it was before.
func (r *Record) use(a answered, now time.Time) error {
	r.Answered = slices.DeleteFunc(r.Answered, func(old answered) bool { return now.After(old.Expires.Add(clocksApart)) })
	if slices.ContainsFunc(r.Answered, func(old answered) bool { return bytes.Equal(old.Nonce, a.Nonce) }) {
		return ErrReplayed
	}
	if len(r.Answered) >= maxAnswered {
		return ErrTooMany
	}
	r.Answered = append(r.Answered, a)
	return nil
}
