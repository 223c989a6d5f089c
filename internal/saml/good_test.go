package saml_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"dex/internal/saml"
)

// A good document is plainResponse with edits, and read by a reader that may be changed.
type good struct {
	name   string
	make   edit
	reader func(*saml.Reader)
}

func signBoth(s signer) edit { return inTurn(s.sign("_assertion1"), s.sign("_response1")) }

// goodDocuments are documents as providers send them.
func goodDocuments(p *people) []good {
	var none, wholeDocument string
	usual := signer{who: p.provider}
	forService := encrypter{key: &p.service.PublicKey}
	encryptAssertion := forService.encrypt("saml:Assertion", "saml:EncryptedAssertion")
	// An encrypted assertion stands alone afterwards, so it declares the namespaces that it uses.
	selfContained := replace(`<saml:Assertion `, `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" `)
	withCertificates := func(certificates ...*x509.Certificate) func(*saml.Reader) {
		return func(r *saml.Reader) { r.Certificates = func() []*x509.Certificate { return certificates } }
	}
	return []good{
		{name: "response signed", make: usual.sign("_response1")},
		{name: "assertion signed", make: usual.sign("_assertion1")},
		{name: "both signed", make: signBoth(usual)},
		{name: "signed by the library", make: signedByLibrary(p.provider)},
		{name: "signed with SHA-384", make: signer{who: p.provider, hash: crypto.SHA384, digest: crypto.SHA384}.sign("_assertion1")},
		{name: "signed with SHA-512", make: signer{who: p.provider, hash: crypto.SHA512, digest: crypto.SHA512}.sign("_response1")},
		{name: "signed with SHA-1", make: signer{who: p.provider, hash: crypto.SHA1, digest: crypto.SHA1}.sign("_response1"),
			reader: func(r *saml.Reader) { r.AllowSHA1 = true }},
		{name: "signed with ECDSA", make: signer{who: p.elliptic}.sign("_assertion1"), reader: withCertificates(p.elliptic.certificate)},
		{name: "signed with ECDSA in ASN.1", make: signer{who: p.elliptic, asn1: true}.sign("_assertion1"),
			reader: withCertificates(p.elliptic.certificate)},
		{name: "without KeyInfo", make: signer{who: p.provider, keyInfo: &none}.sign("_response1")},
		{name: "without KeyInfo and two certificates", make: signer{who: p.provider, keyInfo: &none}.sign("_response1"),
			reader: withCertificates(p.next.certificate, p.elliptic.certificate, p.provider.certificate)},
		{name: "two certificates of which one has expired", make: usual.sign("_response1"),
			reader: withCertificates(p.expired.certificate, p.provider.certificate)},
		{name: "signature value in indented lines", make: inTurn(usual.sign("_response1"),
			replace(`<ds:SignatureValue>`, "<ds:SignatureValue>\n\t  "))},
		{name: "reference to the whole document", make: signer{who: p.provider, uri: &wholeDocument}.sign("_response1")},
		{name: "canonical form 1.1", make: signer{who: p.provider, canonicalizer: dsig.MakeC14N11Canonicalizer()}.sign("_response1")},
		{name: "canonical form 1.0 of an assertion", make: signer{who: p.provider, canonicalizer: dsig.MakeC14N10RecCanonicalizer()}.sign("_assertion1")},
		{name: "canonical form with comments", make: inTurn(replace(`<saml:Subject>`, `<saml:Subject><!-- the user -->`),
			signer{who: p.provider, canonicalizer: dsig.MakeC14N10ExclusiveWithCommentsCanonicalizerWithPrefixList("")}.sign("_assertion1"))},
		{name: "prefixes of types", make: signer{who: p.provider,
			canonicalizer: dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("xs"),
			transforms: transform(string(dsig.EnvelopedSignatureAltorithmId)) + `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">` +
				`<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="xs"></ec:InclusiveNamespaces></ds:Transform>`,
		}.sign("_assertion1")},
		{name: "comment in a value", make: inTurn(usual.sign("_assertion1"), replace("alice@", "al<!-- x -->ice@"))},
		{name: "CDATA", make: inTurn(usual.sign("_assertion1"), replace("alice@example.org<", "<![CDATA[alice@example]]>.org<"))},
		{name: "byte order mark", make: inTurn(usual.sign("_assertion1"), replace("<?xml", "\ufeff<?xml"))},
		{name: "encrypted with GCM", make: inTurn(selfContained, usual.sign("_assertion1"), encryptAssertion)},
		{name: "encrypted and signed as a whole", make: inTurn(selfContained, encryptAssertion, usual.sign("_response1"))},
		{name: "encrypted and both signed", make: inTurn(selfContained, usual.sign("_assertion1"), encryptAssertion, usual.sign("_response1"))},
		{name: "encrypted with the namespaces of its place", make: inTurn(usual.sign("_assertion1"), encryptAssertion)},
		{name: "encrypted with AES-128 and OAEP of 1.1", make: inTurn(usual.sign("_assertion1"),
			encrypter{key: &p.service.PublicKey, keySize: 16, transport: oaep11, hash: crypto.SHA256, mask: crypto.SHA256, beside: true}.
				encrypt("saml:Assertion", "saml:EncryptedAssertion"))},
		{name: "encrypted with CBC in a signed response", make: inTurn(selfContained,
			encrypter{key: &p.service.PublicKey, cbc: true}.encrypt("saml:Assertion", "saml:EncryptedAssertion"), usual.sign("_response1"))},
		{name: "encrypted for one of two keys", make: inTurn(usual.sign("_assertion1"), encryptAssertion),
			reader: func(r *saml.Reader) {
				r.Keys = append([]*rsa.PrivateKey{p.stranger.key.(*rsa.PrivateKey)}, r.Keys...)
			}},
		{name: "encrypted NameID and attribute", make: inTurn(selfContained,
			forService.encrypt("saml:NameID", "saml:EncryptedID"),
			forService.encrypt("saml:Attribute[2]", "saml:EncryptedAttribute"), usual.sign("_assertion1"))},
		{name: "numeric offset and fraction", make: inTurn(
			replace(`NotOnOrAfter="2030-01-02T03:09:00Z"`, `NotOnOrAfter="2030-01-02T04:09:00.000+01:00"`), usual.sign("_assertion1"))},
		{name: "two confirmations of which one holds", make: inTurn(
			replace(`<saml:SubjectConfirmation `, `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"/><saml:SubjectConfirmation `),
			usual.sign("_assertion1"))},
		{name: "two audience restrictions", make: inTurn(replace(`<saml:AudienceRestriction>`,
			`<saml:OneTimeUse/><saml:AudienceRestriction><saml:Audience>x</saml:Audience><saml:Audience>https://dex.example/saml</saml:Audience></saml:AudienceRestriction><saml:AudienceRestriction>`),
			usual.sign("_assertion1"))},
		{name: "29 seconds late", make: usual.sign("_response1"), reader: at("2030-01-02T03:09:29Z")},
		{name: "29 seconds early", make: usual.sign("_response1"), reader: at("2030-01-02T03:03:31Z")},
		{name: "an issuer of any name", make: usual.sign("_response1"), reader: func(r *saml.Reader) { r.Issuer = "" }},
		{name: "not signed and not asked for", make: keep, reader: func(r *saml.Reader) { r.InsecureSkipSignature = true; r.Certificates = nil }},
	}
}

