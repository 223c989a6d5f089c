package saml_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/saml"
)

const slo = "https://dex.example/logout/idp"

// plainLogout is a request for a logout that has not been signed yet.
const plainLogout = `<?xml version="1.0" encoding="UTF-8"?>
<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_logout1" Version="2.0" IssueInstant="2030-01-02T03:04:00Z" NotOnOrAfter="2030-01-02T03:09:00Z" Destination="https://dex.example/logout/idp">
  <saml:Issuer>https://idp.example/metadata</saml:Issuer>
  <saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="q" SPNameQualifier="sq">alice@example.org</saml:NameID>
  <samlp:SessionIndex>_session1</samlp:SessionIndex>
  <samlp:SessionIndex>_session2</samlp:SessionIndex>
</samlp:LogoutRequest>
`

func logoutOf() *saml.LogoutRequest {
	return &saml.LogoutRequest{
		ID: "_logout1", Issuer: issuer, SessionIndexes: []string{"_session1", "_session2"},
		NameID: saml.NameID{
			Value: alice, Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", NameQualifier: "q", SPNameQualifier: "sq",
		},
		Issued:  time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC),
		Expires: time.Date(2030, 1, 2, 3, 9, 30, 0, time.UTC),
	}
}

func TestReadLogout(t *testing.T) {
	p := newPeople(t)
	signed := signer{who: p.provider}.sign("_logout1")
	forService := encrypter{key: &p.service.PublicKey}
	// What is encrypted stands alone afterwards, so it declares the namespaces that it uses.
	selfContained := replace(`<saml:NameID `, `<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" `)
	for name, c := range map[string]struct {
		make     edit
		reader   func(*saml.Reader)
		verified bool // by a signature around it
		change   func(*saml.LogoutRequest)
	}{
		"signed":                 {make: signed},
		"signed with ECDSA":      {make: signer{who: p.elliptic}.sign("_logout1"), reader: certificates(p.elliptic)},
		"signed with SHA-1":      {make: signer{who: p.provider, hash: crypto.SHA1, digest: crypto.SHA1}.sign("_logout1"), reader: func(r *saml.Reader) { r.AllowSHA1 = true }},
		"signed around":          {make: keep, verified: true},
		"signed twice":           {make: signed, verified: true},
		"not signed, by setting": {make: keep, reader: func(r *saml.Reader) { r.InsecureSkipSignature = true }},
		"encrypted name":         {make: inTurn(selfContained, forService.encrypt("saml:NameID", "saml:EncryptedID"), signed)},
		"encrypted name, signed around": {
			make: inTurn(selfContained, forService.encrypt("saml:NameID", "saml:EncryptedID")), verified: true,
		},
		"no sessions": {
			make:   inTurn(without("<samlp:SessionIndex>", "</samlp:SessionIndex>"), without("<samlp:SessionIndex>", "</samlp:SessionIndex>"), signed),
			change: func(l *saml.LogoutRequest) { l.SessionIndexes = nil },
		},
		"no end": {
			make:   inTurn(replace(` NotOnOrAfter="2030-01-02T03:09:00Z"`, ""), signed),
			change: func(l *saml.LogoutRequest) { l.Expires = l.Issued.Add(5*time.Minute + 30*time.Second) },
		},
		"a late end": {
			make:   inTurn(replace(`NotOnOrAfter="2030-01-02`, `NotOnOrAfter="2031-01-02`), signed),
			change: func(l *saml.LogoutRequest) { l.Expires = l.Issued.Add(time.Hour + 30*time.Second) },
		},
		"29 seconds late":  {make: signed, reader: at("2030-01-02T03:09:29Z")},
		"29 seconds early": {make: signed, reader: at("2030-01-02T03:03:31Z")},
		"no address, and lenient": {
			make: inTurn(replace(` Destination="https://dex.example/logout/idp"`, ""), signed), reader: func(r *saml.Reader) { r.Strict = false },
		},
		"a reason and extensions": {make: inTurn(
			replace(`Version="2.0"`, `Version="2.0" Reason="urn:oasis:names:tc:SAML:2.0:logout:user"`),
			replace(`</saml:Issuer>`, `</saml:Issuer><samlp:Extensions><x xmlns="urn:x"/></samlp:Extensions>`), signed,
		)},
	} {
		t.Run(name, func(t *testing.T) {
			r, want := reader(p), logoutOf()
			if c.reader != nil {
				c.reader(r)
			}
			if c.change != nil {
				c.change(want)
			}
			got, err := r.ReadLogout(t.Context(), []byte(c.make(t, plainLogout)), slo, c.verified)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

func TestReadBadLogout(t *testing.T) {
	p := newPeople(t)
	signed := signer{who: p.provider}.sign("_logout1")
	before := func(change edit) edit { return inTurn(change, signed) }
	after := func(change edit) edit { return inTurn(signed, change) }
	for name, c := range map[string]struct {
		make     edit
		reader   func(*saml.Reader)
		verified bool
		want     string
	}{
		"not signed":            {make: keep, want: "is not signed"},
		"signed by a stranger":  {make: signer{who: p.stranger}.sign("_logout1"), want: "not configured for the provider"},
		"signed by an old key":  {make: signer{who: p.expired}.sign("_logout1"), reader: certificates(p.expired), want: "expired"},
		"signed with SHA-1":     {make: signer{who: p.provider, hash: crypto.SHA1, digest: crypto.SHA1}.sign("_logout1"), want: "SHA-1"},
		"another user":          {make: after(replace(alice, "bob@example.org")), want: "is not what was signed"},
		"another session":       {make: after(replace("_session2", "_session3")), want: "is not what was signed"},
		"one more session":      {make: after(replace("</samlp:LogoutRequest>", "<samlp:SessionIndex>x</samlp:SessionIndex></samlp:LogoutRequest>")), want: "is not what was signed"},
		"a signature of a part": {make: inTurn(replace(`<saml:NameID `, `<saml:Subject ID="_part"><saml:Issuer/><saml:NameID `), replace(`</saml:NameID>`, `</saml:NameID></saml:Subject>`), signer{who: p.provider}.sign("_part")), want: "is not signed"},
		"wrapped": {make: after(func(t testing.TB, document string) string {
			t.Helper()
			_, inner, _ := strings.Cut(document, "?>")
			outer := strings.Replace(inner[:strings.Index(inner, "<saml:NameID")], `"_logout1"`, `"_logout2"`, 1)
			return outer + "<saml:NameID>bob</saml:NameID><x>" + inner + "</x></samlp:LogoutRequest>"
		}), want: "it refers to"},
		"two signatures":     {make: inTurn(signed, signed), want: "more than one Signature"},
		"a response":         {make: func(testing.TB, string) string { return plainResponse }, want: "is not a SAML 2.0 LogoutRequest"},
		"another namespace":  {make: before(replace("SAML:2.0:protocol", "SAML:1.0:protocol")), want: "is not a SAML 2.0 LogoutRequest"},
		"another version":    {make: before(replace(`Version="2.0"`, `Version="1.1"`)), want: "version"},
		"another issuer":     {make: before(replace(issuer, "https://evil.example")), want: "another issuer"},
		"no issuer":          {make: without("<saml:Issuer>", "</saml:Issuer>"), verified: true, want: "has no Issuer"},
		"another address":    {make: before(replace(slo, "https://other.example/slo")), want: "meant for another address"},
		"another, lenient":   {make: before(replace(slo, "https://other.example/slo")), reader: func(r *saml.Reader) { r.Strict = false }, want: "meant for another address"},
		"no address":         {make: before(replace(` Destination="https://dex.example/logout/idp"`, "")), want: "meant for another address"},
		"no ID":              {make: replace(`ID="_logout1" `, ""), verified: true, want: "has no ID"},
		"no time":            {make: before(replace(`IssueInstant="2030-01-02T03:04:00Z" `, "")), want: "no IssueInstant"},
		"no real time":       {make: before(replace(`IssueInstant="2030-01-02T03:04:00Z"`, `IssueInstant="now"`)), want: "not a date and time"},
		"of the future":      {make: signed, reader: at("2030-01-02T03:03:29Z"), want: "of the future"},
		"over":               {make: signed, reader: at("2030-01-02T03:09:30Z"), want: "has expired"},
		"endless and old":    {make: before(replace(` NotOnOrAfter="2030-01-02T03:09:00Z"`, "")), reader: at("2030-01-02T03:09:30Z"), want: "too old"},
		"ends late, and old": {make: before(replace(`NotOnOrAfter="2030-01-02`, `NotOnOrAfter="2031-01-02`)), reader: at("2030-01-02T04:04:30Z"), want: "too old"},
		"nobody":             {make: before(without("<saml:NameID", "</saml:NameID>")), want: "has no NameID"},
		"two users":          {make: before(replace("</saml:NameID>", "</saml:NameID><saml:NameID>bob</saml:NameID>")), want: "more than one NameID"},
		"an empty name":      {make: before(replace(alice, "")), want: "NameID is empty"},
		"a comment in it":    {make: replace("alice@", "alice@<!-- x -->"), verified: true, want: "comment"},
		"an empty session":   {make: before(replace("_session2", "")), want: "SessionIndex is empty"},
		"many sessions": {
			make:     replace("<samlp:SessionIndex>_session1</samlp:SessionIndex>", strings.Repeat("<samlp:SessionIndex>s</samlp:SessionIndex>", 1000)),
			verified: true, want: "more than 1000",
		},
		"encrypted for nobody": {
			make: before(encrypter{key: &p.service.PublicKey}.encrypt("saml:NameID", "saml:EncryptedID")), want: "EncryptedID",
			reader: func(r *saml.Reader) { r.Keys = nil },
		},
		"encrypted and not":        {make: before(replace("</saml:NameID>", "</saml:NameID><saml:EncryptedID/>")), want: "both a NameID and an EncryptedID"},
		"an entity":                {make: replace("<samlp:Log", "<!DOCTYPE x><samlp:Log"), verified: true, want: "DOCTYPE"},
		"no keys":                  {make: signed, reader: func(r *saml.Reader) { r.Certificates = func() []*x509.Certificate { return nil } }, want: "no certificate"},
		"encrypted, for other key": {make: before(encrypter{key: p.stranger.key.Public().(*rsa.PublicKey)}.encrypt("saml:NameID", "saml:EncryptedID")), want: "can't be decrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := reader(p)
			if c.reader != nil {
				c.reader(r)
			}
			got, err := r.ReadLogout(t.Context(), []byte(c.make(t, plainLogout)), slo, c.verified)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v, want %q", got, err, c.want)
			}
		})
	}
}

// However documents are changed, only the request that the provider signed is ever read.
func FuzzReadLogout(f *testing.F) {
	p := newPeople(f)
	r, want := reader(p), logoutOf()
	f.Add([]byte(plainLogout))
	f.Add([]byte(signer{who: p.provider}.sign("_logout1")(f, plainLogout)))
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := r.ReadLogout(t.Context(), document, slo, false)
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another request is read: %s", diff)
		}
	})
}
