package saml_test

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/beevik/etree"

	"dex/internal/saml"
)

// Attacks other than those of badSignatures: on what a signature covers, on how it is made and by whom, and on what is
// encrypted.

func TestAttacksOnWhatIsSigned(t *testing.T) {
	p := newPeople(t)
	usual := signer{who: p.provider}
	response, assertion := usual.sign("_response1"), usual.sign("_assertion1")
	wholeDocument := ""
	objects := func(r *saml.Reader) { r.Accept.SignatureObjects = true }
	ids := func(r *saml.Reader) { r.Accept.SignatureIDs = true }
	foreign := inTurn(
		replace("<samlp:Response ", `<samlp:Response xmlns:f="urn:harmless" `),
		replace("<saml:AttributeStatement>", `<saml:AttributeStatement><f:Attribute Name="groups"><saml:AttributeValue>root</saml:AttributeValue></f:Attribute>`))
	becomesSAML := replace(`xmlns:f="urn:harmless"`, `xmlns:f="urn:oasis:names:tc:SAML:2.0:assertion"`)
	for _, document := range []bad{
		// Providers publish their metadata, often signed with the key of their assertions.
		{name: "signature of the metadata", sign: response, after: onTree(signedLikeMetadata(usual)), want: "the Response is not what was signed"},
		{name: "signature of the metadata as a whole", sign: response, after: onTree(signedLikeMetadata(signer{who: p.provider, uri: &wholeDocument})),
			want: "the Response is not what was signed"},
		{name: "original assertion in an object", sign: assertion, after: xsw8, reader: objects, want: `there is an assertion within "Object"`},
		{name: "original response in an object", sign: response, after: originalInObject, reader: objects, want: `there is a Response within "Object"`},
		{name: "signature in an object", sign: assertion, after: signatureInObject, reader: objects, want: `there is a signature within "Object"`},
		{name: "xml:id", sign: assertion, after: replace("<samlp:Status>", `<samlp:Status xml:id="_assertion1">`), want: "an ID attribute has a prefix"},
		{name: "prefixed id", sign: assertion, after: replace("<samlp:Status>", `<samlp:Status saml:id="_assertion1">`), want: "an ID attribute has a prefix"},
		{name: "Id and ID", sign: assertion, after: replace("<samlp:Status>", `<samlp:Status Id="_assertion1">`), want: `two elements have the ID "_assertion1"`},
		{name: "Id of a signature and ID", sign: assertion, reader: ids, after: replace("<ds:Signature ", `<ds:Signature Id="_assertion1" `),
			want: `two elements have the ID "_assertion1"`},
		{name: "id and ID", sign: assertion, after: replace(` ID="_assertion1"`, ` id="_assertion1" AssertionID="_assertion1" ID="_evil"`),
			want: `it refers to "#_assertion1" and not to the Assertion`},
		{name: "moved to another ID", sign: assertion, after: replace(` ID="_assertion1"`, ` ID="_assertion2"`), want: `it refers to "#_assertion1"`},
		{name: "signature beside the assertion", sign: assertion, after: inTurn(moveSignature, replace("#_assertion1", "#_response1")),
			want: "the signature of the Response is not valid"},
		{name: "foreign element made SAML's", sign: assertion, before: foreign, goodBy: inTurn(foreign, assertion), after: becomesSAML,
			want: "the Assertion is not what was signed"},
		{name: "foreign element of a signed response made SAML's", goodBy: inTurn(foreign, response), after: becomesSAML,
			want: "the Response is not what was signed"},
		{name: "SAML's prefix made foreign", sign: assertion, after: replace("<saml:Subject>", `<saml:Subject xmlns:saml="urn:x">`),
			want: "the Assertion is not what was signed"},
		{name: "second subject hidden", sign: assertion, after: replace("<saml:Conditions ", `<saml:Subject/><saml:Conditions `),
			want: "the Assertion is not what was signed"},
		{name: "text put into the signature's element", sign: response, after: replace("</ds:SignedInfo>", "</ds:SignedInfo><saml:Issuer/>"), want: `it holds "Issuer"`},
		{name: "UTF-16", sign: response, after: inTurn(replace("UTF-8", "UTF-16"), inUTF16), want: "the document is not UTF-8"},
		{name: "UTF-7", sign: response, after: replace(`encoding="UTF-8"`, `encoding="UTF-7"`), want: "not XML"},
		{name: "name that begins with a digit", sign: assertion, after: replace("<samlp:Status>", `<saml:1a/><samlp:Status>`), want: "changes when it is read and written"},
		{name: "DOCTYPE with default attributes", sign: response,
			after: replace("<samlp:Response ", `<!DOCTYPE r [<!ATTLIST saml:NameID Format CDATA "x">]><samlp:Response `), want: "the document has a DOCTYPE"},
	} {
		t.Run(document.name, func(t *testing.T) { document.isRefused(t, p) })
	}
}

