package relyingparty

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"dex/internal/outbound"
)

// maxDecryptionKeys bounds how many keys are tried for a token.
const maxDecryptionKeys = 10

// ReadDecryptionKeys reads the private keys of a PEM file, RSA or of an elliptic curve: one, or several while they are replaced.
func ReadDecryptionKeys(path string) ([]crypto.PrivateKey, error) {
	text, err := outbound.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys []crypto.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "EC PARAMETERS" { // as openssl ecparam writes before a key
			continue
		}
		key, err := parseKey(block)
		if err != nil {
			return nil, fmt.Errorf("%s is no private key", path)
		}
		switch key.(type) {
		case *rsa.PrivateKey, *ecdsa.PrivateKey:
			keys = append(keys, key)
		default:
			return nil, fmt.Errorf("%s must have RSA keys or keys of an elliptic curve", path)
		}
	}
	if len(keys) == 0 || len(keys) > maxDecryptionKeys {
		return nil, fmt.Errorf("%s must have between 1 and %d private keys in PEM", path, maxDecryptionKeys)
	}
	return keys, nil
}

// parseKey reads a private key in one of its three forms.
func parseKey(block *pem.Block) (crypto.PrivateKey, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}
