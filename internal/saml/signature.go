package saml

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// minRSABits is the least size of an RSA key. Old providers do sign with 1024 bits; below, keys have been factored.
const minRSABits = 1024

// keyKind is the kind of key that a signature method needs.
type keyKind string

const (
	keyRSA   keyKind = "RSA"
	keyECDSA keyKind = "ECDSA"
)

// signatureMethods are those accepted. HMAC is none of them: its secret would be the public key.
var signatureMethods = map[string]keyKind{
	dsig.RSASHA256SignatureMethod:   keyRSA,
	dsig.RSASHA384SignatureMethod:   keyRSA,
	dsig.RSASHA512SignatureMethod:   keyRSA,
	dsig.ECDSASHA256SignatureMethod: keyECDSA,
	dsig.ECDSASHA384SignatureMethod: keyECDSA,
	dsig.ECDSASHA512SignatureMethod: keyECDSA,
}

var sha1SignatureMethods = map[string]keyKind{
	dsig.RSASHA1SignatureMethod:   keyRSA,
	dsig.ECDSASHA1SignatureMethod: keyECDSA,
}

const digestSHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"

var digestMethods = []string{
	"http://www.w3.org/2001/04/xmlenc#sha256",
	"http://www.w3.org/2001/04/xmldsig-more#sha384",
	"http://www.w3.org/2001/04/xmlenc#sha512",
}

var canonicalForms = []string{
	string(dsig.CanonicalXML10ExclusiveAlgorithmId), string(dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId),
	string(dsig.CanonicalXML10RecAlgorithmId), string(dsig.CanonicalXML10WithCommentsAlgorithmId),
	string(dsig.CanonicalXML11AlgorithmId), string(dsig.CanonicalXML11WithCommentsAlgorithmId),
}

// verify checks the signature that el has as a child and returns what it covers, parsed anew: nil if el has no signature. A
// signature that is there and not valid is an error.
func (r *Reader) verify(ctx context.Context, el *etree.Element, now time.Time) (*etree.Element, error) {
	signatureElement, err := child(el, nsSignature, "Signature")
	if signatureElement == nil || err != nil {
		return nil, err
	}
	covered, err := r.verifySignature(ctx, el, signatureElement, now)
	if err != nil {
		return nil, fmt.Errorf("the signature of the %s is not valid: %w", el.Tag, err)
	}
	return covered, nil
}

func (r *Reader) verifySignature(ctx context.Context, el, signatureElement *etree.Element, now time.Time) (*etree.Element, error) {
	found, err := r.readSignature(el, signatureElement)
	if err != nil {
		return nil, err
	}
	candidates, err := found.candidates(r.certificates(), now)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, certificate := range candidates {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		covered, err := found.validate(el, signatureElement.Index(), certificate, now)
		if err == nil {
			return covered, nil
		}
		failures = append(failures, err)
	}
	return nil, together(failures)
}

func (r *Reader) certificates() []*x509.Certificate {
	if r.Certificates == nil {
		return nil
	}
	return r.Certificates()
}

// A signature is what a Signature element says, its shape checked.
type signature struct {
	kind  keyKind
	value []byte
	// named are the certificates in KeyInfo. They are compared with the configured ones and never trusted by themselves.
	named [][]byte
}

// readSignature checks the shape of a signature (XML Signature, saml-core-2.0 section 5.4): it must cover the element that
// it is in, whole, and nothing else.
func (r *Reader) readSignature(el, signatureElement *etree.Element) (*signature, error) {
	signedInfo, err := required(signatureElement, nsSignature, "SignedInfo")
	if err != nil {
		return nil, err
	}
	value, err := required(signatureElement, nsSignature, "SignatureValue")
	if err != nil {
		return nil, err
	}
	keyInfo, err := child(signatureElement, nsSignature, "KeyInfo")
	if err != nil {
		return nil, err
	}
	for _, part := range signatureElement.ChildElements() {
		if part != signedInfo && part != value && part != keyInfo {
			return nil, fmt.Errorf("it holds %s", quote(part.Tag))
		}
	}
	var found signature
	if found.kind, err = r.readSignedInfo(el, signedInfo); err != nil {
		return nil, err
	}
	if found.value, err = decodeText(value); err != nil {
		return nil, err
	}
	if keyInfo == nil {
		return &found, nil
	}
	return &found, found.readKeyInfo(keyInfo)
}