// signedLikeMetadata puts a signature into the response that was made for another element with the same ID.
func signedLikeMetadata(s signer) func(testing.TB, *etree.Element) {
	return func(t testing.TB, root *etree.Element) {
		t.Helper()
		own := named(t, root, "ds:Signature")
		root.InsertChildAt(own.Index(), onlySignature(t, s))
		root.RemoveChild(own)
	}
}

var (
	originalInObject = onTree(func(t testing.TB, root *etree.Element) {
		original := root.Copy()
		becomeEvil(t, root)
		named(t, root, "ds:Signature").CreateElement("ds:Object").AddChild(original)
	})
	signatureInObject = onTree(func(t testing.TB, root *etree.Element) {
		signature := named(t, root, "ds:Signature")
		signature.CreateElement("ds:Object").AddChild(signature.Copy())
	})
)

func inUTF16(_ testing.TB, document string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(document)) {
		b.WriteByte(byte(unit))
		b.WriteByte(byte(unit >> 8))
	}
	return b.String()
}

func TestAttacksOnSigning(t *testing.T) {
	p := newPeople(t)
	response := signer{who: p.provider}.sign("_response1")
	by := func(change func(*signer)) edit {
		s := signer{who: p.provider}
		change(&s)
		return s.sign("_response1")
	}
	with := func(transforms string) edit { return by(func(s *signer) { s.transforms = transforms }) }
	referring := func(uri string) edit { return by(func(s *signer) { s.uri = &uri }) }
	named := func(method string) edit { return by(func(s *signer) { s.method = method }) }
	showing := func(keyInfo string) edit {
		return by(func(s *signer) { s.who, s.keyInfo = p.stranger, &keyInfo })
	}
	exclusive := transform("http://www.w3.org/2001/10/xml-exc-c14n#")
	const key = `<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>`
	for _, document := range []bad{
		{name: "canonical form before the enveloped signature", sign: with(exclusive + transform(enveloped)), want: "is not accepted at position 1"},
		{name: "enveloped signature twice", sign: with(transform(enveloped) + transform(enveloped)), want: "is not accepted at position 2"},
		{name: "base64", sign: with(transform(enveloped) + transform("http://www.w3.org/2000/09/xmldsig#base64")), want: "is not accepted at position 2"},
		{name: "XPath filter", sign: with(transform(enveloped) + transform("http://www.w3.org/2002/06/xmldsig-filter2")), want: "is not accepted at position 2"},
		{name: "decryption", sign: with(transform(enveloped) + transform("http://www.w3.org/2002/07/decrypt#XML")), want: "is not accepted at position 2"},
		{name: "transform without a name", sign: with(transform(enveloped) + transform("")), want: "is not accepted at position 2"},
		{name: "foreign element for a transform", sign: with(transform(enveloped) + `<x:Transform xmlns:x="urn:x"></x:Transform>`),
			want: `SignedInfo holds "x:Transform"`},
		{name: "xpointer to the document", sign: referring("#xpointer(/)"), want: `it refers to "#xpointer(/)"`},
		{name: "xpointer to an ID", sign: referring("#xpointer(id('_response1'))"), want: "it refers to"},
		{name: "ID in another case", sign: referring("#_RESPONSE1"), want: "it refers to"},
		{name: "empty ID", sign: referring("#"), want: `it refers to "#"`},
		{name: "reference without a URI to an element that is not the root", sign: signer{who: p.provider}.sign("_assertion1"),
			after: replace(` URI="#_assertion1"`, ""), want: `it refers to ""`},
		{name: "blank method", sign: named(" "), want: `the signature method " " is not accepted`},
		{name: "method none", sign: named("none"), want: `the signature method "none" is not accepted`},
		{name: "MD5", sign: named("http://www.w3.org/2001/04/xmldsig-more#rsa-md5"), want: "is not accepted"},
		{name: "DSA", sign: named("http://www.w3.org/2000/09/xmldsig#dsa-sha1"), want: "is not accepted"},
		{name: "PSS with SHA-1", sign: named("http://www.w3.org/2007/05/xmldsig-more#sha1-rsa-MGF1"), want: "is not accepted"},
		{name: "PSS with parameters", sign: named("http://www.w3.org/2007/05/xmldsig-more#rsa-pss"), want: "is not accepted"},
		{name: "HMAC with SHA-1", sign: named("http://www.w3.org/2000/09/xmldsig#hmac-sha1"), reader: func(r *saml.Reader) { r.AllowSHA1 = true }, want: "is not accepted"},
		{name: "another hash than was signed", sign: response, after: replace("rsa-sha256", "rsa-sha512"), want: "verification error"},
		{name: "key in the response", sign: showing("<ds:KeyInfo>" + key + "</ds:KeyInfo>"), want: "verification error"},
		{name: "key elsewhere", sign: showing(`<ds:KeyInfo><ds:RetrievalMethod URI="https://evil.example/key"></ds:RetrievalMethod></ds:KeyInfo>`),
			want: "verification error"},
		{name: "the provider's certificate beside the stranger's", sign: response, goodBy: response, after: onTree(strangersSignature(p)), want: "verification error"},
		{name: "no signature value", sign: response, after: without("<ds:SignatureValue>", "</ds:SignatureValue>"), want: "Signature has no SignatureValue"},
	} {
		if document.goodBy == nil && document.after == nil {
			document.goodBy = response
		}
		t.Run(document.name, func(t *testing.T) { document.isRefused(t, p) })
	}
}

