package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"dex/internal/id"
	"dex/internal/store"
)

// maxRevoked is how many tokens of one login are remembered one by one; beyond it, all of the login's count as revoked.
const maxRevoked = 100

// revoked is the record of the access tokens of one login that are refused although they have not expired. Its key is the
// half of their ids that names the login.
type revoked struct {
	All     bool      `json:"all,omitempty"`
	IDs     []string  `json:"ids,omitempty"` // their jti
	Expires time.Time `json:"expires"`       // when the last of them would have
}

// Revocations are the access tokens that are refused before they expire (RFC 7009). They are safe for concurrent use.
type Revocations struct {
	table    *store.Table[revoked]
	lifetime atomic.Int64 // of the longest-lived tokens, a time.Duration
}

var revokedKind = store.Declare(store.Declaration[revoked]{
	Name: "revoked", Quiet: true,
	Expires: func(r *revoked) time.Time { return r.Expires },
})

// NewRevocations returns the revoked tokens in a storage; a lifetime is that of an access token.
func NewRevocations(s store.Store, lifetime time.Duration) *Revocations {
	r := &Revocations{table: store.In(s, revokedKind)}
	r.Outlast(lifetime)
	return r
}

// Outlast makes refusals last for tokens of this lifetime, from now on. A shorter one than before changes nothing, as longer-lived
// tokens are in use. It is not called twice at once.
func (s *Revocations) Outlast(lifetime time.Duration) {
	s.lifetime.Store(max(s.lifetime.Load(), int64(lifetime)))
}

// RevokeLogin refuses all tokens of a login from now on. A login that goes on must be ended afterwards, not before: if that
// fails, the caller's client can try again.
func (s *Revocations) RevokeLogin(ctx context.Context, grantID string) error {
	return s.add(ctx, loginOf(tokenID(grantID)), time.Time{}, func(r *revoked) { r.All, r.IDs = true, nil })
}

// RevokeToken refuses one token from now on.
func (s *Revocations) RevokeToken(ctx context.Context, c *Claims) error {
	name := c.name()
	return s.add(ctx, c.login(), time.Unix(c.Expires, 0), func(r *revoked) {
		switch {
		case r.All || slices.Contains(r.IDs, name):
		case len(r.IDs) >= maxRevoked:
			r.All, r.IDs = true, nil
		default:
			r.IDs = append(r.IDs, name)
		}
	})
}

// add changes the record of a login, which is kept until all of its tokens have expired. One of them may expire later than a
// new one would: the lifetime may have been longer when it was made.
func (s *Revocations) add(ctx context.Context, login string, ends time.Time, change func(*revoked)) error {
	for {
		fresh := revoked{Expires: time.Now().Add(time.Duration(s.lifetime.Load()))}
		if ends.After(fresh.Expires) {
			fresh.Expires = ends
		}
		fresh.Expires = fresh.Expires.Add(store.ClockSkew)
		change(&fresh)
		_, err := s.table.Create(ctx, login, fresh)
		if errors.Is(err, store.ErrExists) {
			_, err = s.table.Update(ctx, login, func(r *revoked) error {
				change(r)
				if fresh.Expires.After(r.Expires) {
					r.Expires = fresh.Expires
				}
				return nil
			})
		}
		switch {
		case errors.Is(err, store.ErrNotFound): // it expired in between
			continue
		case err != nil:
			return fmt.Errorf("revoke access tokens: %w", err)
		}
		return nil
	}
}

// isRevoked reports whether a token is refused.
func (s *Revocations) isRevoked(ctx context.Context, c *Claims) (bool, error) {
	e, err := s.table.Get(ctx, c.login())
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a revocation: %w", err)
	}
	return e.Value.All || slices.Contains(e.Value.IDs, c.name()), nil
}

// name returns what one token is remembered by: its jti, or a hash of what there is if the jti is no UUID, or missing as in
// upstream's old releases.
func (c *Claims) name() string {
	if loginOf(c.TokenID) != "" {
		return c.TokenID
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q", c.TokenID, c.Subject, c.IssuedAt, c.Client()))
	return id.Lower(sum[:])
}

// login returns the key of a token's record.
func (c *Claims) login() string {
	if login := loginOf(c.TokenID); login != "" {
		return login
	}
	return c.name()[:20]
}
