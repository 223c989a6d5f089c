// Package signing keeps the keys that sign tokens: it creates them, publishes each before it signs, rotates them, and
// publishes the old ones until the last token that they signed has expired. Or it lets Vault keep them, and sign.
package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/id"
)

// rsaBits is what RFC 7518 (3.3) asks for at least; more would slow down every login without preventing any known attack.
const rsaBits = 2048

// A Key signs tokens. It is immutable: sign all tokens of one answer with the same Key, since an ID token holds a hash of
// its access token that depends on the algorithm.
type Key struct {
	id        string
	algorithm string
	hash      crypto.Hash
	size      int // of a signature, in bytes
	header    string
	private   private
}

// A private makes signatures in the form that JWS has them.
type private interface {
	sign(ctx context.Context, input []byte) ([]byte, error)
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
	case ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return jose.JSONWebKey{}, fmt.Errorf("no keys for algorithm %q; use RS256 or ES256", algorithm)
	}
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("generate %s key: %w", algorithm, err)
	}
	return jose.JSONWebKey{Key: private, KeyID: id.NewKeyID(), Algorithm: algorithm, Use: "sig"}, nil
}

// newKey prepares a key whose signatures private makes.
func newKey(public jose.JSONWebKey, private private) *Key {
	k := &Key{
		id:        public.KeyID,
		algorithm: public.Algorithm,
		hash:      hashOf(public.Algorithm),
		size:      signatureSize(public.Key),
		private:   private,
	}
	k.header = k.encodeHeader("")
	return k
}

// storedKey prepares a stored private key for signing.
func storedKey(jwk jose.JSONWebKey) (*Key, error) {
	private, ok := jwk.Key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %q: a %T can't sign", jwk.KeyID, jwk.Key)
	}
	if err := Complete(&jwk); err != nil {
		return nil, fmt.Errorf("signing key %q: %w", jwk.KeyID, err)
	}
	if private, ok := private.(*rsa.PrivateKey); ok {
		private.Precompute() // not stored with the key; without it each signature would do it again, a tenth of its time
	}
	return newKey(jwk.Public(), inMemory{private, hashOf(jwk.Algorithm)}), nil
}

// encodeHeader returns the encoded JWS header and the dot after it. Members and order are what verifiers of deployed
// tokens have always seen: no typ, except where a caller asks for one.
func (k *Key) encodeHeader(typ string) string {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, k.algorithm, k.id)
	if typ != "" {
		header = fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, k.algorithm, k.id, typ)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "."
}

// Algorithm returns the JWS algorithm of the key.
func (k *Key) Algorithm() string { return k.algorithm }

// Length returns how many bytes Sign's result has for a payload of so many.
func (k *Key) Length(typ string, payload int) int {
	header := k.header
	if typ != "" {
		header = k.encodeHeader(typ)
	}
	enc := base64.RawURLEncoding
	return len(header) + enc.EncodedLen(payload) + 1 + enc.EncodedLen(k.size)
}

// Sign returns the payload as a JWS in compact form (RFC 7515, section 7.1), with typ in its header unless that is empty.
// The context matters where the key is not in memory.
func (k *Key) Sign(ctx context.Context, typ string, payload []byte) (string, error) {
	enc := base64.RawURLEncoding
	header := k.header
	if typ != "" {
		header = k.encodeHeader(typ)
	}
	size := len(header) + enc.EncodedLen(len(payload)) + 1 + enc.EncodedLen(k.size)
	token := make([]byte, 0, size)
	token = append(token, header...)
	token = enc.AppendEncode(token, payload)
	signature, err := k.private.sign(ctx, token)
	if err != nil {
		return "", fmt.Errorf("sign with key %q: %w", k.id, err)
	}
	token = append(token, '.')
	token = enc.AppendEncode(token, signature)
	return string(token), nil
}

// inMemory is a private key that is here.
type inMemory struct {
	key  crypto.Signer
	hash crypto.Hash
}

func (m inMemory) sign(_ context.Context, input []byte) ([]byte, error) {
	switch key := m.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, input), nil
	case *ecdsa.PrivateKey:
		return signECDSA(key, digest(m.hash, input))
	default:
		return key.Sign(rand.Reader, digest(m.hash, input), m.hash)
	}
}

// signECDSA returns the signature as the two numbers of fixed length that RFC 7518 (3.4) asks for, not as ASN.1.
func signECDSA(private *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, private, digest)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, signatureSize(&private.PublicKey))
	r.FillBytes(signature[:len(signature)/2])
	s.FillBytes(signature[len(signature)/2:])
	return signature, nil
}

// HalfHash returns what at_hash and c_hash hold for a value in a token signed by this key: the left half of its hash by
// the hash function of the algorithm (OpenID Connect Core, 3.1.3.6).
func (k *Key) HalfHash(value string) string {
	sum := digest(k.hash, []byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
