package saml_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"

	"dex/internal/saml"
)

// What every document in these tests says, and when it is read.
const (
	request  = "_request1"
	issuer   = "https://idp.example/metadata"
	audience = "https://dex.example/saml"
	acs      = "https://dex.example/callback"
	alice    = "alice@example.org"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// plainResponse is a response that has not been signed yet.
const plainResponse = `<?xml version="1.0" encoding="UTF-8"?>
<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_response1" Version="2.0" IssueInstant="2030-01-02T03:04:00Z" Destination="https://dex.example/callback" InResponseTo="_request1">
  <saml:Issuer>https://idp.example/metadata</saml:Issuer>
  <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
  <saml:Assertion xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="_assertion1" Version="2.0" IssueInstant="2030-01-02T03:04:00Z">
    <saml:Issuer>https://idp.example/metadata</saml:Issuer>
    <saml:Subject>
      <saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="q" SPNameQualifier="sq">alice@example.org</saml:NameID>
      <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
        <saml:SubjectConfirmationData InResponseTo="_request1" Recipient="https://dex.example/callback" NotOnOrAfter="2030-01-02T03:09:00Z"/>
      </saml:SubjectConfirmation>
    </saml:Subject>
    <saml:Conditions NotBefore="2030-01-02T03:04:00Z" NotOnOrAfter="2030-01-02T03:10:00Z">
      <saml:AudienceRestriction><saml:Audience>https://dex.example/saml</saml:Audience></saml:AudienceRestriction>
    </saml:Conditions>
    <saml:AuthnStatement AuthnInstant="2030-01-02T03:00:00Z" SessionIndex="_session1" SessionNotOnOrAfter="2030-01-02T11:00:00Z">
      <saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext>
    </saml:AuthnStatement>
    <saml:AttributeStatement>
      <saml:Attribute Name="mail" FriendlyName="E-mail"><saml:AttributeValue xsi:type="xs:string">alice@example.org</saml:AttributeValue></saml:Attribute>
      <saml:Attribute Name="groups"><saml:AttributeValue>admins</saml:AttributeValue><saml:AttributeValue> two words </saml:AttributeValue></saml:Attribute>
    </saml:AttributeStatement>
  </saml:Assertion>
</samlp:Response>
`

// An edit changes a document.
type edit func(t testing.TB, document string) string

func keep(_ testing.TB, document string) string { return document }

// replace changes the first occurrence of a text that must be there.
func replace(old, with string) edit {
	return func(t testing.TB, document string) string {
		t.Helper()
		if !strings.Contains(document, old) {
			t.Fatalf("the document has no %q", old)
		}
		return strings.Replace(document, old, with, 1)
	}
}

// without removes everything from the first occurrence of one text to the end of the next occurrence of another.
func without(from, to string) edit {
	return func(t testing.TB, document string) string {
		t.Helper()
		before, rest, found := strings.Cut(document, from)
		if !found {
			t.Fatalf("the document has no %q", from)
		}
		_, after, found := strings.Cut(rest, to)
		if !found {
			t.Fatalf("the document has no %q", to)
		}
		return before + after
	}
}

func inTurn(edits ...edit) edit {
	return func(t testing.TB, document string) string {
		t.Helper()
		for _, change := range edits {
			document = change(t, document)
		}
		return document
	}
}

// onTree changes a document as a tree.
func onTree(change func(t testing.TB, root *etree.Element)) edit {
	return func(t testing.TB, document string) string {
		t.Helper()
		tree := etree.NewDocument()
		if err := tree.ReadFromString(document); err != nil {
			t.Fatal(err)
		}
		change(t, tree.Root())
		written, err := tree.WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
}

// named finds the only element with a name and prefix.
func named(t testing.TB, root *etree.Element, name string) *etree.Element {
	t.Helper()
	found := root.FindElement("//" + name)
	if found == nil {
		t.Fatalf("the document has no %s", name)
	}
	return found
}

// A signer signs elements of a document. Zero fields stand for what today's providers do.
type signer struct {
	who           authority
	method        string
	hash          crypto.Hash
	digest        crypto.Hash
	canonicalizer dsig.Canonicalizer
	uri           *string
	transforms    string // XML instead of the usual
	keyInfo       *string
	secret        []byte // of HMAC
	asn1          bool   // for ECDSA, instead of the form of XML Signature
	withComments  bool   // in the digest, against XML Signature
}

var signatureURIs = map[crypto.Hash]string{
	crypto.SHA1:   dsig.RSASHA1SignatureMethod,
	crypto.SHA256: dsig.RSASHA256SignatureMethod,
	crypto.SHA384: dsig.RSASHA384SignatureMethod,
	crypto.SHA512: dsig.RSASHA512SignatureMethod,
}

var digestURIs = map[crypto.Hash]string{
	crypto.SHA1:   "http://www.w3.org/2000/09/xmldsig#sha1",
	crypto.SHA256: "http://www.w3.org/2001/04/xmlenc#sha256",
	crypto.SHA384: "http://www.w3.org/2001/04/xmldsig-more#sha384",
	crypto.SHA512: "http://www.w3.org/2001/04/xmlenc#sha512",
}

// sign puts a signature of the element with an ID after its Issuer.
func (s signer) sign(id string) edit {
	return onTree(func(t testing.TB, root *etree.Element) {
		t.Helper()
		el := root.FindElement("//*[@ID='" + id + "']")
		if el == nil {
			t.Fatalf("no element has the ID %s", id)
		}
		el.InsertChildAt(el.SelectElement("saml:Issuer").Index()+1, s.signature(t, el, id))
	})
}

func (s signer) signature(t testing.TB, el *etree.Element, id string) *etree.Element {
	t.Helper()
	if s.hash == 0 {
		s.hash = crypto.SHA256
	}
	if s.digest == 0 {
		s.digest = crypto.SHA256
	}
	if s.canonicalizer == nil {
		s.canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	}
	if s.method == "" {
		s.method = signatureURIs[s.hash]
		if _, isRSA := s.who.key.(*rsa.PrivateKey); !isRSA {
			s.method = dsig.ECDSASHA256SignatureMethod
		}
	}
	if s.transforms == "" {
		s.transforms = transform(string(dsig.EnvelopedSignatureAltorithmId)) + transform(string(s.canonicalizer.Algorithm()))
	}
	uri := "#" + id
	if s.uri != nil {
		uri = *s.uri
	}
	keyInfo := `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(s.who.certificate.Raw) +
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
	if s.keyInfo != nil {
		keyInfo = *s.keyInfo
	}
	// Written in canonical form, so that these are the bytes to sign.
	signedInfo := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` +
		`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + s.method + `"></ds:SignatureMethod>` +
		`<ds:Reference URI="` + uri + `"><ds:Transforms>` + s.transforms + `</ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + digestURIs[s.digest] + `"></ds:DigestMethod>` +
		`<ds:DigestValue>` + s.digestOf(t, el) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	document := etree.NewDocument()
	err := document.ReadFromString(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + signedInfo +
		`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(s.value(t, []byte(signedInfo))) + `</ds:SignatureValue>` +
		keyInfo + `</ds:Signature>`)
	if err != nil {
		t.Fatal(err)
	}
	return document.Root()
}

func transform(algorithm string) string {
	return `<ds:Transform Algorithm="` + algorithm + `"></ds:Transform>`
}

func (s signer) digestOf(t testing.TB, el *etree.Element) string {
	t.Helper()
	around, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := etreeutils.NSDetatch(around, el)
	if err != nil {
		t.Fatal(err)
	}
	if !s.withComments {
		removeComments(alone)
	}
	canonical, err := s.canonicalizer.Canonicalize(alone)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sum(s.digest, canonical))
}

func removeComments(el *etree.Element) {
	for _, token := range slices.Clone(el.Child) {
		switch token := token.(type) {
		case *etree.Comment:
			el.RemoveChild(token)
		case *etree.Element:
			removeComments(token)
		}
	}
}

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

func (s signer) value(t testing.TB, signedInfo []byte) []byte {
	t.Helper()
	if s.secret != nil {
		mac := hmac.New(s.hash.New, s.secret)
		mac.Write(signedInfo)
		return mac.Sum(nil)
	}
	value, err := s.who.key.Sign(rand.Reader, sum(s.hash, signedInfo), s.hash)
	if err != nil {
		t.Fatal(err)
	}
	key, isECDSA := s.who.key.(*ecdsa.PrivateKey)
	if !isECDSA || s.asn1 {
		return value
	}
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &numbers); err != nil {
		t.Fatal(err)
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	return append(numbers.R.FillBytes(make([]byte, size)), numbers.S.FillBytes(make([]byte, size))...)
}

// reader returns a reader of the documents above, strict and with the provider's certificate.
func reader(p *people) *saml.Reader {
	return &saml.Reader{
		Certificates: func() []*x509.Certificate { return []*x509.Certificate{p.provider.certificate} },
		Keys:         []*rsa.PrivateKey{p.service},
		Issuer:       issuer, Audience: audience, ACS: acs, Strict: true,
		Now: func() time.Time { return now },
	}
}
