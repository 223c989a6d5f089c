package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Algorithms of the local signer (RFC 7518, section 3.1; RFC 8037, section 3.1). Keys that others made, upstream or Vault, may be
// for ES512 too.
const (
	RS256 = string(jose.RS256)
	ES256 = string(jose.ES256)
	ES384 = string(jose.ES384)
	EdDSA = string(jose.EdDSA)
)

// anyAlgorithm are the algorithms that a key may have here. A token's must be that of its key.
var anyAlgorithm = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// algorithmOf returns the one algorithm that a public key is used with here.
func algorithmOf(public crypto.PublicKey) (string, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < rsaBits {
			return "", fmt.Errorf("an RSA key of %d bits is too short for RS256 (RFC 7518, section 3.3)", public.N.BitLen())
		}
		return RS256, nil
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return string(jose.ES384), nil
		case elliptic.P521():
			return string(jose.ES512), nil
		}
		return "", fmt.Errorf("there is no algorithm for keys on the curve %s", public.Curve.Params().Name)
	case ed25519.PublicKey:
		return string(jose.EdDSA), nil
	}
	return "", fmt.Errorf("there is no algorithm for keys of the type %T", public)
}

// Complete checks a key from the storage of upstream, public or private, and gives it the algorithm that upstream leaves
// out. The error says what is wrong with the key.
func Complete(k *jose.JSONWebKey) error {
	if !k.Valid() || k.KeyID == "" {
		return errors.New("the key is broken or has no id")
	}
	algorithm, err := algorithmOf(k.Public().Key)
	if err != nil {
		return err
	}
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return fmt.Errorf("the key is for the algorithm %q, but keys of its type are used with %s only", k.Algorithm, algorithm)
	}
	k.Algorithm = algorithm
	return nil
}

// hashOf returns the hash function of an algorithm. EdDSA with Ed25519 has SHA-512 inside (RFC 8032, section 5.1).
func hashOf(algorithm string) crypto.Hash {
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.ES384:
		return crypto.SHA384
	case jose.ES512, jose.EdDSA:
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

func digest(hash crypto.Hash, data []byte) []byte {
	switch hash {
	case crypto.SHA384:
		sum := sha512.Sum384(data)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(data)
		return sum[:]
	default:
		sum := sha256.Sum256(data)
		return sum[:]
	}
}

// signatureSize returns how many bytes a signature by a key has (RFC 7518, sections 3.3 and 3.4; RFC 8037, section 3.1).
func signatureSize(public crypto.PublicKey) int {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return public.Size()
	case *ecdsa.PublicKey:
		return 2 * ((public.Params().BitSize + 7) / 8)
	default:
		return ed25519.SignatureSize
	}
}
