package answer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// What a code stood for is kept for a while after its use, as its answer may have got lost. It is sealed by a key that is
// derived from the code: the storage has only the code's hash, so that nobody without the code can read it.

const keptPurpose = "what a code stands for"

// Seal encrypts what a code stands for, so that only the code opens it.
func Seal(secret string, what any) ([]byte, error) {
	plain, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("seal what a code stands for: %w", err)
	}
	aead, err := keptCipher(secret)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, nil), nil //nolint:gosec // G407: the cipher makes the nonce
}

// Open decrypts what Seal has encrypted.
func Open(secret string, kept []byte, what any) error {
	aead, err := keptCipher(secret)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, kept, nil)
	if err == nil {
		err = json.Unmarshal(plain, what)
	}
	if err != nil {
		return fmt.Errorf("open what a code stands for: %w", err)
	}
	return nil
}

func keptCipher(secret string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, keptPurpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