func at(instant string) func(*saml.Reader) {
	return func(r *saml.Reader) {
		r.Now = func() time.Time {
			at, err := time.Parse(time.RFC3339, instant)
			if err != nil {
				panic(err)
			}
			return at
		}
	}
}

// signedByLibrary signs as programs with the same library do: at the end of the element.
func signedByLibrary(who authority) edit {
	return func(t testing.TB, document string) string {
		t.Helper()
		return onTree(func(t testing.TB, root *etree.Element) {
			t.Helper()
			signing, err := dsig.NewSigningContext(who.key, [][]byte{who.certificate.Raw})
			if err != nil {
				t.Fatal(err)
			}
			signing.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
			signature, err := signing.ConstructSignature(root.Copy(), true)
			if err != nil {
				t.Fatal(err)
			}
			root.AddChild(signature)
		})(t, document)
	}
}

func TestGoodDocuments(t *testing.T) {
	p := newPeople(t)
	for _, document := range goodDocuments(p) {
		t.Run(document.name, func(t *testing.T) {
			r := reader(p)
			if document.reader != nil {
				document.reader(r)
			}
			read, err := r.Read(t.Context(), []byte(document.make(t, plainResponse)), request)
			if err != nil {
				t.Fatal(err)
			}
			want := signedAssertion()
			want.ResponseID = "_response1"
			if diff := cmp.Diff(want, read); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Values that hold elements are not text: a NameID gives its text, others are left out.
func TestAttributeValuesThatHoldElements(t *testing.T) {
	p := newPeople(t)
	document := inTurn(replace(`<saml:AttributeValue>admins</saml:AttributeValue>`,
		`<saml:AttributeValue><saml:NameID>targeted</saml:NameID></saml:AttributeValue><saml:AttributeValue>a<saml:b/>c</saml:AttributeValue>`),
		signer{who: p.provider}.sign("_response1"))(t, plainResponse)
	read, err := reader(p).Read(t.Context(), []byte(document), request)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(read.Attributes[1].Values, "|"); got != "targeted| two words " {
		t.Errorf("the values are %q", got)
	}
}

// Without an end, there is nothing to remember the assertion until.
func TestAssertionWithoutEnd(t *testing.T) {
	p := newPeople(t)
	document := inTurn(
		replace(` NotOnOrAfter="2030-01-02T03:09:00Z"`, ""), replace(` NotOnOrAfter="2030-01-02T03:10:00Z"`, ""),
		replace(` SessionNotOnOrAfter="2030-01-02T11:00:00Z"`, ""), signer{who: p.provider}.sign("_response1"),
	)(t, plainResponse)
	r := reader(p)
	r.Strict = false
	read, err := r.Read(t.Context(), []byte(document), request)
	if err != nil {
		t.Fatal(err)
	}
	if !read.NotOnOrAfter.IsZero() {
		t.Errorf("it ends at %s", read.NotOnOrAfter)
	}
}
