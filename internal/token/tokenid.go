package token

import (
	"crypto/rand"
	"crypto/sha256"

	"github.com/google/uuid"
)

// tokenID returns a random jti. To applications it is a UUID as any other; its first half is the hash of the login that
// the token belongs to, so that all tokens of a login can be refused without a list of them.
func tokenID(grantID string) string {
	var u uuid.UUID
	_, _ = rand.Read(u[:]) // never fails
	if grantID != "" {
		sum := sha256.Sum256([]byte(grantID))
		copy(u[:halfID], sum[:])
	}
	u[6] = u[6]&0x0f | 0x40 // version 4 (RFC 9562, section 5.4)
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}

// halfID is the length of the part of a token's id that names its login, in bytes.
const halfID = 8

// loginOf returns the part of a token's id that names its login; empty for an id that tokenID didn't make.
func loginOf(jti string) string {
	u, err := uuid.Parse(jti)
	if err != nil {
		return ""
	}
	return u.String()[:halfID*2+2] // two dashes are among its digits
}
