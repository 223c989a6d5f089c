package saml_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/saml"
)

// Documents are kept in testdata/documents, good-*.xml and bad-*.xml, with the certificates and the key to read them with. So
// today's reader reads the same documents as older ones did, and all processes of the fuzzer have the same keys. The keys
// that signed them are gone.
var update = flag.Bool("update", false, "write testdata/documents anew, from the tables of the tests")

const (
	storedDocuments    = "testdata/documents"
	storedCertificates = "testdata/certificates.pem"
	storedKey          = "testdata/encryption.pem"
)

// writeStored makes the documents of the tables, except for faults of the provider itself.
func writeStored(t *testing.T) {
	t.Helper()
	p := newPeople(t)
	if err := errors.Join(os.RemoveAll(storedDocuments), os.MkdirAll(storedDocuments, 0o755)); err != nil {
		t.Fatal(err)
	}
	var certificates []byte
	for _, one := range []authority{p.provider, p.elliptic} {
		certificates = append(certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.certificate.Raw})...)
	}
	writeFile(t, storedCertificates, certificates)
	writeFile(t, storedKey, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.service)}))
	for _, document := range goodDocuments(p) {
		writeDocument(t, "good-"+document.name, document.make(t, plainResponse))
	}
	for _, document := range append(append(badSignatures(p), badDocuments(p)...), badEncryption(p)...) {
		_, fails := document.documents(t, p)
		writeDocument(t, "bad-"+document.name, fails)
	}
}

// writeDocument writes a document if the stored reader finds it as good or bad as its name says. Some need another reader's
// settings.
func writeDocument(t *testing.T, name, document string) {
	t.Helper()
	const longest = 20_000 // bytes: there is little to learn from documents that are just big
	r, err := storedReader()
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Read(t.Context(), []byte(document), request)
	if len(document) > longest || (err == nil) != strings.HasPrefix(name, "good-") {
		return
	}
	file := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name)) + ".xml"
	writeFile(t, filepath.Join(storedDocuments, file), []byte(document))
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func storedReader() (*saml.Reader, error) {
	data, err := os.ReadFile(storedCertificates)
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
	if data, err = os.ReadFile(storedKey); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return &saml.Reader{
		Certificates: func() []*x509.Certificate { return certificates },
		Keys:         []*rsa.PrivateKey{key},
		Issuer:       issuer, Audience: audience, ACS: acs, Strict: true,
		Now: func() time.Time { return now },
	}, err
}

// signedAssertion is what all good documents say. The ID of the response is not signed in all of them.
func signedAssertion() *saml.Assertion {
	return &saml.Assertion{
		ID: "_assertion1", Issuer: issuer,
		NameID: saml.NameID{
			Value: alice, Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", NameQualifier: "q", SPNameQualifier: "sq",
		},
		Attributes: []saml.Attribute{
			{Name: "mail", FriendlyName: "E-mail", Values: []string{alice}},
			{Name: "groups", Values: []string{"admins", " two words "}},
		},
		SessionIndex:        "_session1",
		AuthnInstant:        time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC),
		SessionNotOnOrAfter: time.Date(2030, 1, 2, 11, 0, 0, 0, time.UTC),
		AuthnContext:        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		NotOnOrAfter:        time.Date(2030, 1, 2, 3, 9, 30, 0, time.UTC),
	}
}

func storedFiles(t testing.TB, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(storedDocuments, kind+"-*.xml"))
	if err != nil || len(files) < 20 {
		t.Fatalf("there are %d %s documents: %v", len(files), kind, err)
	}
	return files
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStoredDocuments(t *testing.T) {
	if *update {
		writeStored(t)
	}
	r, err := storedReader()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range storedFiles(t, "good") {
		read, err := r.Read(t.Context(), readFile(t, file), request)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		read.ResponseID = ""
		if diff := cmp.Diff(signedAssertion(), read); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
	for _, file := range storedFiles(t, "bad") {
		if _, err := r.Read(t.Context(), readFile(t, file), request); err == nil {
			t.Errorf("%s is read", file)
		}
	}
}

// However documents are changed, only the assertion that the provider signed is ever read.
func FuzzRead(f *testing.F) {
	r, err := storedReader()
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(storedFiles(f, "good"), storedFiles(f, "bad")...) {
		f.Add(readFile(f, file))
	}
	want := signedAssertion()
	f.Fuzz(func(t *testing.T, document []byte) {
		read, err := r.Read(t.Context(), document, request)
		if err != nil {
			return
		}
		read.ResponseID = ""
		if diff := cmp.Diff(want, read); diff != "" {
			t.Fatalf("another assertion is read: %s", diff)
		}
	})
}
