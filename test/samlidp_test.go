package e2e

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/logger"
	dsig "github.com/russellhaering/goxmldsig"
)

// A samlProvider is an identity provider that signs everybody in as jane without asking. It reads its service providers'
// published metadata.
type samlProvider struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	sps      map[string]string // where metadata is, by entity ID
	current  signingKey
	retired  []signingKey // that its metadata still has
	audience string       // what assertions are for, instead of the service provider
	seen     []saml.AuthnRequest
	signers  map[string]string // path of the certificate that must have signed requests, by entity ID
	stale    map[string]string // certificate of ours, as base64, that is taken for the one in our metadata, by entity ID
}

type signingKey struct {
	*xmlSigner
	key *rsa.PrivateKey
}

func newSigningKey(t *testing.T) signingKey {
	t.Helper()
	key := newRSAKey(t)
	return signingKey{newXMLSigner(t, key), key}
}

func startSAMLProvider(t *testing.T) *samlProvider {
	t.Helper()
	p := &samlProvider{t: t, sps: map[string]string{}, signers: map[string]string{}, stale: map[string]string{}, current: newSigningKey(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("/metadata", p.metadata)
	mux.HandleFunc("/sso", p.sso)
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *samlProvider) entityID() string { return p.server.URL + "/metadata" }
func (p *samlProvider) ssoURL() string   { return p.server.URL + "/sso" }

// knows registers a service provider.
func (p *samlProvider) knows(entityID, metadata string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sps[entityID] = metadata
}

// rotate gives the provider a new key. Its metadata keeps the old one too.
func (p *samlProvider) rotate() {
	fresh := newSigningKey(p.t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = []signingKey{p.current}
	p.current = fresh
}

func (p *samlProvider) requests() []saml.AuthnRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

func (p *samlProvider) idp() *saml.IdentityProvider {
	p.mu.Lock()
	defer p.mu.Unlock()
	parse := func(address string) url.URL {
		u, err := url.Parse(address)
		if err != nil {
			panic(err)
		}
		return *u
	}
	return &saml.IdentityProvider{
		Key: p.current.key, Certificate: p.current.certificate, SignatureMethod: dsig.RSASHA256SignatureMethod,
		Logger: logger.DefaultLogger, MetadataURL: parse(p.entityID()), SSOURL: parse(p.ssoURL()),
		ServiceProviderProvider: p, SessionProvider: p, AssertionMaker: p,
	}
}

func (p *samlProvider) metadata(w http.ResponseWriter, _ *http.Request) {
	description := p.idp().Metadata()
	p.mu.Lock()
	retired := p.retired
	p.mu.Unlock()
	role := &description.IDPSSODescriptors[0]
	for _, old := range retired {
		role.KeyDescriptors = append([]saml.KeyDescriptor{{Use: "signing", KeyInfo: saml.KeyInfo{X509Data: saml.X509Data{
			X509Certificates: []saml.X509Certificate{{Data: base64.StdEncoding.EncodeToString(old.certificate.Raw)}},
		}}}}, role.KeyDescriptors...)
	}
	text, err := xml.Marshal(description)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text)
}

// sso answers a request after checking that it is signed by the right key.
func (p *samlProvider) sso(w http.ResponseWriter, r *http.Request) {
	request, err := saml.NewIdpAuthnRequest(p.idp(), r)
	if err == nil {
		err = request.Validate()
	}
	if err == nil {
		err = p.checkSignature(request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.seen = append(p.seen, request.Request)
	p.mu.Unlock()
	p.idp().ServeSSO(w, r)
}

func (p *samlProvider) checkSignature(request *saml.IdpAuthnRequest) error {
	p.mu.Lock()
	certificate := p.signers[request.ServiceProviderMetadata.EntityID]
	p.mu.Unlock()
	if certificate == "" {
		return nil
	}
	return verifyByXMLSec(request.RequestBuffer, certificate)
}

func verifyByXMLSec(document []byte, certificate string) error {
	dir, err := os.MkdirTemp("", "saml")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, "request.xml")
	if err := os.WriteFile(path, document, 0o600); err != nil {
		return err
	}
	said, err := exec.Command("xmlsec1", "--verify", "--pubkey-cert-pem", certificate, "--enabled-key-data", "rsa,ec",
		"--id-attr:ID", samlProtocol+":AuthnRequest", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("xmlsec1: %w: %s", err, said)
	}
	return nil
}

// GetServiceProvider implements saml.ServiceProviderProvider: it reads the metadata that the service provider publishes.
func (p *samlProvider) GetServiceProvider(r *http.Request, entityID string) (*saml.EntityDescriptor, error) {
	p.mu.Lock()
	address, known := p.sps[entityID]
	stale := p.stale[entityID]
	p.mu.Unlock()
	if !known {
		return nil, os.ErrNotExist
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metadata: %s: %w", answer.Status, err)
	}
	if stale != "" {
		text = certificateTag.ReplaceAll(text, []byte("${1}"+stale+"${2}"))
	}
	description := &saml.EntityDescriptor{}
	if err := xml.Unmarshal(text, description); err != nil {
		return nil, err
	}
	if description.EntityID != entityID {
		return nil, fmt.Errorf("the metadata is about %q and not %q", description.EntityID, entityID)
	}
	return description, nil
}

// GetSession implements saml.SessionProvider.
func (p *samlProvider) GetSession(http.ResponseWriter, *http.Request, *saml.IdpAuthnRequest) *saml.Session {
	attribute := func(name string, values ...string) saml.Attribute {
		a := saml.Attribute{Name: name}
		for _, value := range values {
			a.Values = append(a.Values, saml.AttributeValue{Type: "xs:string", Value: value})
		}
		return a
	}
	return &saml.Session{
		ID: "s1", Index: "i1", CreateTime: time.Now(), ExpireTime: time.Now().Add(time.Hour),
		NameID: "jane-id", NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		CustomAttributes: []saml.Attribute{
			attribute("username", "Jane Doe"), attribute("email", "jane@example.org"),
			attribute("uid", "jane"), attribute("mail", "j@example.org"), attribute("memberOf", "staff", "admins"),
		},
	}
}

// MakeAssertion implements saml.AssertionMaker.
func (p *samlProvider) MakeAssertion(request *saml.IdpAuthnRequest, session *saml.Session) error {
	if err := (saml.DefaultAssertionMaker{}).MakeAssertion(request, session); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.audience != "" {
		request.Assertion.Conditions.AudienceRestrictions[0].Audience.Value = p.audience
	}
	return nil
}

var certificateTag = regexp.MustCompile(`(<X509Certificate[^>]*>)[^<]*(<)`)

var (
	formTag  = regexp.MustCompile(`(?is)<form[^>]*\saction="([^"]*)"`)
	inputTag = regexp.MustCompile(`(?is)<input[^>]*>`)
	nameOf   = regexp.MustCompile(`(?is)\sname="([^"]*)"`)
	valueOf  = regexp.MustCompile(`(?is)\svalue="([^"]*)"`)
)

// formOf returns a page's form: its action and its fields.
func formOf(on *page) (action string, fields url.Values, ok bool) {
	form := formTag.FindStringSubmatch(on.body)
	if form == nil {
		return "", nil, false
	}
	target, err := on.url.Parse(html.UnescapeString(form[1]))
	if err != nil {
		return "", nil, false
	}
	fields = url.Values{}
	for _, input := range inputTag.FindAllString(on.body, -1) {
		name, value := nameOf.FindStringSubmatch(input), valueOf.FindStringSubmatch(input)
		if name != nil && value != nil {
			fields.Set(html.UnescapeString(name[1]), html.UnescapeString(value[1]))
		}
	}
	return target.String(), fields, true
}
