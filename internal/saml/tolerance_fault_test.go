package saml_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"dex/internal/faulttest"
	"dex/internal/saml"
)

// read makes a document from plainResponse and reads it.
func read(t *testing.T, document edit, change func(*saml.Reader)) (*saml.Assertion, error) {
	t.Helper()
	r := reader(newPeople(t))
	if change != nil {
		change(r)
	}
	return r.Read(t.Context(), []byte(document(t, plainResponse)), request)
}

// reissued is an authority's key in a new certificate.
func reissued(t *testing.T, a authority) authority {
	t.Helper()
	renewed, err := newAuthority("renewed", a.key, now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return renewed
}

// Instants without a zone were refused, even where nothing depends on them. All of SAML's are in UTC.
var _ = faulttest.Add("C-21", func(t *testing.T) {
	usual := signer{who: newPeople(t).provider}.sign("_response1")
	got, err := read(t, inTurn(replace(`NotOnOrAfter="2030-01-02T03:09:00Z"`, `NotOnOrAfter="2030-01-02T03:09:00"`), usual), nil)
	if err != nil || !got.NotOnOrAfter.Equal(time.Date(2030, 1, 2, 3, 9, 30, 0, time.UTC)) {
		t.Errorf("without a zone: %v, %v", got, err)
	}
	for _, instant := range []string{"2030-01-02T03:00:00", "yesterday", "0001-01-01T00:00:00Z", ""} {
		got, err := read(t, inTurn(replace(`AuthnInstant="2030-01-02T03:00:00Z"`, `AuthnInstant="`+instant+`"`), usual), nil)
		if err != nil {
			t.Errorf("AuthnInstant %q: %v", instant, err)
		} else if got.AuthnInstant.IsZero() == (instant == "2030-01-02T03:00:00") {
			t.Errorf("AuthnInstant %q is read as %v", instant, got.AuthnInstant)
		}
	}
})

// A renewed certificate with the same key was refused, and nothing could make an expired one count.
var _ = faulttest.Add("C-23", func(t *testing.T) {
	p := newPeople(t)
	renewed := reissued(t, p.provider)
	if _, err := read(t, signer{who: renewed}.sign("_response1"), nil); err != nil {
		t.Errorf("renewed at the provider: %v", err)
	}
	if _, err := read(t, signer{who: p.provider}.sign("_response1"), certificates(renewed)); err != nil {
		t.Errorf("renewed in the settings: %v", err)
	}
	accept := func(r *saml.Reader) {
		certificates(p.expired)(r)
		r.Accept.ExpiredCertificates = true
	}
	if _, err := read(t, signer{who: p.expired}.sign("_response1"), accept); err != nil {
		t.Errorf("expired and accepted: %v", err)
	}
	if _, err := read(t, signer{who: p.stranger}.sign("_response1"), accept); err == nil {
		t.Error("a stranger's signature is accepted with expired certificates")
	}
	expiredButRenewed := reissued(t, p.expired)
	if _, err := read(t, signer{who: expiredButRenewed}.sign("_response1"), certificates(p.expired)); err == nil {
		t.Error("a certificate in the response makes up for the configured one, which has expired")
	}
})

// An assertion that is signed with inclusive canonicalization before it is put into a signed response was refused.
var _ = faulttest.Add("K8", func(t *testing.T) {
	p := newPeople(t)
	inclusive := signer{who: p.provider, canonicalizer: dsig.MakeC14N10RecCanonicalizer()}
	// Signed by itself, the assertion lacks the prefixes declared around it.
	standalone := inTurn(
		replace(`<saml:Assertion `, `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" `),
		onTree(func(t testing.TB, root *etree.Element) {
			t.Helper()
			assertion := named(t, root, "saml:Assertion")
			alone := etree.NewDocumentWithRoot(assertion.Copy()).Root()
			alone.InsertChildAt(alone.SelectElement("saml:Issuer").Index()+1, inclusive.signature(t, alone, "_assertion1"))
			root.InsertChildAt(assertion.Index(), alone)
			root.RemoveChild(assertion)
		}))
	if _, err := read(t, standalone, nil); err == nil || !strings.Contains(err.Error(), "inclusive canonicalization") {
		t.Errorf("the assertion alone: %v", err)
	}
	got, err := read(t, inTurn(standalone, signer{who: p.provider}.sign("_response1")), nil)
	if err != nil {
		t.Fatalf("both: %v", err)
	}
	if got.NameID.Value != "alice@example.org" || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "inclusive canonicalization") {
		t.Errorf("it is %+v", got)
	}
	if _, err := read(t, inTurn(standalone, signer{who: p.stranger}.sign("_response1")), nil); err == nil {
		t.Error("a stranger's signature of the response is taken for the assertion's")
	}
	encrypt := encrypter{key: &p.service.PublicKey}.encrypt("saml:Assertion", "saml:EncryptedAssertion")
	broken := inTurn(signer{who: p.stranger}.sign("_assertion1"), encrypt)
	if _, err := read(t, broken, nil); err == nil {
		t.Error("a stranger's assertion is taken")
	}
	if got, err := read(t, inTurn(broken, signer{who: p.provider}.sign("_response1")), nil); err != nil || len(got.Warnings) != 1 {
		t.Errorf("in a signed response: %v, %v", got, err)
	}
})

