// Package id makes the protocol's random identifiers and secrets.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
)

// lower is RFC 4648 base32 in lower case without padding, so that an id is also a valid Kubernetes object name.
var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// New returns a unique identifier of 25 characters, some 124 random bits: a letter, for names that must not begin with a
// digit (XML), and 24 characters of base32. Knowing an id gives nobody any rights; use NewSecret for that.
func New() string { return fromBytes(random(16)) }

// SecretLen is the length of a secret in bytes: 256 bits, more than RFC 6749 (10.10) asks for.
const SecretLen = 32

// NewSecret returns 256 random bits in 52 characters of base32.
func NewSecret() string { return Lower(random(SecretLen)) }

// NewKeyID returns the 40 hexadecimal digits that name a signing key.
func NewKeyID() string { return hex.EncodeToString(random(20)) }

// Lower encodes bytes in the alphabet of identifiers.
func Lower(b []byte) string { return lower.EncodeToString(b) }

func fromBytes(b []byte) string {
	return string('a'+b[0]%26) + lower.EncodeToString(b[1:])
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program if the system has no randomness
	return b
}
