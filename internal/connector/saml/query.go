package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // G505: only where allowSHA1 is set
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	dsig "github.com/russellhaering/goxmldsig"
)

// A signedQuery is a message of the redirect binding, whose signature covers the query as it was written.
type signedQuery struct {
	request    string
	response   string
	relayState string
	algorithm  string
	signature  string // base64; empty if there is none
	covered    string
}

// parseQuery takes a query apart. A parameter that occurs twice is refused: signer and reader must understand the same.
func parseQuery(query string) (signedQuery, error) {
	written, values := map[string]string{}, map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if _, twice := written[name]; twice {
			return signedQuery{}, errors.New("the query has a parameter twice")
		}
		unescaped, err := url.QueryUnescape(value)
		if err != nil {
			return signedQuery{}, fmt.Errorf("the query is malformed: %w", err)
		}
		written[name], values[name] = value, unescaped
	}
	_, request := written[fieldRequest]
	if _, response := written[fieldResponse]; request && response {
		return signedQuery{}, errors.New("the query has both a request and a response")
	}
	var covered []string
	for _, name := range []string{fieldRequest, fieldResponse, fieldRelayState, fieldSigAlg} {
		if value, ok := written[name]; ok {
			covered = append(covered, name+"="+value)
		}
	}
	return signedQuery{
		request: values[fieldRequest], response: values[fieldResponse], relayState: values[fieldRelayState], algorithm: values[fieldSigAlg], signature: values[fieldSignature],
		covered: strings.Join(covered, "&"),
	}, nil
}

// A querySignature is a method of signing queries.
type querySignature struct {
	hash  crypto.Hash
	curve bool // ECDSA, and not RSA
	pss   bool // RSASSA-PSS, and not PKCS #1 1.5
}

// moreMethods begins the names of RFC 6931 for RSASSA-PSS (section 2.3.10).
const moreMethods = "http://www.w3.org/2007/05/xmldsig-more#"

var querySignatures = map[string]querySignature{
	dsig.RSASHA1SignatureMethod:     {hash: crypto.SHA1},
	dsig.RSASHA256SignatureMethod:   {hash: crypto.SHA256},
	dsig.RSASHA384SignatureMethod:   {hash: crypto.SHA384},
	dsig.RSASHA512SignatureMethod:   {hash: crypto.SHA512},
	moreMethods + "sha256-rsa-MGF1": {hash: crypto.SHA256, pss: true},
	moreMethods + "sha384-rsa-MGF1": {hash: crypto.SHA384, pss: true},
	moreMethods + "sha512-rsa-MGF1": {hash: crypto.SHA512, pss: true},
	dsig.ECDSASHA256SignatureMethod: {hash: crypto.SHA256, curve: true},
	dsig.ECDSASHA384SignatureMethod: {hash: crypto.SHA384, curve: true},
	dsig.ECDSASHA512SignatureMethod: {hash: crypto.SHA512, curve: true},
}

// verify returns nil if one of the certificates' keys made the signature. If expired is true, their dates don't matter.
func (q signedQuery) verify(all certificates, allowSHA1, expired bool, now time.Time) error {
	method, known := querySignatures[q.algorithm]
	if !known {
		return fmt.Errorf("the signature is made with %q, which is not accepted", q.algorithm)
	}
	if method.hash == crypto.SHA1 && !allowSHA1 {
		return errors.New("the signature is made with SHA-1, which is not allowed")
	}
	value, err := base64.StdEncoding.DecodeString(q.signature)
	if err != nil {
		return errors.New("the signature is not base64")
	}
	hash := method.hash.New()
	_, _ = hash.Write([]byte(q.covered)) // a hash never fails
	sum := hash.Sum(nil)
	for _, certificate := range all {
		inTime := !now.Before(certificate.NotBefore) && !now.After(certificate.NotAfter)
		if (inTime || expired) && method.verifies(certificate, sum, value) {
			return nil
		}
	}
	return errors.New("the signature was not made with any of the provider's certificates that are valid now")
}

func (m querySignature) verifies(certificate *x509.Certificate, sum, value []byte) bool {
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if m.pss {
			return rsa.VerifyPSS(key, m.hash, sum, value, nil) == nil
		}
		return !m.curve && rsa.VerifyPKCS1v15(key, m.hash, sum, value) == nil
	case *ecdsa.PublicKey:
		if !m.curve {
			return false
		}
		if size := curveSize(key); len(value) == 2*size {
			return ecdsa.Verify(key, sum, new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:]))
		}
		return ecdsa.VerifyASN1(key, sum, value) // as some providers write it
	}
	return false
}
