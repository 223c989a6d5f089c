package saml_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"dex/internal/saml"
)

// A bad document is made from a good one: plainResponse, changed before it is signed (the provider errs), signed, and changed
// afterwards (somebody attacks), and read by a reader that may be changed. Without those changes it is accepted.
type bad struct {
	name   string
	before edit
	sign   edit // the response if nil
	goodBy edit // signs the good document, if not sign
	after  edit
	reader func(*saml.Reader)
	want   string // part of the error
}

func certificates(who ...authority) func(*saml.Reader) {
	return func(r *saml.Reader) {
		r.Certificates = func() []*x509.Certificate {
			var found []*x509.Certificate
			for _, one := range who {
				found = append(found, one.certificate)
			}
			return found
		}
	}
}

const enveloped = string(dsig.EnvelopedSignatureAltorithmId)

func badSignatures(p *people) []bad {
	usual := signer{who: p.provider}
	response, assertion := usual.sign("_response1"), usual.sign("_assertion1")
	publicKey := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.provider.certificate.Raw})
	elsewhere, wholeDocument, other := "https://evil.example/signed.xml", "", "#_response1"
	hmac := "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
	with := func(transforms string) edit {
		return signer{who: p.provider, transforms: transforms}.sign("_response1")
	}
	exclusive := transform("http://www.w3.org/2001/10/xml-exc-c14n#")
	comments := signer{who: p.provider, withComments: true, canonicalizer: dsig.MakeC14N10ExclusiveWithCommentsCanonicalizerWithPrefixList("")}
	return []bad{
		{name: "XSW1", sign: response, after: xsw1, want: `there is a Response within "Signature"`},
		{name: "XSW2", sign: response, after: xsw2, want: `there is a Response within "Response"`},
		{name: "XSW3", sign: assertion, after: xsw3, want: "there is more than one assertion"},
		{name: "XSW4", sign: assertion, after: xsw4, want: `there is an assertion within "Assertion"`},
		{name: "XSW5", sign: assertion, after: xsw5, want: "there is more than one assertion"},
		{name: "XSW6", sign: assertion, after: xsw6, want: `there is an assertion within "Signature"`},
		{name: "XSW7", sign: assertion, after: xsw7, want: `there is an assertion within "Extensions"`},
		{name: "XSW8", sign: assertion, after: xsw8, want: `there is an assertion within "Object"`},
		{name: "assertion in the extensions of a signed response", sign: response, before: xsw7, want: `there is an assertion within "Extensions"`},
		{name: "signature of an assertion moved to the response", sign: assertion, after: moveSignature,
			want: `it refers to "#_assertion1" and not to the Response`},
		{name: "signature in another element", sign: assertion, after: signatureOfStatus, want: `there is a signature within "Status"`},
		{name: "two signatures of one element", sign: assertion, after: twoSignatures, want: "Assertion has more than one Signature"},
		{name: "object in a signature", sign: response, after: objectInSignature, want: `it holds "Object"`},
		{name: "signature taken out", after: without(`<ds:Signature xmlns`, `</ds:KeyInfo></ds:Signature>`),
			want: "neither the response nor its assertion is signed"},
		{name: "tampered NameID", sign: assertion, after: replace(">alice@", ">admin@"), want: "the signature of the Assertion is not valid"},
		{name: "tampered attribute", sign: response, after: replace(">admins<", ">root<"), want: "the signature of the Response is not valid"},
		{name: "tampered signature value", sign: response, after: replace("<ds:SignatureValue>", "<ds:SignatureValue>AAAA"),
			want: "the signature of the Response is not valid"},
		{name: "bad signature of the response, good one of the assertion", sign: signBoth(usual),
			after: replace(`ID="_response1"`, `ID="_response1" Consent="x"`), want: "the signature of the Response is not valid"},
		{name: "signed by a stranger", goodBy: response, sign: signer{who: p.stranger}.sign("_response1"),
			want: "it names a certificate that is not configured for the provider"},
		{name: "signed by a stranger without KeyInfo", goodBy: response, sign: signer{who: p.stranger, keyInfo: &wholeDocument}.sign("_response1"),
			want: "verification error"},
		{name: "signed by a stranger in the provider's name", goodBy: response,
			sign: signer{who: authority{key: p.stranger.key, certificate: p.provider.certificate}}.sign("_response1"), want: "verification error"},
		{name: "two configured and the wrong one named", sign: response, goodBy: response, reader: certificates(p.next, p.elliptic),
			want: "it names a certificate that is not configured for the provider"},
		{name: "no certificate configured", sign: response, reader: certificates(), want: "no certificate of the provider is configured"},
		{name: "expired certificate", goodBy: response, sign: signer{who: p.expired}.sign("_response1"), reader: certificates(p.expired),
			want: `the certificate "CN=expired" expired at 2030-01-02T03:03:05Z`},
		{name: "SHA-1", goodBy: response, sign: signer{who: p.provider, hash: crypto.SHA1}.sign("_response1"),
			want: "it is made with SHA-1, which is not allowed"},
		{name: "digest with SHA-1", goodBy: response, sign: signer{who: p.provider, digest: crypto.SHA1}.sign("_response1"),
			want: "its digest is made with SHA-1, which is not allowed"},
		{name: "HMAC with the certificate as the secret", goodBy: response,
			sign: signer{who: p.provider, method: hmac, secret: publicKey}.sign("_response1"), want: "hmac-sha256\" is not accepted"},
		{name: "ECDSA named with an RSA key", goodBy: response,
			sign: signer{who: p.provider, method: dsig.ECDSASHA256SignatureMethod}.sign("_response1"),
			want: "has an RSA key, and the signature is made with ECDSA"},
		{name: "RSA named with an ECDSA key", goodBy: response,
			sign: signer{who: p.elliptic, method: dsig.RSASHA256SignatureMethod}.sign("_response1"), reader: certificates(p.elliptic),
			want: "has an ECDSA key, and the signature is made with RSA"},
		{name: "reference to another document", goodBy: response, sign: signer{who: p.provider, uri: &elsewhere}.sign("_response1"),
			want: `it refers to "https://evil.example/signed.xml"`},
		{name: "reference of an assertion to the whole document", goodBy: assertion,
			sign: signer{who: p.provider, uri: &wholeDocument}.sign("_assertion1"), want: `it refers to ""`},
		{name: "reference to another element", goodBy: assertion,
			sign: signer{who: p.provider, uri: &other}.sign("_assertion1"), want: `it refers to "#_response1" and not to the Assertion`},
		{name: "XPath transform", goodBy: response, sign: with(transform(enveloped) + transform("http://www.w3.org/TR/1999/REC-xpath-19991116")),
			want: `the transform "http://www.w3.org/TR/1999/REC-xpath-19991116" is not accepted`},
		{name: "XSLT transform", goodBy: response, sign: with(transform("http://www.w3.org/TR/1999/REC-xslt-19991116")),
			want: `the transform "http://www.w3.org/TR/1999/REC-xslt-19991116" is not accepted`},
		{name: "three transforms", goodBy: response, sign: with(transform(enveloped) + exclusive + exclusive), want: "is not accepted at position 3"},
		{name: "no transform", goodBy: response, sign: with(" "), want: "no enveloped-signature transform"},
		{name: "comment in the digest", sign: response, after: replace("<ds:DigestValue>", "<ds:DigestValue><!-- AAAA -->"),
			want: "there is a comment in SignedInfo"},
		{name: "digest method unknown", sign: response, after: replace("xmlenc#sha256", "xmldsig-more#md5"), want: `xmldsig-more#md5" is not accepted`},
		{name: "canonicalization method unknown", sign: response, after: replace("xml-exc-c14n#", "evil-c14n#"),
			want: `evil-c14n#" is not accepted`},
		{name: "other element in SignedInfo", sign: response, after: replace("<ds:DigestMethod ", "<saml:x/><ds:DigestMethod "),
			want: `SignedInfo holds "saml:x"`},
		{name: "certificate of tomorrow", sign: response, goodBy: response, reader: at("2020-01-02T03:04:05Z"),
			want: "is not valid before"},
		{name: "two references", sign: response, after: replace("</ds:Reference>", `</ds:Reference><ds:Reference URI="#x"/>`),
			want: "one reference"},
		{name: "two SignedInfo", sign: response, after: replace("<ds:SignedInfo ", "<ds:SignedInfo/><ds:SignedInfo "),
			want: "Signature has more than one SignedInfo"},
		{name: "prefixed algorithm", sign: response, after: replace("<ds:DigestMethod ", `<ds:DigestMethod xmlns:x="urn:x" x:Algorithm="y" `),
			want: `DigestMethod has an attribute "x:Algorithm"`},
		{name: "comment in a NameID, signed with comments", sign: comments.sign("_assertion1"),
			before: replace("alice@", "admin<!-- -->@"), want: "the signature of the Assertion is not valid"},
	}
}

