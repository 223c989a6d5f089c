package transittest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512" // for crypto.Hash.New
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// symmetric is a type of key that can't sign.
const symmetric = "aes256-gcm96"

type key struct {
	typ                 string
	versions            []keyVersion
	first, firstSigning int
}

type keyVersion struct {
	private crypto.Signer // nil if symmetric
	created time.Time
}

// newVersion panics where the type is none of Transit's: a mistake of the test.
func newVersion(typ string) keyVersion {
	v := keyVersion{created: time.Now()}
	var err error
	switch typ {
	case "rsa-2048":
		v.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-3072":
		v.private, err = rsa.GenerateKey(rand.Reader, 3072)
	case "rsa-4096":
		v.private, err = rsa.GenerateKey(rand.Reader, 4096)
	case "ecdsa-p256":
		v.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		v.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ecdsa-p521":
		v.private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, v.private, err = ed25519.GenerateKey(rand.Reader)
	case symmetric:
	default:
		err = fmt.Errorf("unknown key type %s", typ)
	}
	if err != nil {
		panic(err)
	}
	return v
}

// describe returns what the engine tells about a version: Ed25519 keys as bare base64, all others in PEM.
func (v keyVersion) describe() any {
	if v.private == nil {
		return v.created.Unix()
	}
	told := map[string]any{"creation_time": v.created.UTC().Format(time.RFC3339Nano), "name": "any", "public_key": ""}
	if public, ok := v.private.Public().(ed25519.PublicKey); ok {
		told["public_key"] = base64.StdEncoding.EncodeToString(public)
		return told
	}
	der, err := x509.MarshalPKIXPublicKey(v.private.Public())
	if err != nil {
		panic(err)
	}
	told["public_key"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return told
}

// input is a request for a signature. The defaults are the engine's: SHA-256, PSS, ASN.1.
type input struct {
	Input      []byte `json:"input"`
	KeyVersion int    `json:"key_version"`
	Prehashed  bool   `json:"prehashed"`
	Hash       string `json:"hash_algorithm"`
	Marshaling string `json:"marshaling_algorithm"`
	Signature  string `json:"signature_algorithm"`
}

var hashes = map[string]crypto.Hash{
	"": crypto.SHA256, "sha2-256": crypto.SHA256, "sha2-384": crypto.SHA384, "sha2-512": crypto.SHA512,
}

func (v keyVersion) sign(in input) (string, error) {
	encode := base64.StdEncoding.EncodeToString
	if in.Marshaling == "jws" {
		encode = base64.RawURLEncoding.EncodeToString
	}
	if private, ok := v.private.(ed25519.PrivateKey); ok {
		if in.Prehashed {
			return "", errors.New("prehashed is not supported for this type of key")
		}
		return encode(ed25519.Sign(private, in.Input)), nil
	}
	if v.private == nil {
		return "", fmt.Errorf("key type %s does not support signing", symmetric)
	}
	hash, ok := hashes[in.Hash]
	if !ok {
		return "", fmt.Errorf("invalid hash algorithm %q", in.Hash)
	}
	sum := in.Input
	if !in.Prehashed {
		h := hash.New()
		h.Write(sum)
		sum = h.Sum(nil)
	}
	signature, err := v.signSum(hash, sum, in)
	if err != nil {
		return "", err
	}
	return encode(signature), nil
}

func (v keyVersion) signSum(hash crypto.Hash, sum []byte, in input) ([]byte, error) {
	switch private := v.private.(type) {
	case *rsa.PrivateKey:
		if in.Signature == "pkcs1v15" {
			return private.Sign(rand.Reader, sum, hash)
		}
		return private.Sign(rand.Reader, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: hash})
	case *ecdsa.PrivateKey:
		encoded, err := private.Sign(rand.Reader, sum, hash)
		if err != nil || in.Marshaling != "jws" {
			return encoded, err
		}
		var two struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(encoded, &two); err != nil {
			return nil, err
		}
		size := (private.Params().BitSize + 7) / 8
		return append(two.R.FillBytes(make([]byte, size)), two.S.FillBytes(make([]byte, size))...), nil
	}
	return nil, fmt.Errorf("a %T can't sign", v.private)
}
