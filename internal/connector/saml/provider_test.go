package saml_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/saml"
)

const (
	callbackURL = "https://dex.test/dex/callback"
	logoutURL   = "https://dex.test/dex/logout/callback"

	ownLogoutURL = "https://dex.test/dex/logout/idp"

	ssoURL     = "https://idp.test/sso"
	idpID      = "https://idp.test/metadata"
	state      = "rabcdefghijklmnopqrstuvwx"
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

// A holder has a key and its certificate.
type holder struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

// people are the key holders in these tests. Making their keys takes long.
var people = sync.OnceValue(func() (p struct{ idp, next, stranger, expired, dex, curve holder }) {
	since, until := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	p.idp, p.next, p.stranger = hold(rsaKey(), since, until), hold(rsaKey(), since, until), hold(rsaKey(), since, until)
	p.dex, p.expired = hold(rsaKey(), since, until), hold(rsaKey(), since, since.AddDate(1, 0, 0))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	p.curve = hold(key, since, until)
	return p
})

func rsaKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

var serial int64

func hold(key crypto.Signer, since, until time.Time) holder {
	serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "holder"}, NotBefore: since, NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return holder{key, certificate}
}

func (h holder) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.certificate.Raw}))
}

// caData is the setting caData.
func (h holder) caData() string {
	return "caData: " + base64.StdEncoding.EncodeToString([]byte(h.pem())) + "\n"
}