func badDocuments(p *people) []bad {
	assertion := signer{who: p.provider}.sign("_assertion1")
	doctype := replace("<samlp:Response", `<!DOCTYPE r [<!ENTITY e "admin">]><samlp:Response`)
	return []bad{
		{name: "DOCTYPE with an entity", sign: assertion, after: doctype, want: "the document has a DOCTYPE"},
		{name: "entity without a DOCTYPE", sign: assertion, after: replace(">alice@", ">&alice;@"), want: "not XML"},
		{name: "processing instruction", sign: assertion, after: replace(">alice@", ">al<?x y?>ice@"), want: "the document has a processing instruction"},
		{name: "Latin-1", after: replace(`encoding="UTF-8"`, `encoding="ISO-8859-1"`), want: "not XML"},
		{name: "not UTF-8", after: replace(">alice@", ">al\xffice@"), want: "the document is not UTF-8"},
		{name: "colon before a name", after: replace("<saml:Subject>", "<:Subject>"), want: `":Subject" is not a name with one prefix`},
		{name: "colon before an ID", after: replace(` ID="_response1"`, ` :ID="_x" ID="_response1"`), want: `":ID" is not a name with one prefix`},
		{name: "two colons", after: replace("<saml:NameID ", "<saml:x:NameID "), want: "not XML"},
		{name: "prefixed ID", after: replace(` ID="_response1"`, ` saml:ID="_x" ID="_response1"`), want: "an ID attribute has a prefix"},
		{name: "prefix named ID", after: replace(` ID="_response1"`, ` xmlns:ID="_x" ID="_response1"`), want: "an ID attribute has a prefix"},
		{name: "two attributes ID", after: replace(` ID="_response1"`, ` ID="_x" ID="_response1"`), want: `an element has two attributes "ID"`},
		{name: "one attribute by two prefixes", after: replace(`xsi:type=`, `xmlns:xs2="http://www.w3.org/2001/XMLSchema-instance" xs2:type="x" xsi:type=`),
			want: `an element has two attributes "type"`},
		{name: "two elements of one ID", after: replace("<samlp:Status>", `<samlp:Status ID="_assertion1">`), want: `two elements have the ID "_assertion1"`},
		{name: "undeclared prefix", after: replace("<samlp:Status>", "<x:y/><samlp:Status>"), want: `the prefix "x" is not declared`},
		{name: "prefix undeclared", after: replace("<samlp:Status>", `<samlp:Status xmlns:saml="">`), want: `the document undeclares the prefix "saml"`},
		{name: "reserved prefix", after: replace("<samlp:Status>", `<samlp:Status xmlns:xml="urn:x">`), want: "a reserved namespace or prefix"},
		{name: "what comes after", after: func(_ testing.TB, d string) string { return d + "<x/>" }, want: "more than one root"},
		{name: "text after", after: func(_ testing.TB, d string) string { return d + "x" }, want: "text outside"},
		{name: "cut short", after: func(_ testing.TB, d string) string { return d[:len(d)-20] }, want: "not XML"},
		{name: "deep", after: replace("<samlp:Status>", strings.Repeat("<a>", 51)+strings.Repeat("</a>", 51)+"<samlp:Status>"), want: "50 elements deep"},
		{name: "many elements", after: replace("<samlp:Status>", strings.Repeat("<a/>", 50_000)+"<samlp:Status>"), want: "more than 50000 elements"},
		{name: "many attributes", after: replace("<samlp:Status>", "<a"+manyAttributes(101)+"/><samlp:Status>"), want: "an element has more than 100 attributes"},
		{name: "many attributes in all", after: replace("<samlp:Status>", strings.Repeat("<a"+manyAttributes(90)+"/>", 1700)+"<samlp:Status>"), want: "more than 150000 attributes"},
		{name: "many namespaces", after: replace("<samlp:Status>", "<a"+manyNamespaces(60)+"><a"+manyNamespaces(60)+"/></a><samlp:Status>"), want: "more than 100 namespaces"},
		{name: "many parts", after: replace("<samlp:Status>", strings.Repeat("<a>x</a>x", 49_900)+strings.Repeat("<!---->x", 900)+"<samlp:Status>"), want: "more than 200000 parts"},
		{name: "many comments", after: replace("<samlp:Status>", strings.Repeat("<!---->", 1001)+"<samlp:Status>"), want: "more than 1000 comments"},
		{name: "long", after: replace("<samlp:Status>", strings.Repeat(" ", 2<<20)+"<samlp:Status>"), want: "longer than 2097152 bytes"},
		{name: "other root", before: func(t testing.TB, d string) string {
			return strings.ReplaceAll(d, "samlp:Response", "samlp:ArtifactResponse")
		}, want: "not a SAML 2.0 Response"},
		{name: "other namespace", before: replace("SAML:2.0:protocol", "SAML:1.0:protocol"), want: "not a SAML 2.0 Response"},
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d="x"`, i)
	}
	return b.String()
}

func manyNamespaces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:n%d="urn:x"`, i)
	}
	return b.String()
}

