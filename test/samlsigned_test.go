package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/saml"
)

// SAML responses made by a program with its own implementation of XML, signatures and encryption: xmlsec1, from the library
// that many identity providers use.

const (
	samlRequest  = "_request1"
	samlIssuer   = "https://idp.example/metadata"
	samlAudience = "https://dex.example/saml"
	samlACS      = "https://dex.example/callback"

	samlProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	samlAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// An xmlSigner is a key and its certificate, also as files for xmlsec1.
type xmlSigner struct {
	certificate              *x509.Certificate
	keyFile, certificateFile string
}

func newXMLSigner(t *testing.T, key crypto.Signer) *xmlSigner {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := &xmlSigner{keyFile: filepath.Join(t.TempDir(), "key.pem")}
	s.certificateFile = filepath.Join(filepath.Dir(s.keyFile), "certificate.pem")
	if s.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, s.keyFile, "PRIVATE KEY", private)
	writePEM(t, s.certificateFile, "CERTIFICATE", der)
	return s
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newRSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// xmlsec runs xmlsec1 on a document and returns its output.
func xmlsec(t *testing.T, document string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
	if err := os.WriteFile(in, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--id-attr:ID", samlProtocol+":Response", "--id-attr:ID", samlAssertion+":Assertion", "--output", out, in)
	if said, err := exec.CommandContext(t.Context(), "xmlsec1", args...).CombinedOutput(); err != nil {
		t.Fatalf("xmlsec1 %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(made)
}

// sign fills in the empty signature of the Response or the Assertion.
func (s *xmlSigner) sign(t *testing.T, document, element string) string {
	t.Helper()
	return xmlsec(t, document, "--sign", "--privkey-pem", s.keyFile+","+s.certificateFile,
		"--node-xpath", "//*[local-name()='"+element+"']/*[local-name()='Signature']")
}

// xmlSignature is a signature template for xmlsec1.
func xmlSignature(id, canonicalization, method string) string {
	const dsig = "http://www.w3.org/2000/09/xmldsig#"
	return `<ds:Signature xmlns:ds="` + dsig + `"><ds:SignedInfo>
<ds:CanonicalizationMethod Algorithm="` + canonicalization + `"/>
<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#` + method + `"/>
<ds:Reference URI="#` + id + `"><ds:Transforms>
<ds:Transform Algorithm="` + dsig + `enveloped-signature"/><ds:Transform Algorithm="` + canonicalization + `"/>
</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference>
</ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>`
}

// samlResponse is a currently valid response with the given signatures. It has white space, an umlaut, entities, a comment
// and unused namespaces, to exercise canonicalization.
func samlResponse(ofResponse, ofAssertion string) string {
	instant := func(d time.Duration) string { return time.Now().Add(d).UTC().Format("2006-01-02T15:04:05.000Z") }
	return `<?xml version='1.0'?>
<samlp:Response xmlns:samlp="` + samlProtocol + `" xmlns:saml='` + samlAssertion + `' xmlns:unused="urn:unused"
    Version="2.0" ID="_response1" IssueInstant="` + instant(0) + `"  Destination='` + samlACS + `' InResponseTo="` + samlRequest + `">
  <saml:Issuer>` + samlIssuer + `</saml:Issuer>` + ofResponse + `
  <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>
  <!-- the user --><saml:Assertion Version="2.0" xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_assertion1" IssueInstant="` + instant(0) + `">
    <saml:Issuer>` + samlIssuer + `</saml:Issuer>` + ofAssertion + `
    <saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">j&#xFC;rgen &amp; co</saml:NameID>
      <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData
          Recipient="` + samlACS + `" InResponseTo="` + samlRequest + `" NotOnOrAfter="` + instant(time.Minute) + `"/></saml:SubjectConfirmation></saml:Subject>
    <saml:Conditions NotOnOrAfter="` + instant(time.Minute) + `"><saml:AudienceRestriction><saml:Audience>` + samlAudience + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>
    <saml:AttributeStatement xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
      <saml:Attribute Name="mail"><saml:AttributeValue xsi:type="xs:string"><![CDATA[j@example.org]]></saml:AttributeValue></saml:Attribute>
    </saml:AttributeStatement>
  </saml:Assertion>
</samlp:Response>
`
}

func samlReader(s *xmlSigner) *saml.Reader {
	return &saml.Reader{
		Certificates: func() []*x509.Certificate { return []*x509.Certificate{s.certificate} },
		Issuer:       samlIssuer, Audience: samlAudience, ACS: samlACS, Strict: true,
	}
}

func mustReadSAML(t *testing.T, r *saml.Reader, document string) {
	t.Helper()
	read, err := r.Read(t.Context(), []byte(document), samlRequest)
	if err != nil {
		t.Fatal(err)
	}
	if read.NameID.Value != "jürgen & co" || len(read.Attributes) != 1 || read.Attributes[0].Values[0] != "j@example.org" {
		t.Errorf("the assertion is %+v", read)
	}
}

func mustRefuseSAML(t *testing.T, r *saml.Reader, document, want string) {
	t.Helper()
	if _, err := r.Read(t.Context(), []byte(document), samlRequest); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v and has no %q", err, want)
	}
}

const (
	exclusiveC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
	inclusiveC14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	c14N11        = "http://www.w3.org/2006/12/xml-c14n11"
)

func TestSAMLSignedByXMLSec(t *testing.T) {
	t.Parallel()
	signer := newXMLSigner(t, newRSAKey(t))
	onCurve := func(curve elliptic.Curve) *xmlSigner {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return newXMLSigner(t, key)
	}
	for _, test := range []struct {
		name, canonicalization, method string
		signer                         *xmlSigner
	}{
		{"RSA-SHA256", exclusiveC14N, "rsa-sha256", signer},
		{"RSA-SHA512", exclusiveC14N, "rsa-sha512", signer},
		{"RSA-SHA384 with comments", exclusiveC14N + "WithComments", "rsa-sha384", signer},
		{"RSA-SHA256 in inclusive form", inclusiveC14N, "rsa-sha256", signer},
		{"RSA-SHA256 in the form of 1.1", c14N11, "rsa-sha256", signer},
		{"ECDSA-SHA256", exclusiveC14N, "ecdsa-sha256", onCurve(elliptic.P256())},
		{"ECDSA-SHA512", exclusiveC14N, "ecdsa-sha512", onCurve(elliptic.P521())},
	} {
		ofResponse := xmlSignature("_response1", test.canonicalization, test.method)
		ofAssertion := xmlSignature("_assertion1", test.canonicalization, test.method)
		r := samlReader(test.signer)
		t.Run(test.name+", the response", func(t *testing.T) {
			document := test.signer.sign(t, samlResponse(ofResponse, ""), "Response")
			mustReadSAML(t, r, document)
			mustRefuseSAML(t, r, strings.Replace(document, "&amp; co", "&amp; ko", 1), "the signature of the Response is not valid")
		})
		t.Run(test.name+", the assertion", func(t *testing.T) {
			document := test.signer.sign(t, samlResponse("", ofAssertion), "Assertion")
			mustReadSAML(t, r, document)
			mustRefuseSAML(t, r, strings.Replace(document, "&amp; co", "&amp; ko", 1), "the signature of the Assertion is not valid")
		})
		t.Run(test.name+", both", func(t *testing.T) {
			document := test.signer.sign(t, samlResponse(ofResponse, ofAssertion), "Assertion")
			document = test.signer.sign(t, document, "Response")
			mustReadSAML(t, r, document)
			mustRefuseSAML(t, r, strings.Replace(document, "status:Success", "status:Failure", 1), "the signature of the Response is not valid")
		})
	}

	t.Run("a user of 3000 groups", func(t *testing.T) {
		groups := `<saml:Attribute Name="groups">` + strings.Repeat(`<saml:AttributeValue xsi:type="xs:string">staff</saml:AttributeValue>`, 3000)
		document := samlResponse("", xmlSignature("_assertion1", exclusiveC14N, "rsa-sha256"))
		document = strings.Replace(document, "</saml:AttributeStatement>", groups+"</saml:Attribute></saml:AttributeStatement>", 1)
		read, err := samlReader(signer).Read(t.Context(), []byte(signer.sign(t, document, "Assertion")), samlRequest)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(read.Attributes[1].Values); n != 3000 {
			t.Errorf("there are %d groups", n)
		}
	})

	document := signer.sign(t, samlResponse("", xmlSignature("_assertion1", exclusiveC14N, "rsa-sha256")), "Assertion")
	t.Run("S0-11 a response signed by another provider is refused", func(t *testing.T) {
		mustRefuseSAML(t, samlReader(newXMLSigner(t, newRSAKey(t))), document, "it names a certificate that is not configured")
	})
	t.Run("S0-11 a response for another audience is refused", func(t *testing.T) {
		r := samlReader(signer)
		r.Audience = "https://other.example"
		mustRefuseSAML(t, r, document, "the assertion is meant for another audience")
	})
}

// xmlEncryption is a template of encrypted data for xmlsec1.
func xmlEncryption(cipher string) string {
	return `<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">
<xenc:EncryptionMethod Algorithm="` + cipher + `"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>
<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>
<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>
<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>`
}

// encryptAssertion has xmlsec1 encrypt the assertion of a document for the signer's key.
func (s *xmlSigner) encryptAssertion(t *testing.T, document, cipher, sessionKey string) string {
	t.Helper()
	document = strings.Replace(document, "<saml:Assertion ", "<saml:EncryptedAssertion><saml:Assertion ", 1)
	document = strings.Replace(document, "</saml:Assertion>", "</saml:Assertion></saml:EncryptedAssertion>", 1)
	data := filepath.Join(t.TempDir(), "data.xml")
	if err := os.WriteFile(data, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := xmlsec(t, xmlEncryption(cipher), "--encrypt", "--pubkey-cert-pem", s.certificateFile,
		"--session-key", sessionKey, "--xml-data", data, "--node-xpath", "//*[local-name()='Assertion']")
	if strings.Contains(encrypted, "example.org") {
		t.Fatalf("it is not encrypted: %s", encrypted)
	}
	return encrypted
}

func TestSAMLEncryptedByXMLSec(t *testing.T) {
	t.Parallel()
	signer, key := newXMLSigner(t, newRSAKey(t)), newRSAKey(t)
	service := newXMLSigner(t, key)
	r := samlReader(signer)
	r.Keys = []*rsa.PrivateKey{key}
	signed := samlResponse("", xmlSignature("_assertion1", exclusiveC14N, "rsa-sha256"))
	whole := samlResponse(xmlSignature("_response1", exclusiveC14N, "rsa-sha256"), "")
	tamper := func(document string) string {
		at := strings.LastIndex(document, "</xenc:CipherValue>") - 10
		letter := "A"
		if document[at:at+1] == letter {
			letter = "B"
		}
		return document[:at] + letter + document[at+1:]
	}
	for name, cipher := range map[string]string{
		"aes-128": "http://www.w3.org/2009/xmlenc11#aes128-gcm",
		"aes-256": "http://www.w3.org/2009/xmlenc11#aes256-gcm",
	} {
		t.Run(name+"-gcm", func(t *testing.T) {
			document := service.encryptAssertion(t, signer.sign(t, signed, "Assertion"), cipher, name)
			mustReadSAML(t, r, document)
			mustRefuseSAML(t, r, tamper(document), "it can't be decrypted")
		})
	}
	const cbc = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	t.Run("CBC in a response that is signed as a whole", func(t *testing.T) {
		document := signer.sign(t, service.encryptAssertion(t, whole, cbc, "aes-256"), "Response")
		mustReadSAML(t, r, document)
		mustRefuseSAML(t, r, tamper(document), "the signature of the Response is not valid")
	})
	t.Run("CBC in a response that is not", func(t *testing.T) {
		document := service.encryptAssertion(t, signer.sign(t, signed, "Assertion"), cbc, "aes-256")
		mustRefuseSAML(t, r, document, "the cipher is CBC")
	})
}
