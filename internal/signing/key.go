// Package signing keeps the keys that sign tokens: it creates them, publishes each before it signs, rotates them, and
// publishes the old ones until the last token that they signed has expired.
package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/id"
)

// Algorithms of the local signer (RFC 7518, section 3.1).
const (
	RS256 = string(jose.RS256)
	ES256 = string(jose.ES256)
)

// rsaBits is what RFC 7518 (3.3) asks for at least; more would make every login slower for no attack known.
const rsaBits = 2048

// A Key signs tokens. It is immutable: sign all tokens of one answer with the same Key, since an ID token holds a hash of
// its access token that depends on the algorithm.
type Key struct {
	id        string
	algorithm string
	private   crypto.Signer
	header    string // the encoded JWS header and the dot after it
}

// generate makes a key for an algorithm that the configuration has checked.
func generate(algorithm string) (jose.JSONWebKey, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch algorithm {
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return jose.JSONWebKey{}, fmt.Errorf("no keys for algorithm %q, only RS256 and ES256", algorithm)
	}
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("generate %s key: %w", algorithm, err)
	}
	return jose.JSONWebKey{Key: private, KeyID: id.NewKeyID(), Algorithm: algorithm, Use: "sig"}, nil
}

// newKey prepares a stored private key for signing.
func newKey(jwk jose.JSONWebKey) (*Key, error) {
	private, ok := jwk.Key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %q: a %T can't sign", jwk.KeyID, jwk.Key)
	}
	switch jwk.Algorithm {
	case RS256, ES256:
	default:
		return nil, fmt.Errorf("signing key %q: algorithm %q is not supported", jwk.KeyID, jwk.Algorithm)
	}
	if private, ok := private.(*rsa.PrivateKey); ok {
		private.Precompute() // not stored with the key; without it each signature would do it again, a tenth of its time
	}
	// Members and order are what verifiers of deployed tokens have always seen: no typ.
	header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, jwk.Algorithm, jwk.KeyID)
	return &Key{
		id:        jwk.KeyID,
		algorithm: jwk.Algorithm,
		private:   private,
		header:    base64.RawURLEncoding.EncodeToString([]byte(header)) + ".",
	}, nil
}

// Algorithm returns the JWS algorithm of the key.
func (k *Key) Algorithm() string { return k.algorithm }

// Sign returns the payload as a JWS in compact form (RFC 7515, section 7.1), with typ in its header unless that is empty.
func (k *Key) Sign(_ context.Context, typ string, payload []byte) (string, error) {
	enc := base64.RawURLEncoding
	size := len(k.header) + enc.EncodedLen(len(payload)) + 1 + enc.EncodedLen(rsaBits/8)
	token := make([]byte, 0, size)
	token = append(token, k.header...)
	token = enc.AppendEncode(token, payload)
	digest := sha256.Sum256(token)
	signature, err := k.signDigest(digest[:])
	if err != nil {
		return "", fmt.Errorf("sign with key %q: %w", k.id, err)
	}
	token = append(token, '.')
	token = enc.AppendEncode(token, signature)
	return string(token), nil
}

func (k *Key) signDigest(digest []byte) ([]byte, error) {
	if private, ok := k.private.(*ecdsa.PrivateKey); ok {
		return signECDSA(private, digest)
	}
	return k.private.Sign(rand.Reader, digest, crypto.SHA256)
}

// signECDSA returns the signature as the two numbers of fixed length that RFC 7518 (3.4) asks for, not as ASN.1.
func signECDSA(private *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, private, digest)
	if err != nil {
		return nil, err
	}
	size := (private.Curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}

// HalfHash returns what at_hash and c_hash hold for a value in a token signed by this key: the left half of its hash by
// the hash function of the algorithm (OpenID Connect Core, 3.1.3.6).
func (k *Key) HalfHash(value string) string {
	sum := sha256.Sum256([]byte(value)) // both algorithms are of the 256 family
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
