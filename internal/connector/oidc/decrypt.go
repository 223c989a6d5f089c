package oidc

import (
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/relyingparty"
)

// How tokens may be encrypted (RFC 7518, sections 4 and 5): nothing whose faults tell about the key or the content.
var (
	keyEncryptions     = []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.ECDH_ES}
	contentEncryptions = []jose.ContentEncryption{jose.A128GCM, jose.A256GCM}
)

// isEncrypted reports whether a token is a JWE.
func isEncrypted(token string) bool {
	return strings.Count(token, ".") == relyingparty.EncryptedParts-1
}

// opened returns the signed token in an encrypted one (OpenID Connect Core, section 16.14), and any other token as it is. Its
// error is a *relyingparty.InvalidToken unless the keys can't be read.
func (c *connection) opened(token string) (string, error) {
	if !isEncrypted(token) {
		return token, nil
	}
	inside, err := c.decrypt(token)
	if err != nil {
		return "", err
	}
	if strings.Count(inside, ".") != relyingparty.SignedParts-1 {
		return "", useless("it is encrypted, and what is in it is no signed token")
	}
	return inside, nil
}

// decrypt returns what is in an encrypted token. Anybody may have encrypted it: that it can be decrypted proves nothing.
func (c *connection) decrypt(token string) (string, error) {
	if c.cfg.DecryptionKey == "" {
		return "", useless("it is encrypted (JWE), and the connector has no decryptionKey")
	}
	encrypted, err := jose.ParseEncryptedCompact(token, keyEncryptions, contentEncryptions)
	if err != nil {
		first, _, _ := strings.Cut(token, ".")
		header, _ := relyingparty.ReadEncoded(first)
		return "", useless("it is encrypted with alg %q and enc %q; what is taken is %q with %q",
			header.Text("alg"), header.Text("enc"), keyEncryptions, contentEncryptions)
	}
	keys, err := relyingparty.ReadDecryptionKeys(c.cfg.DecryptionKey) // each time, as they may change
	if err != nil {
		return "", fmt.Errorf("decryptionKey: %w", err)
	}
	for _, key := range keys {
		if inside, err := encrypted.Decrypt(key); err == nil {
			return string(inside), nil
		}
	}
	return "", useless("it is encrypted for a key that is not in decryptionKey")
}