// strangersSignature names the provider's certificate and then that of the stranger, who signed.
func strangersSignature(p *people) func(testing.TB, *etree.Element) {
	return func(t testing.TB, root *etree.Element) {
		t.Helper()
		own := named(t, root, "ds:Signature")
		certificate := named(t, own, "ds:X509Certificate").Copy()
		root.RemoveChild(own)
		forged := signer{who: p.stranger}.signature(t, root, "_response1")
		named(t, forged, "ds:X509Data").InsertChildAt(0, certificate)
		root.InsertChildAt(2, forged)
	}
}

func TestAttacksOnEncryption(t *testing.T) {
	p := newPeople(t)
	usual := signer{who: p.provider}
	own := encrypter{key: &p.service.PublicKey}
	signed := usual.sign("_response1")
	encrypt := own.encrypt("saml:Assertion", "saml:EncryptedAssertion")
	first := inTurn(usual.sign("_assertion1"), encrypt)
	// Anybody can encrypt for us: our metadata has the key.
	plaintext := func(change func(string) string) edit {
		return inTurn(usual.sign("_assertion1"), encryptText(p, change))
	}
	forged := inTurn(replace(">alice@", ">admin@"), encrypt)
	for _, document := range []bad{
		{name: "encrypted twice", sign: inTurn(first, own.encrypt("saml:EncryptedAssertion", "saml:EncryptedAssertion")), want: "Decrypted has no Assertion"},
		{name: "encrypted response", sign: plaintext(func(s string) string { return `<samlp:Response>` + s + `</samlp:Response>` }),
			want: `there is a Response within "Decrypted"`},
		{name: "two assertions", sign: plaintext(func(s string) string { return s + `<saml:Assertion ID="_evil"/>` }), want: "what was encrypted is not one element"},
		{name: "assertion and something else", sign: plaintext(func(s string) string { return s + `<x/>` }), want: "what was encrypted is not one element"},
		{name: "out of what stands around it", sign: plaintext(func(s string) string { return s + `</Decrypted><Decrypted>` }),
			want: "the document has more than one root element"},
		{name: "DOCTYPE", sign: plaintext(func(s string) string { return `<!DOCTYPE x>` + s }), want: "the document has a DOCTYPE"},
		{name: "another encrypted in a signed response", sign: inTurn(encrypt, signed), after: func(t testing.TB, document string) string {
			return swap(t, document, forged(t, plainResponse), "<saml:EncryptedAssertion>", "</saml:EncryptedAssertion>")
		}, want: "the Response is not what was signed"},
		{name: "encrypted one for a plain one in a signed response", sign: signed, after: encrypt, want: "the Response is not what was signed"},
		{name: "signature taken out of a response with an encrypted one", sign: inTurn(encrypt, signed), after: without("<ds:Signature xmlns", "</ds:Signature>"),
			want: "neither the response nor its assertion is signed"},
		{name: "encrypted one whose signature is of another", goodBy: first, sign: inTurn(usual.sign("_assertion1"), replace(">alice@", ">admin@"), encrypt),
			want: "the Assertion is not what was signed"},
		{name: "EncryptedID put for the NameID", sign: usual.sign("_assertion1"), after: own.encrypt("saml:NameID", "saml:EncryptedID"),
			want: "the Assertion is not what was signed"},
		{name: "of another login", goodBy: first, sign: inTurn(replace(`Data InResponseTo="_request1"`, `Data InResponseTo="_other"`), first),
			want: "it answers another request"},
	} {
		if document.goodBy == nil && document.after == nil {
			document.goodBy = first
		}
		t.Run(document.name, func(t *testing.T) { document.isRefused(t, p) })
	}
}