// Responses of a size that upstream accepts were refused.
var _ = faulttest.Add("C-24", func(t *testing.T) {
	var groups strings.Builder
	const n = 11_000
	for i := range n {
		fmt.Fprintf(&groups, "<saml:AttributeValue>CN=Group %05d,OU=Groups,OU=Department of Something,DC=corp,DC=example,DC=org</saml:AttributeValue>", i)
	}
	many := replace(`<saml:AttributeValue>admins</saml:AttributeValue>`, groups.String())
	got, err := read(t, inTurn(many, signedByLibrary(newPeople(t).provider)), nil)
	if err != nil || len(got.Attributes[1].Values) != n+1 {
		t.Errorf("%d groups: %v", n, err)
	}
})

// An encrypted assertion that relied on prefixes declared around it, or began with an XML declaration, was refused.
var _ = faulttest.Add("C-26", func(t *testing.T) {
	p := newPeople(t)
	encrypt := encrypter{key: &p.service.PublicKey}.encrypt("saml:Assertion", "x:EncryptedAssertion")
	// The element that has it encrypted uses another prefix, so that exclusive canonicalization drops the assertion's.
	around := replace(`<samlp:Response `, `<samlp:Response xmlns:x="urn:oasis:names:tc:SAML:2.0:assertion" `)
	sign := signer{who: p.provider}.sign("_response1")
	got, err := read(t, inTurn(around, encrypt, sign), nil)
	if err != nil || got.NameID.Value != "alice@example.org" {
		t.Errorf("prefixes of the response: %v", err)
	}
	// Redeclaring a prefix must not turn anything else into SAML.
	hidden := replace(`<saml:AttributeStatement>`, `<saml:AttributeStatement xmlns:xs="urn:harmless"><xs:Attribute Name="mail">`+
		`<saml:AttributeValue>root@example.org</saml:AttributeValue></xs:Attribute>`)
	if got, err = read(t, inTurn(around, hidden, encrypt, sign), nil); err != nil || len(got.Attributes) != 2 {
		t.Errorf("an element of another namespace: %v, %v", got, err)
	}
	foreign := replace(`<saml:AttributeStatement>`, `<saml:AttributeStatement><f:Attribute Name="mail">`+
		`<saml:AttributeValue>root@example.org</saml:AttributeValue></f:Attribute>`)
	tampered := inTurn(
		replace(`<samlp:Response `, `<samlp:Response xmlns:f="urn:harmless" `), around, foreign, encrypt, sign,
		replace(`xmlns:f="urn:harmless"`, `xmlns:f="urn:oasis:names:tc:SAML:2.0:assertion"`))
	if got, err := read(t, tampered, nil); err == nil {
		t.Errorf("a redeclared prefix makes an attribute: %+v", got.Attributes)
	}
	declared := encryptText(p, func(plain string) string { return "\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + plain })
	if _, err := read(t, inTurn(declared, sign), nil); err != nil {
		t.Errorf("XML declaration: %v", err)
	}
})

// encryptText changes the text of the assertion, then encrypts it.
func encryptText(p *people, change func(string) string) edit {
	return onTree(func(t testing.TB, root *etree.Element) {
		t.Helper()
		el := named(t, root, "saml:Assertion")
		text, err := etree.NewDocumentWithRoot(el.Copy()).WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		encrypted := etree.NewDocument()
		data := encrypter{key: &p.service.PublicKey}.data(t, []byte(change(text)))
		if err := encrypted.ReadFromString("<saml:EncryptedAssertion>" + data + "</saml:EncryptedAssertion>"); err != nil {
			t.Fatal(err)
		}
		root.InsertChildAt(el.Index(), encrypted.Root())
		root.RemoveChild(el)
	})
}

// No setting could make the reader accept what it refuses on purpose.
var _ = faulttest.Add("C-27", func(t *testing.T) {
	usual := signer{who: newPeople(t).provider}
	condition := `<saml:Condition xmlns:del="urn:oasis:names:tc:SAML:2.0:conditions:delegation"/><saml:AudienceRestriction>`
	for name, c := range map[string]struct {
		make   edit
		accept saml.Tolerance
		warns  bool
	}{
		"signature ids": {
			inTurn(usual.sign("_assertion1"), replace("<ds:Signature ", `<ds:Signature Id="sig" `),
				usual.sign("_response1"), replace("<ds:Signature xmlns", `<ds:Signature Id="sig" xmlns`)),
			saml.Tolerance{SignatureIDs: true}, false,
		},
		"object": {inTurn(usual.sign("_response1"), objectInSignature), saml.Tolerance{SignatureObjects: true}, false},
		"condition": {
			inTurn(replace("<saml:AudienceRestriction>", condition), usual.sign("_response1")), saml.Tolerance{UnknownConditions: true}, true,
		},
		"session": {
			inTurn(replace(`SessionNotOnOrAfter="2030-01-02T11:00:00Z"`, `SessionNotOnOrAfter="2030-01-02T01:00:00Z"`), usual.sign("_response1")),
			saml.Tolerance{EndedSessions: true}, true,
		},
	} {
		if _, err := read(t, c.make, nil); err == nil {
			t.Errorf("%s: it is accepted by default", name)
		}
		got, err := read(t, c.make, func(r *saml.Reader) { r.Accept = c.accept })
		if err != nil || c.warns != (len(got.Warnings) == 1) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
})

// The same for a response from another issuer whose signed assertion is from the right one.
var _ = faulttest.Add("C-39", func(t *testing.T) {
	p := newPeople(t)
	other := replace("<saml:Issuer>"+issuer, "<saml:Issuer>https://broker.example/")
	accept := func(r *saml.Reader) { r.Accept.ResponseIssuer = true }
	one := inTurn(other, signer{who: p.provider}.sign("_assertion1"))
	if _, err := read(t, one, nil); err == nil {
		t.Error("it is accepted by default")
	}
	if got, err := read(t, one, accept); err != nil || len(got.Warnings) != 1 {
		t.Errorf("accepted: %v, %v", got, err)
	}
	if _, err := read(t, inTurn(other, signer{who: p.provider}.sign("_response1")), accept); err == nil {
		t.Error("a signed response of another issuer is taken")
	}
	both := inTurn(other, replace("<saml:Issuer>"+issuer, "<saml:Issuer>https://broker.example/"), signer{who: p.provider}.sign("_assertion1"))
	if _, err := read(t, both, accept); err == nil {
		t.Error("an assertion of another issuer is taken")
	}
})

// White space around values and names was kept.
var _ = faulttest.Add("C-36", func(t *testing.T) {
	got, err := read(t, inTurn(
		replace(">alice@example.org</saml:NameID>", ">\n    alice@example.org\n  </saml:NameID>"),
		replace(">alice@example.org</saml:AttributeValue>", ">\n alice@example.org\n </saml:AttributeValue>"),
		signer{who: newPeople(t).provider}.sign("_response1")), nil)
	if err != nil || got.NameID.Value != "alice@example.org" || got.Attributes[0].Values[0] != "alice@example.org" {
		t.Errorf("it is %+v, %v", got, err)
	}
})

// Signatures with RSASSA-PSS were refused.
var _ = faulttest.Add("K10", func(t *testing.T) {
	p := newPeople(t)
	for hash, name := range map[crypto.Hash]string{crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"} {
		usual := signer{who: p.provider, hash: hash, method: "http://www.w3.org/2007/05/xmldsig-more#" + name + "-rsa-MGF1"}
		if _, err := read(t, usual.sign("_response1"), nil); err == nil {
			t.Errorf("%s: PKCS #1 1.5 is taken for PSS", name)
		}
		usual.who.key = pss{p.provider.key}
		for _, id := range []string{"_response1", "_assertion1"} {
			if _, err := read(t, usual.sign(id), nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := read(t, inTurn(usual.sign("_response1"), replace(">alice@", ">admin@")), nil); err == nil {
			t.Errorf("%s: what was changed is taken", name)
		}
	}
})

// pss signs with RSASSA-PSS.
type pss struct{ crypto.Signer }

func (k pss) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: opts.HashFunc()})
}

// Metadata that named a stylesheet could not be read.
var _ = faulttest.Add("C-22", func(t *testing.T) {
	for document, refused := range map[string]string{
		`<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="x"?><a/><?after?>`: "",
		`<a><?within?></a>`:              "processing instruction",
		`<?a?><?xml version="1.0"?><a/>`: "processing instruction",
		`<!DOCTYPE a><a/>`:               "DOCTYPE",
	} {
		if err := saml.Check([]byte(document)); (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Errorf("%s: %v", document, err)
		}
	}
	// A certificate may have PEM's lines around it, here in a signature.
	p := newPeople(t)
	lines := func(t testing.TB, document string) string {
		t.Helper()
		return strings.Replace(strings.Replace(document, "<ds:X509Certificate>", "<ds:X509Certificate>-----BEGIN CERTIFICATE-----\n", 1),
			"</ds:X509Certificate>", "\n-----END CERTIFICATE-----\n</ds:X509Certificate>", 1)
	}
	if _, err := read(t, inTurn(signer{who: p.provider}.sign("_response1"), lines), nil); err != nil {
		t.Errorf("PEM in KeyInfo: %v", err)
	}
	if _, err := read(t, inTurn(signer{who: p.provider}.sign("_response1"), replace("<ds:X509Certificate>", "<ds:X509Certificate>!")), nil); err != nil {
		t.Errorf("garbage in KeyInfo: %v", err)
	}
})

// An assertion can be used for as long as any of its confirmations holds, which may be for ever.
var _ = faulttest.Add("T-assertion-78", func(t *testing.T) {
	endless := `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="` +
		request + `"/></saml:SubjectConfirmation><saml:SubjectConfirmation `
	got, err := read(t, inTurn(
		replace(`<saml:SubjectConfirmation `, endless), replace(` NotOnOrAfter="2030-01-02T03:10:00Z"`, ""),
		replace(` SessionNotOnOrAfter="2030-01-02T11:00:00Z"`, ""), signer{who: newPeople(t).provider}.sign("_response1"),
	), func(r *saml.Reader) { r.Strict = false })
	if err != nil || !got.NotOnOrAfter.IsZero() {
		t.Errorf("it is %+v, %v", got, err)
	}
})

// RSA operations are expensive, so a response may cause only so many.
var _ = faulttest.Add("T-encryption-213", func(t *testing.T) {
	p := newPeople(t)
	stranger, ok := p.stranger.key.(*rsa.PrivateKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	attribute := func(n int) string {
		forOthers := encrypter{key: &stranger.PublicKey, beside: true}
		_, others, _ := strings.Cut(forOthers.data(t, nil), "</xenc:EncryptedData>")
		plain := fmt.Sprintf(`<saml:Attribute xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Name="a%d"/>`, n)
		data := encrypter{key: &p.service.PublicKey, beside: true}.data(t, []byte(plain))
		at := strings.Index(data, "</xenc:EncryptedData>") + len("</xenc:EncryptedData>")
		return "<saml:EncryptedAttribute>" + data[:at] + strings.Repeat(others, 7) + data[at:] + "</saml:EncryptedAttribute>"
	}
	attributes := ""
	for i := range 13 {
		attributes += attribute(i)
	}
	with := func(text string) edit {
		return inTurn(replace("</saml:AttributeStatement>", text+"</saml:AttributeStatement>"), signer{who: p.provider}.sign("_response1"))
	}
	if _, err := read(t, with(attribute(0)+attribute(1)), nil); err != nil {
		t.Errorf("a few: %v", err)
	}
	if _, err := read(t, with(attributes), nil); err == nil || !strings.Contains(err.Error(), "too much of the response is encrypted") {
		t.Errorf("many: %v", err)
	}
})