func (r *Reader) readSignedInfo(el, signedInfo *etree.Element) (keyKind, error) {
	if err := walk(signedInfo, checkPlain); err != nil {
		return "", err
	}
	parts := signedInfo.ChildElements()
	if len(parts) != 3 {
		return "", errors.New("SignedInfo must have a canonicalization method, a signature method and one reference")
	}
	canonicalization, err := algorithm(signedInfo, "CanonicalizationMethod")
	if err != nil {
		return "", err
	}
	if !slices.Contains(canonicalForms, canonicalization) {
		return "", fmt.Errorf("the canonicalization method %s is not accepted", quote(canonicalization))
	}
	method, err := algorithm(signedInfo, "SignatureMethod")
	if err != nil {
		return "", err
	}
	kind, accepted := signatureMethods[method]
	if weak, known := sha1SignatureMethods[method]; known {
		if !r.AllowSHA1 {
			return "", errors.New("it is made with SHA-1, which is not allowed")
		}
		kind, accepted = weak, true
	}
	if !accepted {
		return "", fmt.Errorf("the signature method %s is not accepted", quote(method))
	}
	reference, err := required(signedInfo, nsSignature, "Reference")
	if err != nil {
		return "", err
	}
	return kind, r.checkReference(el, reference)
}

// checkPlain refuses what two readers of a SignedInfo might understand differently.
func checkPlain(el *etree.Element) error {
	for _, token := range el.Child {
		if _, comment := token.(*etree.Comment); comment {
			return errors.New("there is a comment in SignedInfo")
		}
	}
	for i := range el.Attr {
		if attr := &el.Attr[i]; attr.Space != "" && (attr.Space != "xmlns" || attr.Key == "Algorithm" || attr.Key == "URI") {
			return fmt.Errorf("%s has an attribute %s", el.Tag, quote(attr.FullKey()))
		}
	}
	namespace := el.NamespaceURI()
	if namespace != nsSignature && (namespace != nsExclusive || el.Tag != "InclusiveNamespaces") {
		return fmt.Errorf("SignedInfo holds %s", quote(el.FullTag()))
	}
	return nil
}

func algorithm(parent *etree.Element, name string) (string, error) {
	method, err := required(parent, nsSignature, name)
	if err != nil {
		return "", err
	}
	return attribute(method, "Algorithm"), nil
}

// checkReference requires that a reference means el. The empty URI means the whole document, so only its root.
func (r *Reader) checkReference(el, reference *etree.Element) error {
	uri, id := attribute(reference, "URI"), attribute(el, "ID")
	named := id != "" && uri == "#"+id
	whole := uri == "" && isRoot(el)
	if !named && !whole {
		return fmt.Errorf("it refers to %s and not to the %s that it is in", quote(uri), el.Tag)
	}
	transforms, err := child(reference, nsSignature, "Transforms")
	if err != nil {
		return err
	}
	if transforms == nil {
		return errors.New("its reference has no enveloped-signature transform")
	}
	if err := checkTransforms(transforms); err != nil {
		return err
	}
	digest, err := algorithm(reference, "DigestMethod")
	if err != nil {
		return err
	}
	if digest == digestSHA1 && !r.AllowSHA1 {
		return errors.New("its digest is made with SHA-1, which is not allowed")
	}
	if digest != digestSHA1 && !slices.Contains(digestMethods, digest) {
		return fmt.Errorf("the digest method %s is not accepted", quote(digest))
	}
	_, err = required(reference, nsSignature, "DigestValue")
	return err
}

// checkTransforms allows the enveloped-signature transform and then a canonical form: any other could leave a part of the
// element out of the digest.
func checkTransforms(transforms *etree.Element) error {
	for i, transform := range transforms.ChildElements() {
		name := attribute(transform, "Algorithm")
		ok := transform.Tag == "Transform" && i < 2
		if i == 0 {
			ok = ok && name == string(dsig.EnvelopedSignatureAltorithmId)
		} else {
			ok = ok && slices.Contains(canonicalForms, name)
		}
		if !ok {
			return fmt.Errorf("the transform %s is not accepted at place %d", quote(name), i+1)
		}
	}
	if len(transforms.ChildElements()) == 0 {
		return errors.New("its reference has no enveloped-signature transform")
	}
	return nil
}

