package saml

import (
	"context"
	"crypto"
	_ "crypto/sha1" //nolint:gosec // G505: only with Reader.AllowSHA1
	_ "crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// A SignatureError means that there is a signature and it is not valid.
type SignatureError struct {
	Element string // what is signed, such as Assertion
	Cause   error
}

// Error names the element and what is wrong with its signature.
func (e *SignatureError) Error() string {
	return fmt.Sprintf("the signature of the %s is not valid: %v", e.Element, e.Cause)
}

// Unwrap returns the cause.
func (e *SignatureError) Unwrap() error { return e.Cause }

// A signatureMethod is how SignedInfo is signed.
type signatureMethod struct {
	kind keyKind
	hash crypto.Hash
	pss  bool // RSASSA-PSS, not PKCS #1 1.5
}

// moreMethods begins the names of RFC 6931 for RSASSA-PSS (section 2.3.10).
const moreMethods = "http://www.w3.org/2007/05/xmldsig-more#"

// signatureMethods are the accepted ones; SHA-1 only if it is allowed. HMAC is not among them: its secret would be the public
// key.
var signatureMethods = map[string]signatureMethod{
	dsig.RSASHA1SignatureMethod:     {kind: keyRSA, hash: crypto.SHA1},
	dsig.RSASHA256SignatureMethod:   {kind: keyRSA, hash: crypto.SHA256},
	dsig.RSASHA384SignatureMethod:   {kind: keyRSA, hash: crypto.SHA384},
	dsig.RSASHA512SignatureMethod:   {kind: keyRSA, hash: crypto.SHA512},
	moreMethods + "sha256-rsa-MGF1": {kind: keyRSA, hash: crypto.SHA256, pss: true},
	moreMethods + "sha384-rsa-MGF1": {kind: keyRSA, hash: crypto.SHA384, pss: true},
	moreMethods + "sha512-rsa-MGF1": {kind: keyRSA, hash: crypto.SHA512, pss: true},
	dsig.ECDSASHA1SignatureMethod:   {kind: keyECDSA, hash: crypto.SHA1},
	dsig.ECDSASHA256SignatureMethod: {kind: keyECDSA, hash: crypto.SHA256},
	dsig.ECDSASHA384SignatureMethod: {kind: keyECDSA, hash: crypto.SHA384},
	dsig.ECDSASHA512SignatureMethod: {kind: keyECDSA, hash: crypto.SHA512},
}

var digestMethods = map[string]crypto.Hash{
	"http://www.w3.org/2000/09/xmldsig#sha1":        crypto.SHA1,
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
}

// verify checks the signature that el has as a child and returns what it covers, parsed anew, or nil if el has no signature.
// If there is one and it is not valid, the error is a *SignatureError.
func (r *Reader) verify(ctx context.Context, el *etree.Element, now time.Time) (*etree.Element, error) {
	signatureElement, err := child(el, nsSignature, "Signature")
	if signatureElement == nil || err != nil {
		return nil, err
	}
	covered, err := r.verifySignature(ctx, el, signatureElement, now)
	if err != nil {
		return nil, &SignatureError{Element: el.Tag, Cause: err}
	}
	return covered, nil
}

func (r *Reader) verifySignature(ctx context.Context, el, signatureElement *etree.Element, now time.Time) (*etree.Element, error) {
	found, err := r.readSignature(el, signatureElement)
	if err != nil {
		return nil, err
	}
	candidates, err := found.candidates(r.certificates(), now, r.Accept.ExpiredCertificates)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, certificate := range candidates {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := found.verify(certificate)
		if err == nil {
			return found.covered(el, signatureElement)
		}
		failures = append(failures, fmt.Errorf("by the certificate %s: %w", quote(certificate.Subject.String()), err))
	}
	return nil, together(failures)
}

func (r *Reader) certificates() []*x509.Certificate {
	if r.Certificates == nil {
		return nil
	}
	return r.Certificates()
}

// A signature is what a Signature element says, with its shape checked. It is read from the canonical form of SignedInfo: the
// very bytes that are signed.
type signature struct {
	signed []byte
	method signatureMethod
	value  []byte

	form   dsig.Canonicalizer // of the element that it covers
	digest crypto.Hash
	sum    []byte
	// inclusive means that the form includes what is declared around the element.
	inclusive bool

	// named are the certificates in KeyInfo. They are compared with the configured ones, and never trusted by themselves.
	named []*x509.Certificate
}

// readSignature checks the shape of a signature (XML Signature, saml-core-2.0 section 5.4): it must cover the whole element
// that it is in, and nothing else.
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
		// Nothing refers to an Object: there is only one reference, and it means el.
		tolerated := r.Accept.SignatureObjects && is(part, nsSignature, "Object")
		if part != signedInfo && part != value && part != keyInfo && !tolerated {
			return nil, fmt.Errorf("it holds %s", quote(part.Tag))
		}
	}
	var found signature
	if err := r.readSignedInfo(&found, el, signedInfo); err != nil {
		return nil, err
	}
	if found.value, err = decodeText(value); err != nil {
		return nil, err
	}
	if keyInfo != nil {
		found.named = namedCertificates(keyInfo)
	}
	return &found, nil
}

// maxSignedInfo bounds the elements of a SignedInfo, which is processed before its signature is checked. It has about ten.
const maxSignedInfo = 50

