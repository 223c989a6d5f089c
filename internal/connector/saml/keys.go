package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// minRSABits is the minimum size of our own RSA key.
const minRSABits = 2048

// certificates are the ones that a provider, or the signer of its metadata, may sign with.
type certificates []*x509.Certificate

// parseCertificates reads PEM blocks, which must all be certificates, with nothing after the last.
func parseCertificates(data []byte) (certificates, error) {
	var all certificates
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		// Upstream ignores the type too: some tools write TRUSTED CERTIFICATE, or X509 CERTIFICATE.
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d (%s) is not a certificate: %w", len(all)+1, block.Type, err)
		}
		all, data = append(all, certificate), rest
	}
	if len(all) == 0 {
		return nil, errors.New("there is no PEM block with a certificate in it")
	}
	if len(bytes.TrimSpace(data)) > 0 {
		return nil, fmt.Errorf("something other than a PEM block follows after %d certificate(s)", len(all))
	}
	return all, nil
}

// check returns nil if at least one certificate is valid now, and otherwise an error that says why none is.
func (c certificates) check(now time.Time) error {
	if len(c) == 0 {
		return errors.New("no certificate of the provider is known")
	}
	var last *x509.Certificate
	for _, certificate := range c {
		if !now.Before(certificate.NotBefore) && !now.After(certificate.NotAfter) {
			return nil
		}
		if last == nil || certificate.NotAfter.After(last.NotAfter) {
			last = certificate
		}
	}
	return fmt.Errorf("no certificate of the provider is valid now; the last is %s, from %s to %s", last.Subject,
		last.NotBefore.UTC().Format(time.RFC3339), last.NotAfter.UTC().Format(time.RFC3339))
}

// warnBefore is how long before a certificate expires the warnings begin.
const warnBefore = 30 * 24 * time.Hour

// expiry returns a warning if all certificates have expired or will soon, and otherwise nothing.
func (c certificates) expiry(now time.Time) string {
	var last *x509.Certificate
	for _, certificate := range c {
		if last == nil || certificate.NotAfter.After(last.NotAfter) {
			last = certificate
		}
	}
	if last == nil || now.Add(warnBefore).Before(last.NotAfter) {
		return ""
	}
	ends := "expires"
	if now.After(last.NotAfter) {
		ends = "expired"
	}
	return fmt.Sprintf("the provider's last certificate, %s, %s on %s: nobody can log in after that; put the provider's next one beside it",
		last.Subject, ends, last.NotAfter.UTC().Format(time.RFC3339))
}

// parseFirst adapts a parser of one file for watch.
func parseFirst[T any](parse func([]byte) (T, error)) func([][]byte) (T, error) {
	return func(contents [][]byte) (T, error) { return parse(contents[0]) }
}

// A keyPair is our key with the certificate that the provider knows it by.
type keyPair struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

// keys are our own keys.
type keys struct {
	pair     *watched[keyPair]         // nil for none
	previous *watched[*rsa.PrivateKey] // nil for none
}

func (c *Config) openKeys(log *slog.Logger) (keys, error) {
	var k keys
	var err error
	if c.SPKey != "" {
		if k.pair, err = watch(log, parseKeyPair, c.SPCert, c.SPKey); err != nil {
			return keys{}, fmt.Errorf("spCert and spKey: %w", err)
		}
	}
	if c.PreviousKey != "" {
		if k.previous, err = watch(log, parseFirst(parseRSAKey), c.PreviousKey); err != nil {
			return keys{}, fmt.Errorf("previousSPKey: %w", err)
		}
	}
	return k, nil
}

// parseKeyPair reads a certificate and its key, both PEM.
func parseKeyPair(contents [][]byte) (keyPair, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return keyPair{}, err
	}
	switch key := pair.PrivateKey.(type) {
	case *rsa.PrivateKey:
		return keyPair{key, pair.Leaf}, checkSize(key)
	case *ecdsa.PrivateKey:
		return keyPair{key, pair.Leaf}, nil
	}
	return keyPair{}, errors.New("the key is neither RSA nor ECDSA")
}

func parseRSAKey(content []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("there is no PEM block with a key in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, errors.New("there is no RSA key in the first PEM block")
		}
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not RSA, the only kind that assertions can be encrypted for")
	}
	return key, checkSize(key)
}

func checkSize(key *rsa.PrivateKey) error {
	if key.N.BitLen() < minRSABits {
		return fmt.Errorf("the RSA key has less than %d bits", minRSABits)
	}
	return nil
}

// current returns our key; nil if we have none.
func (k keys) current() *keyPair {
	if k.pair == nil {
		return nil
	}
	pair := k.pair.current()
	return &pair
}

// decrypters returns our keys that assertions may be encrypted for.
func (k keys) decrypters() []*rsa.PrivateKey {
	var all []*rsa.PrivateKey
	if pair := k.current(); pair != nil {
		if key, ok := pair.key.(*rsa.PrivateKey); ok {
			all = append(all, key)
		}
	}
	if k.previous != nil {
		all = append(all, k.previous.current())
	}
	return all
}