func (h holder) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(h.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// spKeys are the settings for a key of ours, in files.
func (h holder) spKeys(t *testing.T) string {
	t.Helper()
	return "spCert: " + file(t, h.pem()) + "\nspKey: " + file(t, h.keyPEM(t)) + "\n"
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	overwrite(t, path, content)
	return path
}

func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settings decodes YAML as a connector's configuration.
func settings(t testing.TB, text string) (*saml.Config, config.Problems) {
	t.Helper()
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
	whole := "issuer: https://dex.test/dex\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n" +
		"connectors:\n- type: saml\n  id: idp\n  name: A\n  config:\n" + indented + "\n"
	loaded, problems := config.Source{Name: "dex.yaml", Data: []byte(whole)}.Load()
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	c := &saml.Config{}
	var list []struct {
		Config config.Section `key:"config" expand:"env"`
	}
	loaded.Connectors.Decode(&list)
	return c, list[0].Config.Decode(c)
}

// usual has settings of a provider, without its certificate.
const usual = "ssoURL: " + ssoURL + "\nredirectURI: " + callbackURL + "\nusernameAttr: name\nemailAttr: email\n"

// source is what the connector can do.
type source interface {
	connector.Callback
	connector.Refresher
	connector.Logout
	connector.LogoutReceiver
	connector.Metadata
	connector.Prober
	io.Closer
}

// open opens a connector with settings that may cause warnings but no errors.
func open(t testing.TB, text string) source {
	t.Helper()
	s, err := tryOpen(t, text, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryOpen(t testing.TB, text string, log io.Writer) (source, error) {
	t.Helper()
	c, problems := settings(t, text)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	opened, err := c.Open(t.Context(), connector.Env{
		ID: "idp", CallbackURL: callbackURL, OwnCallbackURL: callbackURL + "/idp", LogoutURL: logoutURL, OwnLogoutURL: ownLogoutURL,
		Log: slog.New(slog.NewTextHandler(log, nil)),
		Once: func(_ context.Context, key string, until time.Time) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if !until.After(time.Now()) {
				t.Errorf("%q is to be remembered until %v", key, until)
			}
			first := !seen[key]
			seen[key] = true
			return first, nil
		},
	})
	if err != nil {
		return nil, err
	}
	s, ok := opened.(source)
	if !ok {
		t.Fatalf("%T lacks a capability", opened)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, nil
}

// An answer is what a response says. Empty fields are left out.
type answer struct {
	ID, Request, ACS, Audience, Issuer string
	NameID, Format, Session            string
	Attributes                         []attribute
	Now                                time.Time
	SessionEnd                         string
	Recipient                          bool
	Status, SubStatus                  string
	Context                            string // of the authentication
}

type attribute struct {
	Name   string
	Values []string
}

func jane() answer {
	return answer{
		ID: "_a1", Request: state, ACS: callbackURL, Audience: callbackURL, Issuer: idpID, NameID: "jane-id", Format: persistent,
		Session: "s1", Now: time.Now().UTC(), Recipient: true,
		Attributes: []attribute{
			{"name", []string{"Jane Doe"}}, {"email", []string{"jane@example.org"}},
			{"groups", []string{"staff", "admins"}}, {"uid", []string{"jane"}}, {"mail", []string{"j@example.org"}},
		},
	}
}

var responseForm = template.Must(template.New("").Funcs(template.FuncMap{
	"in": func(now time.Time, minutes int) string {
		return now.Add(time.Duration(minutes) * time.Minute).Format("2006-01-02T15:04:05Z")
	},
}).Parse(`<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" ` +
	`IssueInstant="{{in .Now 0}}" Destination="{{.ACS}}" InResponseTo="{{.Request}}"><a:Issuer>{{.Issuer}}</a:Issuer>` +
	`<p:Status><p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{{or .Status "Success"}}">` +
	`{{with .SubStatus}}<p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{{.}}"/>{{end}}</p:StatusCode></p:Status>` +
	`{{if not .Status}}<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="{{.ID}}" Version="2.0" IssueInstant="{{in .Now 0}}"><a:Issuer>{{.Issuer}}</a:Issuer>` +
	`<a:Subject><a:NameID Format="{{.Format}}">{{.NameID}}</a:NameID>` +
	`<a:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><a:SubjectConfirmationData ` +
	`InResponseTo="{{.Request}}"{{if .Recipient}} Recipient="{{.ACS}}"{{end}} NotOnOrAfter="{{in .Now 5}}"/></a:SubjectConfirmation></a:Subject>` +
	`<a:Conditions NotBefore="{{in .Now -1}}" NotOnOrAfter="{{in .Now 5}}"><a:AudienceRestriction><a:Audience>{{.Audience}}</a:Audience>` +
	`</a:AudienceRestriction></a:Conditions><a:AuthnStatement AuthnInstant="{{in .Now -2}}" SessionIndex="{{.Session}}"` +
	`{{with .SessionEnd}} SessionNotOnOrAfter="{{.}}"{{end}}>{{with .Context}}<a:AuthnContext><a:AuthnContextClassRef>{{.}}</a:AuthnContextClassRef></a:AuthnContext>{{end}}` +
	`</a:AuthnStatement><a:AttributeStatement>` +
	`{{range .Attributes}}<a:Attribute Name="{{.Name}}">{{range .Values}}<a:AttributeValue>{{.}}</a:AttributeValue>{{end}}</a:Attribute>{{end}}` +
	`</a:AttributeStatement></a:Assertion>{{end}}</p:Response>`))

// sign returns a response that somebody has signed: its assertion, or else the response itself.
func (a answer) sign(t *testing.T, by holder, method string) string {
	t.Helper()
	var b strings.Builder
	if err := responseForm.Execute(&b, a); err != nil {
		t.Fatal(err)
	}
	document := etree.NewDocument()
	if err := document.ReadFromString(b.String()); err != nil {
		t.Fatal(err)
	}
	signed := document.Root()
	if assertion := signed.SelectElement("Assertion"); assertion != nil {
		signed = assertion
	}
	signEnveloped(t, signed, by, method)
	text, err := document.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signEnveloped(t testing.TB, el *etree.Element, by holder, method string) {
	t.Helper()
	signing, err := dsig.NewSigningContext(by.key, [][]byte{by.certificate.Raw})
	if err != nil {
		t.Fatal(err)
	}
	signing.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if method != "" {
		if err := signing.SetSignatureMethod(method); err != nil {
			t.Fatal(err)
		}
	}
	signature, err := signing.ConstructSignature(el, true)
	if err != nil {
		t.Fatal(err)
	}
	place := 0
	if issuer := el.SelectElement("Issuer"); issuer != nil {
		place = issuer.Index() + 1
	}
	el.InsertChildAt(place, signature)
}

// post is a browser that comes back with a response.
func post(response string) *http.Request {
	form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(response))}, "RelayState": {state}}
	r := httptest.NewRequest(http.MethodPost, callbackURL, nil)
	r.PostForm = form
	return r
}

// answer has a user come back with a response that the provider has signed.
func login(t *testing.T, s source, scopes connector.Scopes, a answer) (connector.Identity, error) {
	t.Helper()
	return s.HandleCallback(t.Context(), connector.Return{
		Scopes: scopes, State: state, Request: post(a.sign(t, people().idp, "")),
	})
}