// swap replaces a part of a document with that of another.
func swap(t testing.TB, document, other, from, to string) string {
	t.Helper()
	cut := func(s string) (before, part, after string) {
		before, rest, found := strings.Cut(s, from)
		part, after, closed := strings.Cut(rest, to)
		if !found || !closed {
			t.Fatalf("the document has no %q", from)
		}
		return before, part, after
	}
	before, _, after := cut(document)
	_, part, _ := cut(other)
	return before + from + part + to + after
}

// Changes that a signature doesn't notice don't change the meaning: only what was signed is read.
func TestChangesThatMeanNothing(t *testing.T) {
	p := newPeople(t)
	for name, change := range map[string]edit{
		"comment":              replace(">alice@", ">ali<!-- admin -->ce@"),
		"comment for another":  replace(">alice@example.org", ">alice@example.org<!-- -->"),
		"CDATA":                replace(">alice@", "><![CDATA[ali]]>ce@"),
		"reference":            replace(">alice@", ">&#97;lic&#x65;@"),
		"quotes":               replace(`Name="mail"`, `Name='m&#97;il'`),
		"declaration":          replace("<saml:Subject>", `<saml:Subject xmlns:x="urn:x">`),
		"declaration again":    replace("<saml:Subject>", `<saml:Subject xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">`),
		"instruction":          replace("<samlp:Response ", `<?xml-stylesheet href="x"?><samlp:Response `),
		"KeyInfo":              without("<ds:KeyInfo>", "</ds:KeyInfo>"),
		"place of a signature": onTree(signatureLast),
	} {
		for _, id := range []string{"_response1", "_assertion1"} {
			document := inTurn(signer{who: p.provider}.sign(id), change)(t, plainResponse)
			read, err := reader(p).Read(t.Context(), []byte(document), request)
			if err != nil || read.NameID.Value != alice || read.Attributes[0].Name != "mail" {
				t.Errorf("%s of %s: %+v, %v", name, id, read, err)
			}
		}
	}
}

func signatureLast(t testing.TB, root *etree.Element) {
	t.Helper()
	signature := named(t, root, "ds:Signature")
	parent := signature.Parent()
	parent.RemoveChild(signature)
	parent.AddChild(signature)
}

// Blanks tell a provider's users apart. Only the white space of pretty-printing is not part of their names.
func TestTrimIndent(t *testing.T) {
	for value, want := range map[string]string{
		"jane": "jane", "jane ": "jane ", " jane": " jane", "\tjane\t": "\tjane\t", "jane\u00a0": "jane\u00a0", "\njane\u00a0\n": "jane\u00a0",
		"\n  jane\n": "jane", " \r\n jane \r\n ": "jane", "\njane ": "jane ", "ja\nne": "ja\nne", "": "", "  ": "", " \n": "",
	} {
		if got := saml.TrimIndent(value); got != want {
			t.Errorf("%q becomes %q", value, got)
		}
	}
}