func (r *Reader) readSignedInfo(found *signature, el, signedInfo *etree.Element) error {
	elements := 0
	err := walk(signedInfo, func(el *etree.Element) error {
		if elements++; elements > maxSignedInfo {
			return fmt.Errorf("SignedInfo has more than %d elements", maxSignedInfo)
		}
		return checkPlain(el)
	})
	if err != nil {
		return err
	}
	method, err := required(signedInfo, nsSignature, "CanonicalizationMethod")
	if err != nil {
		return err
	}
	form, _, err := canonicalForm(method)
	if err != nil {
		return fmt.Errorf("the canonicalization method: %w", err)
	}
	if found.signed, err = form.Canonicalize(detach(signedInfo)); err != nil {
		return fmt.Errorf("canonicalising SignedInfo: %w", err)
	}
	if signedInfo, err = parse(found.signed); err != nil {
		return err
	}
	if len(signedInfo.ChildElements()) != 3 {
		return errors.New("SignedInfo must have a canonicalization method, a signature method and one reference")
	}
	name, err := algorithm(signedInfo, "SignatureMethod")
	if err != nil {
		return err
	}
	var accepted bool
	if found.method, accepted = signatureMethods[name]; !accepted {
		return fmt.Errorf("the signature method %s is not accepted", quote(name))
	}
	if found.method.hash == crypto.SHA1 && !r.AllowSHA1 {
		return errors.New("it is made with SHA-1, which is not allowed")
	}
	reference, err := required(signedInfo, nsSignature, "Reference")
	if err != nil {
		return err
	}
	return r.readReference(found, el, reference)
}

// checkPlain refuses whatever two readers of a SignedInfo might understand differently.
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

// readReference requires that a reference means el. The empty URI means the whole document, so only its root.
func (r *Reader) readReference(found *signature, el, reference *etree.Element) error {
	uri, id := attribute(reference, "URI"), attribute(el, "ID")
	named := id != "" && uri == "#"+id
	whole := uri == "" && isRoot(el)
	if !named && !whole {
		return fmt.Errorf("it refers to %s and not to the %s that it is in", quote(uri), el.Tag)
	}
	transforms, err := required(reference, nsSignature, "Transforms")
	if err != nil {
		return errors.New("its reference has no enveloped-signature transform")
	}
	if err := found.readTransforms(transforms.ChildElements()); err != nil {
		return err
	}
	name, err := algorithm(reference, "DigestMethod")
	if err != nil {
		return err
	}
	var accepted bool
	if found.digest, accepted = digestMethods[name]; !accepted {
		return fmt.Errorf("the digest method %s is not accepted", quote(name))
	}
	if found.digest == crypto.SHA1 && !r.AllowSHA1 {
		return errors.New("its digest is made with SHA-1, which is not allowed")
	}
	sum, err := required(reference, nsSignature, "DigestValue")
	if err != nil {
		return err
	}
	found.sum, err = decodeText(sum)
	return err
}

// readTransforms allows the enveloped-signature transform and then a canonical form. Any other could leave part of the element
// out of the digest.
func (s *signature) readTransforms(transforms []*etree.Element) error {
	if len(transforms) == 0 {
		return errors.New("its reference has no enveloped-signature transform")
	}
	// Without a form of its own, an element is written in Canonical XML 1.0 (XML Signature 1.1 section 4.4.3.2).
	s.form, s.inclusive = dsig.MakeC14N10RecCanonicalizer(), true
	for i, transform := range transforms {
		name := attribute(transform, "Algorithm")
		ok := is(transform, nsSignature, "Transform") && i < 2
		if i == 0 {
			ok = ok && name == string(dsig.EnvelopedSignatureAltorithmId)
		} else if ok {
			var err error
			s.form, s.inclusive, err = canonicalForm(transform)
			ok = err == nil
		}
		if !ok {
			return fmt.Errorf("the transform %s is not accepted at position %d", quote(name), i+1)
		}
	}
	return nil
}

// canonicalForm returns the form that a CanonicalizationMethod or Transform names, and whether it is inclusive. Comments are
// left out in any case: see removeComments.
func canonicalForm(method *etree.Element) (form dsig.Canonicalizer, inclusive bool, err error) {
	name := attribute(method, "Algorithm")
	switch dsig.AlgorithmID(name) {
	case dsig.CanonicalXML10ExclusiveAlgorithmId, dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId:
		prefixes, err := child(method, nsExclusive, "InclusiveNamespaces")
		if err != nil {
			return nil, false, err
		}
		list := ""
		if prefixes != nil {
			list = attribute(prefixes, "PrefixList")
		}
		return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(list), false, nil
	case dsig.CanonicalXML10RecAlgorithmId, dsig.CanonicalXML10WithCommentsAlgorithmId:
		return dsig.MakeC14N10RecCanonicalizer(), true, nil
	case dsig.CanonicalXML11AlgorithmId, dsig.CanonicalXML11WithCommentsAlgorithmId:
		return dsig.MakeC14N11Canonicalizer(), true, nil
	default:
		return nil, false, fmt.Errorf("%s is not accepted", quote(name))
	}
}

// covered checks the digest of the element that a signature is in, and returns what was digested, parsed anew.
func (s *signature) covered(el, signatureElement *etree.Element) (*etree.Element, error) {
	alone := detach(el)
	alone.RemoveChildAt(signatureElement.Index())
	removeComments(alone)
	data, err := s.form.Canonicalize(alone)
	if err != nil {
		return nil, fmt.Errorf("canonicalising %s: %w", el.Tag, err)
	}
	hash := s.digest.New()
	_, _ = hash.Write(data) // never fails
	if slices.Equal(hash.Sum(nil), s.sum) {
		return parseCanonical(data, el)
	}
	if s.inclusive && !isRoot(el) {
		return nil, fmt.Errorf("the %s is not what was signed; it was signed with inclusive canonicalization, which breaks when the "+
			"provider puts it into a response after that: have the provider use exclusive canonicalization, or sign the response", el.Tag)
	}
	return nil, fmt.Errorf("the %s is not what was signed", el.Tag)
}