func badContents(p *people) []bad {
	assertion := signer{who: p.provider}.sign("_assertion1")
	loose := func(r *saml.Reader) { r.Strict = false }
	secondAssertion := `<saml:Assertion ID="_assertion2"/></samlp:Response>`
	conditions := without("<saml:Conditions", "</saml:Conditions>")
	return []bad{
		{name: "two assertions signed together", before: replace("</samlp:Response>", secondAssertion), want: "there is more than one assertion"},
		{name: "no assertion", before: without("<saml:Assertion", "</saml:Assertion>"), want: "Response has no Assertion"},
		{name: "version of the response", before: replace(`ID="_response1" Version="2.0"`, `ID="_response1" Version="1.1"`), want: `the Response has version "1.1"`},
		{name: "version of the assertion", before: replace(`ID="_assertion1" Version="2.0"`, `ID="_assertion1" Version="2.1"`), want: `the Assertion has version "2.1"`},
		{name: "assertion without an ID", before: replace(` ID="_assertion1"`, ""), want: "the Assertion has no ID"},
		{name: "other issuer of the response", before: replace("https://idp.example/metadata", "https://evil.example"), want: "the Response is of another issuer"},
		{name: "other issuer of the response, not signed", sign: assertion, before: replace("https://idp.example/metadata", "https://evil.example"), want: "the Response is of another issuer"},
		{name: "no issuer of the response", after: without("<saml:Issuer>", "</saml:Issuer>"), reader: insecure, want: "the Response has no Issuer"},
		{name: "other issuer of the assertion", before: lastIssuer("<saml:Issuer>https://evil.example</saml:Issuer>"), want: "the Assertion is of another issuer"},
		{name: "no issuer of the assertion", before: lastIssuer(""), want: "the Assertion has no Issuer"},
		{name: "other request of the response", before: replace(`InResponseTo="_request1">`, `InResponseTo="_x">`), want: "the response answers another request"},
		{name: "other request of the response, not signed", sign: assertion, before: replace(`InResponseTo="_request1">`, `InResponseTo="_x">`), want: "the response answers another request"},
		{name: "no request of the response", before: replace(` InResponseTo="_request1">`, `>`), want: "the response answers another request"},
		{name: "other request of the assertion", before: replace(`Data InResponseTo="_request1"`, `Data InResponseTo="_x"`), want: "the subject is not confirmed: it answers another request"},
		{name: "no request of the assertion", before: replace(`Data InResponseTo="_request1"`, `Data`), want: "the subject is not confirmed: it answers another request"},
		{name: "other destination", before: replace(`Destination="https://dex`, `Destination="https://other`), want: "the response is meant for another address"},
		{name: "other destination, not signed", sign: assertion, before: replace(`Destination="https://dex`, `Destination="https://other`), want: "the response is meant for another address"},
		{name: "other recipient", before: replace(`Recipient="https://dex`, `Recipient="https://other`), reader: loose, want: "it is meant for another Recipient"},
		{name: "no recipient, strict", before: replace(` Recipient="https://dex.example/callback"`, ""), want: "it has no Recipient"},
		{name: "no end of the confirmation, strict", before: replace(` NotOnOrAfter="2030-01-02T03:09:00Z"`, ""), want: "it has no NotOnOrAfter"},
		{name: "other method", before: replace("cm:bearer", "cm:holder-of-key"), want: "is not bearer"},
		{name: "no confirmation", before: without("<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>"), want: "the Subject has no SubjectConfirmation"},
		{name: "no conditions, strict", before: conditions, want: "the Assertion has no Conditions"},
		{name: "no audience, strict", before: without("<saml:AudienceRestriction>", "</saml:AudienceRestriction>"), want: "the Conditions have no AudienceRestriction"},
		{name: "other audience", before: replace("<saml:Audience>https://dex", "<saml:Audience>https://other"), reader: loose, want: "the assertion is meant for another audience"},
		{name: "one of two audience restrictions", before: replace("<saml:AudienceRestriction>",
			"<saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction><saml:AudienceRestriction>"), want: "the assertion is meant for another audience"},
		{name: "unknown condition", before: replace("<saml:AudienceRestriction>", `<saml:Condition xsi:type="x"/><saml:AudienceRestriction>`), want: `the condition "Condition" is not known`},
		{name: "31 seconds late", reader: at("2030-01-02T03:09:31Z"), want: "SubjectConfirmationData has expired"},
		{name: "31 seconds early", reader: at("2030-01-02T03:03:29Z"), want: "Conditions is not valid before 2030-01-02T03:04:00Z"},
		{name: "bounded skew", reader: func(r *saml.Reader) { at("2030-01-02T03:14:01Z")(r); r.Skew = time.Hour }, want: "has expired"},
		{name: "conditions expired", before: replace(`NotOnOrAfter="2030-01-02T03:10:00Z"`, `NotOnOrAfter="2030-01-02T03:03:00Z"`), want: "Conditions has expired"},
		{name: "session expired", before: replace("2030-01-02T11:00:00Z", "2030-01-02T03:03:00Z"), want: "AuthnStatement has expired: its SessionNotOnOrAfter"},
		{name: "zone without minutes", before: replace("2030-01-02T03:09:00Z", "2030-01-02T03:09:00+01"), want: "is not a date and time"},
		{name: "no such day", before: replace("2030-01-02T03:09:00Z", "2030-02-30T03:09:00Z"), want: "NotOnOrAfter of SubjectConfirmationData"},
		{name: "no subject", before: without("<saml:Subject>", "</saml:Subject>"), want: "Assertion has no Subject"},
		{name: "no NameID", before: without("<saml:NameID", "</saml:NameID>"), want: "Subject has no NameID"},
		{name: "empty NameID", before: replace(">alice@example.org</saml:NameID>", "> </saml:NameID>"), want: "the NameID is empty"},
		{name: "two NameIDs", before: replace("<saml:NameID ", "<saml:NameID>admin</saml:NameID><saml:NameID "), want: "Subject has more than one NameID"},
		{name: "element in a NameID", before: replace(">alice@", ">alice<x/>@"), want: "NameID holds more than text"},
		{name: "no status", before: without("<samlp:Status>", "</samlp:Status>"), want: "the Response has no Status"},
		{name: "empty status code", before: replace(`Value="urn:oasis:names:tc:SAML:2.0:status:Success"`, `Value=""`), want: "the StatusCode has no Value"},
	}
}