func (s *signature) readKeyInfo(keyInfo *etree.Element) error {
	for _, data := range children(keyInfo, nsSignature, "X509Data") {
		for _, certificate := range children(data, nsSignature, "X509Certificate") {
			der, err := decodeText(certificate)
			if err != nil {
				return err
			}
			s.named = append(s.named, der)
		}
	}
	return nil
}

// decodeText decodes an element's base64 text.
func decodeText(el *etree.Element) ([]byte, error) {
	value, err := text(el)
	if err != nil {
		return nil, err
	}
	decoded, err := DecodePost(value)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64", el.Tag)
	}
	return decoded, nil
}

// candidates returns the certificates that may have made the signature: those that KeyInfo names, or all if it names none.
func (s *signature) candidates(certificates []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if len(certificates) == 0 {
		return nil, errors.New("no certificate of the provider is configured")
	}
	var found []*x509.Certificate
	var refused []error
	for _, certificate := range certificates {
		if len(s.named) > 0 && !slices.ContainsFunc(s.named, func(der []byte) bool { return slices.Equal(der, certificate.Raw) }) {
			continue
		}
		if err := s.usable(certificate, now); err != nil {
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

// usable tells why a configured certificate can't have made the signature.
func (s *signature) usable(certificate *x509.Certificate, now time.Time) error {
	if now.Before(certificate.NotBefore) {
		return fmt.Errorf("is not valid before %s", show(certificate.NotBefore))
	}
	if now.After(certificate.NotAfter) {
		return fmt.Errorf("expired at %s", show(certificate.NotAfter))
	}
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if s.kind != keyRSA {
			return fmt.Errorf("has an RSA key, and the signature is made with %s", s.kind)
		}
		if key.N.BitLen() < minRSABits {
			return fmt.Errorf("has an RSA key of less than %d bits", minRSABits)
		}
	case *ecdsa.PublicKey:
		if s.kind != keyECDSA {
			return fmt.Errorf("has an ECDSA key, and the signature is made with %s", s.kind)
		}
	default:
		return errors.New("has a key of a kind that is not accepted")
	}
	return nil
}

// validate checks digest and signature with one certificate, and returns what the digest was made of. index is the place of
// the Signature among el's children.
func (s *signature) validate(el *etree.Element, index int, certificate *x509.Certificate, now time.Time) (*etree.Element, error) {
	alone := detach(el)
	own, ok := alone.Child[index].(*etree.Element)
	if !ok {
		return nil, errors.New("the signature is not where it was")
	}
	// The library takes the first signature it meets, and as the key the first certificate named, if any. Neither the
	// place of the signature in its parent nor its value and KeyInfo are covered by it.
	removeComments(alone)
	alone.RemoveChild(own)
	alone.InsertChildAt(0, own)
	for _, part := range own.ChildElements() {
		switch part.Tag {
		case "KeyInfo":
			own.RemoveChild(part)
		case "SignatureValue":
			part.SetText(base64.StdEncoding.EncodeToString(s.valueFor(certificate)))
		}
	}
	validation := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
	validation.Clock = dsig.NewFakeClockAt(now)
	covered, err := validation.Validate(alone)
	if err != nil {
		return nil, fmt.Errorf("by the certificate %s: %w", quote(certificate.Subject.String()), err)
	}
	if covered.Tag != el.Tag || covered.NamespaceURI() != el.NamespaceURI() || attribute(covered, "ID") != attribute(el, "ID") {
		return nil, errors.New("it covers another element")
	}
	return reparse(covered)
}

// valueFor returns the value in the form that the library takes. XML Signature writes an ECDSA signature as two numbers of
// the curve's size (RFC 6931 section 2.3.6); the library, and those who sign with it, write the ASN.1 form.
func (s *signature) valueFor(certificate *x509.Certificate) []byte {
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return s.value
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	if len(s.value) != 2*size {
		return s.value
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s.value[:size]), new(big.Int).SetBytes(s.value[size:])})
	if err != nil {
		return s.value
	}
	return der
}
