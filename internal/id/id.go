// Package id makes the protocol's random identifiers and secrets, and hashes and encodes them.
package id

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
)

// lower is RFC 4648 base32 in lower case without padding, so that an id is also a valid Kubernetes object name.
var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// New returns a unique identifier of 25 characters, some 124 random bits: a letter, for names that must not begin with a
// digit (XML), and 24 characters of base32. Knowing an id gives nobody any rights; use NewSecret for that.
func New() string { return fromBytes(Random(16)) }

// SecretLen is the length of a secret in bytes: 256 bits, more than RFC 6749 (10.10) asks for.
const SecretLen = 32

// NewSecret returns 256 random bits in 52 characters of base32.
func NewSecret() string { return Lower(Random(SecretLen)) }

// NewKeyID returns the 40 hexadecimal digits that name a signing key.
func NewKeyID() string { return hex.EncodeToString(Random(20)) }

// Lower encodes bytes in the alphabet of identifiers.
func Lower(b []byte) string { return lower.EncodeToString(b) }

// Unlower decodes what Lower returns.
func Unlower(s string) ([]byte, error) { return lower.DecodeString(s) }

// Hash returns the SHA-256 of a secret, which may be stored in its place: a secret of ours can't be guessed.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// IsHashOf reports whether a hash is that of a secret, in constant time. An empty hash is that of nothing.
func IsHashOf(hash []byte, secret string) bool {
	return len(hash) > 0 && subtle.ConstantTimeCompare(hash, Hash(secret)) == 1
}

func fromBytes(b []byte) string {
	return string('a'+b[0]%26) + lower.EncodeToString(b[1:])
}

// Random returns random bytes.
func Random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program if the system has no randomness
	return b
}