func insecure(r *saml.Reader) { r.InsecureSkipSignature = true }

// lastIssuer replaces the Issuer of the assertion.
func lastIssuer(with string) edit {
	const el = "<saml:Issuer>https://idp.example/metadata</saml:Issuer>"
	return func(_ testing.TB, document string) string {
		at := strings.LastIndex(document, el)
		return document[:at] + with + document[at+len(el):]
	}
}

func allBad(p *people) []bad {
	all := append(badSignatures(p), badDocuments(p)...)
	return append(append(all, badContents(p)...), badEncryption(p)...)
}

// documents makes the good document and the bad one.
func (b bad) documents(t testing.TB, p *people) (passes, fails string) {
	t.Helper()
	sign, goodBy := b.sign, b.goodBy
	if sign == nil {
		sign = signer{who: p.provider}.sign("_response1")
	}
	if goodBy == nil {
		goodBy = sign
	}
	passes, fails = goodBy(t, plainResponse), plainResponse
	if b.before == nil {
		b.before = keep
	}
	// Signatures differ from one to the next, so the document under attack has the very signature that passes.
	if b.after != nil {
		return passes, b.after(t, passes)
	}
	return passes, sign(t, b.before(t, fails))
}

func TestBadDocuments(t *testing.T) {
	p := newPeople(t)
	for _, document := range allBad(p) {
		t.Run(document.name, func(t *testing.T) { document.isRefused(t, p) })
	}
}

