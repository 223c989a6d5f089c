package saml

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/beevik/etree"
)

// minRSABits is the minimum size of an RSA key. Old providers do sign with 1024 bits; smaller keys have been factored.
const minRSABits = 1024

// keyKind is the kind of key that a signature method needs.
type keyKind string

const (
	keyRSA   keyKind = "RSA"
	keyECDSA keyKind = "ECDSA"
)

// maxNamed bounds how many certificates of a KeyInfo are read: chains have about three.
const maxNamed = 20

// namedCertificates returns the certificates in a KeyInfo. Those that can't be read are skipped: they only help to choose.
func namedCertificates(keyInfo *etree.Element) []*x509.Certificate {
	var named []*x509.Certificate
	looked := 0
	for _, data := range children(keyInfo, nsSignature, "X509Data") {
		for _, el := range children(data, nsSignature, "X509Certificate") {
			if looked++; looked > maxNamed {
				return named
			}
			value, err := text(el)
			if err != nil {
				continue
			}
			if certificate, err := ParseCertificate(value); err == nil {
				named = append(named, certificate)
			}
		}
	}
	return named
}

// ParseCertificate reads the text of an X509Certificate: base64, which some providers put between PEM's lines.
func ParseCertificate(text string) (*x509.Certificate, error) {
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else {
		var err error
		if der, err = DecodePost(text); err != nil {
			return nil, err
		}
	}
	return x509.ParseCertificate(der)
}

// candidates returns the certificates that may have made the signature: those whose key KeyInfo names, or all if it names
// none. A certificate renewed for the same key will do, but the dates of the configured one count.
func (s *signature) candidates(certificates []*x509.Certificate, now time.Time, expired bool) ([]*x509.Certificate, error) {
	if len(certificates) == 0 {
		return nil, errors.New("no certificate of the provider is configured")
	}
	var found []*x509.Certificate
	var refused []error
	for _, certificate := range certificates {
		if len(s.named) > 0 && !slices.ContainsFunc(s.named, func(named *x509.Certificate) bool { return sameKey(named, certificate) }) {
			continue
		}
		if err := s.usable(certificate, now, expired); err != nil {
			refused = append(refused, fmt.Errorf("the certificate %s %w", quote(certificate.Subject.String()), err))
			continue
		}
		found = append(found, certificate)
	}
	if len(found) > 0 {
		return found, nil
	}
	if len(refused) == 0 {
		return nil, errors.New("it names a certificate that is not configured for the provider")
	}
	return nil, together(refused)
}

func sameKey(a, b *x509.Certificate) bool {
	return slices.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// usable returns why a configured certificate can't have made the signature.
func (s *signature) usable(certificate *x509.Certificate, now time.Time, expired bool) error {
	if now.Before(certificate.NotBefore) && !expired {
		return fmt.Errorf("is not valid before %s", show(certificate.NotBefore))
	}
	if now.After(certificate.NotAfter) && !expired {
		return fmt.Errorf("expired at %s", show(certificate.NotAfter))
	}
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if s.method.kind != keyRSA {
			return fmt.Errorf("has an RSA key, and the signature is made with %s", s.method.kind)
		}
		if key.N.BitLen() < minRSABits {
			return fmt.Errorf("has an RSA key of less than %d bits", minRSABits)
		}
	case *ecdsa.PublicKey:
		if s.method.kind != keyECDSA {
			return fmt.Errorf("has an ECDSA key, and the signature is made with %s", s.method.kind)
		}
	default:
		return errors.New("has a key of a kind that is not accepted")
	}
	return nil
}

// verify checks the signature of SignedInfo with a usable certificate.
func (s *signature) verify(certificate *x509.Certificate) error {
	hash := s.method.hash.New()
	_, _ = hash.Write(s.signed) // never fails
	sum := hash.Sum(nil)
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if s.method.pss {
			return rsa.VerifyPSS(key, s.method.hash, sum, s.value, nil)
		}
		return rsa.VerifyPKCS1v15(key, s.method.hash, sum, s.value)
	case *ecdsa.PublicKey:
		return verifyECDSA(key, sum, s.value)
	}
	return errors.ErrUnsupported
}

// verifyECDSA accepts a signature in the form of XML Signature, two numbers of the curve's size (RFC 6931 section 2.3.6), and
// in ASN.1, which some providers write instead.
func verifyECDSA(key *ecdsa.PublicKey, sum, value []byte) error {
	size := (key.Curve.Params().BitSize + 7) / 8
	valid := false
	if len(value) == 2*size {
		valid = ecdsa.Verify(key, sum, new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:]))
	}
	if !valid && !ecdsa.VerifyASN1(key, sum, value) {
		return errors.New("crypto/ecdsa: verification error")
	}
	return nil
}
