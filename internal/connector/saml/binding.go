package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Names of form fields and query parameters (saml-bindings-2.0 sections 3.4.4 and 3.5.4).
const (
	fieldRequest    = "SAMLRequest"
	fieldResponse   = "SAMLResponse"
	fieldRelayState = "RelayState"
	fieldSigAlg     = "SigAlg"
	fieldSignature  = "Signature"
)

// fieldOf returns the name under which a message travels.
func fieldOf(message *etree.Element) string {
	if strings.HasSuffix(message.Tag, "Response") {
		return fieldResponse
	}
	return fieldRequest
}

// postForm returns the form that carries a message (section 3.5.4).
func postForm(message *etree.Element, relayState string, pair *keyPair) (url.Values, error) {
	if pair != nil {
		if err := sign(message, pair); err != nil {
			return nil, err
		}
	}
	document, err := write(message)
	if err != nil {
		return nil, err
	}
	form := url.Values{fieldOf(message): {base64.StdEncoding.EncodeToString(document)}}
	if relayState != "" {
		form.Set(fieldRelayState, relayState)
	}
	return form, nil
}

// redirectURL returns an address with a message in its query (section 3.4.4.1).
func redirectURL(message *etree.Element, address, relayState string, pair *keyPair) (string, error) {
	document, err := write(message)
	if err != nil {
		return "", err
	}
	deflated, err := deflate(document)
	if err != nil {
		return "", err
	}
	// The signature covers the parameters as they are written, in this order.
	query := fieldOf(message) + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated))
	if relayState != "" {
		query += "&" + fieldRelayState + "=" + url.QueryEscape(relayState)
	}
	if pair != nil {
		algorithm, value, err := pair.signQuery(func(algorithm string) string {
			return query + "&" + fieldSigAlg + "=" + url.QueryEscape(algorithm)
		})
		if err != nil {
			return "", err
		}
		query += "&" + fieldSigAlg + "=" + url.QueryEscape(algorithm) +
			"&" + fieldSignature + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value))
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + query, nil
}

func write(el *etree.Element) ([]byte, error) {
	document, err := etree.NewDocumentWithRoot(el).WriteToBytes()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", el.Tag, err)
	}
	return document, nil
}

func deflate(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	return b.Bytes(), nil
}

// sign puts a signature into a message: after the Issuer, where the schema has it (saml-core-2.0 section 3.2.1).
func sign(el *etree.Element, pair *keyPair) error {
	signing, err := dsig.NewSigningContext(pair.key, [][]byte{pair.certificate.Raw})
	if err != nil {
		return fmt.Errorf("sign %s: %w", el.Tag, err)
	}
	signing.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	signature, err := signing.ConstructSignature(el, true)
	if err != nil {
		return fmt.Errorf("sign %s: %w", el.Tag, err)
	}
	if err := writeAsNumbers(signature, pair.key); err != nil {
		return fmt.Errorf("sign %s: %w", el.Tag, err)
	}
	place := 0
	if issuer := el.SelectElement("Issuer"); issuer != nil {
		place = issuer.Index() + 1
	}
	el.InsertChildAt(place, signature)
	return nil
}

// writeAsNumbers rewrites an ECDSA signature in the form of XML Signature: the library writes ASN.1.
func writeAsNumbers(signature *etree.Element, key crypto.Signer) error {
	curveKey, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil
	}
	value := signature.SelectElement("SignatureValue")
	if value == nil {
		return errors.New("the library wrote no SignatureValue")
	}
	der, err := base64.StdEncoding.DecodeString(value.Text())
	if err != nil {
		return fmt.Errorf("SignatureValue: %w", err)
	}
	numbers, err := asNumbers(der, curveKey)
	if err != nil {
		return err
	}
	value.SetText(base64.StdEncoding.EncodeToString(numbers))
	return nil
}

// asNumbers writes an ASN.1 signature as two numbers of the curve's size (RFC 6931 section 2.3.6).
func asNumbers(der []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	var numbers struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &numbers); err != nil || len(rest) > 0 {
		return nil, errors.New("the signature is not ASN.1")
	}
	size := curveSize(&key.PublicKey)
	out := make([]byte, 2*size)
	numbers.R.FillBytes(out[:size])
	numbers.S.FillBytes(out[size:])
	return out, nil
}

// curveSize is the length of a number on a key's curve, in bytes.
func curveSize(key *ecdsa.PublicKey) int { return (key.Curve.Params().BitSize + 7) / 8 }

// signQuery signs the query that content returns for an algorithm.
func (p *keyPair) signQuery(content func(algorithm string) string) (algorithm string, value []byte, err error) {
	switch key := p.key.(type) {
	case *rsa.PrivateKey:
		algorithm = dsig.RSASHA256SignatureMethod
		sum := sha256.Sum256([]byte(content(algorithm)))
		value, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		algorithm = dsig.ECDSASHA256SignatureMethod
		sum := sha256.Sum256([]byte(content(algorithm)))
		if value, err = ecdsa.SignASN1(rand.Reader, key, sum[:]); err == nil {
			value, err = asNumbers(value, key)
		}
	default:
		err = errors.New("the key is neither RSA nor ECDSA")
	}
	if err != nil {
		return "", nil, fmt.Errorf("sign the message: %w", err)
	}
	return algorithm, value, nil
}
