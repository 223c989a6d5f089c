package signing

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// versions is a key in Vault ready for use; it never changes.
type versions struct {
	*published
	all []version // newest first, at least one
	min int       // versions before this one may not sign
}

// A version is one version of a key in Vault.
type version struct {
	number    int
	key       *Key
	public    jose.JSONWebKey
	signsFrom time.Time
}

// signing returns the newest key that has been published for long enough. If none has, it is the oldest that Vault
// allows.
func (v *versions) signing(now time.Time) *Key {
	chosen := v.all[0].key
	for _, candidate := range v.all {
		if candidate.number < v.min {
			break
		}
		chosen = candidate.key
		if !now.Before(candidate.signsFrom) {
			break
		}
	}
	return chosen
}

// signsFrom returns when the version of a key id begins to sign, if it is among these.
func (v *versions) signsFrom(keyID string) (time.Time, bool) {
	for _, known := range v.all {
		if known.public.KeyID == keyID {
			return known.signsFrom, true
		}
	}
	return time.Time{}, false
}

// next makes what Vault tells about the key ready for use. Versions whose public key can't be read are left out.
func (v *Vault) next(key *transitKey, now time.Time) (*versions, error) {
	next := &versions{min: key.MinEncryption}
	var broken error
	for text, data := range key.Versions {
		number, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		one, err := v.version(number, data, now)
		if err != nil {
			broken = err
			continue
		}
		next.all = append(next.all, one)
	}
	if len(next.all) == 0 || key.Derived {
		return nil, fmt.Errorf("keys of the type %q (derived: %t) can't sign tokens; it takes one of rsa-2048, rsa-3072, rsa-4096, "+
			"ecdsa-p256, ecdsa-p384, ecdsa-p521 and ed25519, not derived: %w", key.Type, key.Derived,
			cmp.Or(broken, errors.New("it has no usable version")))
	}
	slices.SortFunc(next.all, func(a, b version) int { return b.number - a.number })
	keys := make([]jose.JSONWebKey, len(next.all))
	for i, one := range next.all {
		keys[i] = one.public
	}
	var err error
	next.published, err = publish(keys)
	return next, err
}

// version makes one version ready for use.
func (v *Vault) version(number int, data json.RawMessage, now time.Time) (version, error) {
	var told transitVersion
	if err := json.Unmarshal(data, &told); err != nil {
		return version{}, errors.New("it has no public key")
	}
	public, err := parsePublicKey(told.PublicKey)
	if err != nil {
		return version{}, err
	}
	algorithm, err := algorithmOf(public)
	if err != nil {
		return version{}, err
	}
	jwk := jose.JSONWebKey{Key: public, Algorithm: algorithm, Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return version{}, err
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return version{
		number:    number,
		key:       newKey(jwk, remote{transit: v.transit, version: number, public: public, hash: hashOf(algorithm)}),
		public:    jwk,
		signsFrom: v.signsFrom(jwk.KeyID, told.Created, now),
	}, nil
}

// signsFrom returns when a version begins to sign. At a start it counts from the version's creation, because replicas
// that read the key then have published it since.
func (v *Vault) signsFrom(keyID string, created, now time.Time) time.Time {
	if v.cfg.SignAtOnce {
		return time.Time{}
	}
	before := v.current.Load()
	if before == nil {
		if created.IsZero() || created.After(now) {
			created = now
		}
		return created.Add(publishFor)
	}
	if from, ok := before.signsFrom(keyID); ok {
		return from
	}
	return now.Add(publishFor)
}

// parsePublicKey reads a key in PEM, or in the bare base64 that Ed25519 keys come in: the 32 bytes or PKIX.
func parsePublicKey(text string) (crypto.PublicKey, error) {
	der := []byte(nil)
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else if bare, err := base64.StdEncoding.DecodeString(text); err != nil || len(bare) == 0 {
		return nil, errors.New("its public key is neither PEM nor base64")
	} else if len(bare) == ed25519.PublicKeySize {
		return ed25519.PublicKey(bare), nil
	} else {
		der = bare
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("its public key: %w", err)
	}
	return public, nil
}

// remote is the private half of a version.
type remote struct {
	transit *transit
	version int
	public  crypto.PublicKey
	hash    crypto.Hash
}

// sign lets Vault sign and checks the signature: one that does not fit the key id of the header would be a token that
// nobody can verify.
func (r remote) sign(ctx context.Context, input []byte) ([]byte, error) {
	request := signRequest{KeyVersion: r.version}
	if _, ok := r.public.(ed25519.PublicKey); ok {
		request.Input = base64.StdEncoding.EncodeToString(input)
	} else {
		request.Input = base64.StdEncoding.EncodeToString(digest(r.hash, input))
		request.Prehashed, request.Padding = true, "pkcs1v15"
		request.Hash = fmt.Sprintf("sha2-%d", 8*r.hash.Size())
	}
	signature, err := r.transit.sign(ctx, request)
	if err != nil {
		return nil, err
	}
	if !verifies(r.public, r.hash, input, signature) {
		return nil, fmt.Errorf("sign by Vault: the signature is not one of version %d of the key as it was read", r.version)
	}
	return signature, nil
}

// verifies reports whether a signature in the form of JWS is one of a key.
func verifies(public crypto.PublicKey, hash crypto.Hash, input, signature []byte) bool {
	if len(signature) != signatureSize(public) {
		return false
	}
	switch public := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, hash, digest(hash, input), signature) == nil
	case *ecdsa.PublicKey:
		r, s := signature[:len(signature)/2], signature[len(signature)/2:]
		return ecdsa.Verify(public, digest(hash, input), new(big.Int).SetBytes(r), new(big.Int).SetBytes(s))
	case ed25519.PublicKey:
		return ed25519.Verify(public, input, signature)
	}
	return false
}