// isRefused checks that the good document is read and the bad one is not.
func (b bad) isRefused(t *testing.T, p *people) {
	t.Helper()
	passes, fails := b.documents(t, p)
	if _, err := reader(p).Read(t.Context(), []byte(passes), request); err != nil {
		t.Fatalf("without the attack: %v", err)
	}
	r := reader(p)
	if b.reader != nil {
		b.reader(r)
	}
	read, err := r.Read(t.Context(), []byte(fails), request)
	if err == nil {
		t.Fatalf("it is read: %+v", read)
	}
	if !strings.Contains(err.Error(), b.want) {
		t.Errorf("the error is %q and has no %q", err, b.want)
	}
}

// What Strict requires, and nothing more, may be missing without it.
func TestLenient(t *testing.T) {
	p := newPeople(t)
	for name, before := range map[string]edit{
		"no recipient":               replace(` Recipient="https://dex.example/callback"`, ""),
		"no end of the confirmation": replace(` NotOnOrAfter="2030-01-02T03:09:00Z"`, ""),
		"no conditions":              without("<saml:Conditions", "</saml:Conditions>"),
		"no audience":                without("<saml:AudienceRestriction>", "</saml:AudienceRestriction>"),
	} {
		t.Run(name, func(t *testing.T) {
			document := inTurn(before, signer{who: p.provider}.sign("_response1"))(t, plainResponse)
			r := reader(p)
			if _, err := r.Read(t.Context(), []byte(document), request); err == nil {
				t.Error("a strict reader reads it")
			}
			r.Strict = false
			if _, err := r.Read(t.Context(), []byte(document), request); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStatusError(t *testing.T) {
	p := newPeople(t)
	refuse := inTurn(without("<saml:Assertion", "</saml:Assertion>"), replace(`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>`,
		`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>`+
			"<samlp:StatusMessage>wrong\u202e\npassword "+strings.Repeat("x", 1000)+"</samlp:StatusMessage>"))
	for name, test := range map[string]struct {
		sign     edit
		verified bool
	}{
		"signed":     {sign: signer{who: p.provider}.sign("_response1"), verified: true},
		"not signed": {sign: keep},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := reader(p).Read(t.Context(), []byte(inTurn(refuse, test.sign)(t, plainResponse)), request)
			status, isStatus := errors.AsType[*saml.StatusError](err)
			if !isStatus {
				t.Fatalf("the error is %v", err)
			}
			if text := err.Error(); !strings.HasPrefix(text, "the provider answered Responder (AuthnFailed): wrong") {
				t.Errorf("the error is %q", text)
			}
			if status.Code != "Responder" || status.SubCode != "AuthnFailed" || status.Verified != test.verified {
				t.Errorf("the status is %+v", status)
			}
			if !strings.HasPrefix(status.Message, "wrong  password xxx") || len(status.Message) != 200 {
				t.Errorf("the message is %q", status.Message)
			}
		})
	}
}

func TestNoRequest(t *testing.T) {
	p := newPeople(t)
	document := inTurn(replace(` InResponseTo="_request1">`, `>`), replace(`Data InResponseTo="_request1"`, `Data`),
		signer{who: p.provider}.sign("_response1"))(t, plainResponse)
	if _, err := reader(p).Read(t.Context(), []byte(document), ""); err == nil || !strings.Contains(err.Error(), "no request") {
		t.Errorf("the error is %v", err)
	}
}

// Key sizes that were once in use and can be factored today.
func TestShortRSAKey(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	p := newPeople(t)
	weak := newShortAuthority(t)
	document := signer{who: weak}.sign("_response1")(t, plainResponse)
	r := reader(p)
	certificates(weak)(r)
	_, err := r.Read(t.Context(), []byte(document), request)
	if err == nil || !strings.Contains(err.Error(), "has an RSA key of less than 1024 bits") {
		t.Errorf("the error is %v", err)
	}
}

func TestCancelled(t *testing.T) {
	p := newPeople(t)
	document := signer{who: p.provider}.sign("_response1")(t, plainResponse)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reader(p).Read(ctx, []byte(document), request); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
