package relyingparty

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/outbound"
)

// assertionLife is how long the provider may take to read what we have signed.
const assertionLife = time.Minute

// MinSecret is the least length of a secret that assertions are signed with, in bytes (RFC 7518, section 3.2).
const MinSecret = 32

// assertion returns a token that authenticates us (RFC 7523, section 2.2).
func (c *Client) assertion(method, audience string) (string, error) {
	if c.AssertionFile != "" {
		return readAssertion(c.AssertionFile)
	}
	key, err := c.assertionKey(method)
	if err != nil {
		return "", fmt.Errorf("clientKey: %w", err)
	}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": c.ID, "sub": c.ID, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	return signed.CompactSerialize()
}

// readAssertion reads an assertion from a file. That happens each time, as whoever makes assertions replaces them before they
// expire.
func readAssertion(path string) (string, error) {
	text, err := outbound.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	assertion := strings.TrimSpace(string(text))
	if strings.Count(assertion, ".") != SignedParts-1 || strings.ContainsAny(assertion, " \r\n") {
		return "", fmt.Errorf("client assertion: %s has no JWT", path)
	}
	return assertion, nil
}

// CheckAssertion reports what is wrong with the file that has assertions, if there is one.
func (c *Client) CheckAssertion() error {
	if c.AssertionFile == "" {
		return nil
	}
	_, err := readAssertion(c.AssertionFile)
	return err
}

// CheckKey reports what is wrong with the key that assertions are signed with, if there is one.
func (c *Client) CheckKey() error {
	if c.Key == "" {
		return nil
	}
	_, err := c.assertionKey(AuthPrivateKey)
	return err
}

// assertionKey returns what assertions are signed with. A key is read each time, as it may change.
func (c *Client) assertionKey(method string) (jose.SigningKey, error) {
	if method == AuthSecretJWT {
		secret, err := c.secret()
		return jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, err
	}
	key, alg, err := readKey(c.Key)
	if err != nil {
		return jose.SigningKey{}, err
	}
	if c.KeyAlgorithm == jose.PS256 && alg == jose.RS256 { // of the same keys
		alg = jose.PS256
	}
	if c.KeyAlgorithm != "" && c.KeyAlgorithm != alg {
		return jose.SigningKey{}, fmt.Errorf("the key in %s can't sign with %s, which is the clientKeyAlgorithm", c.Key, c.KeyAlgorithm)
	}
	return jose.SigningKey{Algorithm: alg, Key: key}, nil
}

// readKey reads a private key that tokens can be signed with: RSA, or of P-256.
func readKey(path string) (crypto.Signer, jose.SignatureAlgorithm, error) {
	text, err := outbound.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, "", fmt.Errorf("%s is no PEM", path)
	}
	key, err := parseKey(block)
	if err != nil {
		return nil, "", fmt.Errorf("%s is no private key", path)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, jose.RS256, nil
	case *ecdsa.PrivateKey:
		if key.Curve.Params().BitSize == 256 { // P-256, the curve of ES256
			return key, jose.ES256, nil
		}
	}
	return nil, "", fmt.Errorf("%s must be an RSA key or one of P-256", path)
}
