package saml_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"math/big"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	reading "dex/internal/saml"
)

// begin starts a login and returns where the browser is sent, and the message that it carries.
func begin(t *testing.T, s source, r connector.LoginRequest) (connector.Redirect, string) {
	t.Helper()
	r.State, r.CallbackURL = state, callbackURL
	to, err := s.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(to.Data) > 200 { // it holds what the answer is checked against
		t.Errorf("the login keeps %q", to.Data)
	}
	if to.Form == nil {
		u, err := url.Parse(to.URL)
		if err != nil {
			t.Fatal(err)
		}
		return to, inflated(t, u.Query().Get("SAMLRequest"))
	}
	document, err := base64.StdEncoding.DecodeString(to.Form.Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	if to.Form.Get("RelayState") != state {
		t.Errorf("RelayState is %q", to.Form.Get("RelayState"))
	}
	return to, string(document)
}

func inflated(t *testing.T, value string) string {
	t.Helper()
	document, err := reading.DecodeRedirect(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// The request is the same as upstream's, byte for byte.
func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, usual+"entityIssuer: https://dex.test/?a=<&\n"+people().idp.caData())
		to, got := begin(t, s, connector.LoginRequest{Scopes: connector.Scopes{Groups: true, OfflineAccess: true}})
		want := `<AuthnRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="` + state + `" Version="2.0" ` +
			`IssueInstant="2000-01-01T00:00:00Z" Destination="https://idp.test/sso" ` +
			`ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" AssertionConsumerServiceURL="` + callbackURL + `">` +
			`<Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">https://dex.test/?a=&lt;&amp;</Issuer>` +
			`<NameIDPolicy xmlns="urn:oasis:names:tc:SAML:2.0:protocol" AllowCreate="true" Format="` + persistent + `"/></AuthnRequest>`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		if to.URL != ssoURL || len(to.Form) != 2 {
			t.Errorf("the browser is led to %s with %d fields", to.URL, len(to.Form))
		}
	})
}

// asked is what a request asks for.
type asked struct {
	XMLName    xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	ForceAuthn string   `xml:"ForceAuthn,attr"`
	IsPassive  string   `xml:"IsPassive,attr"`
	ACS        string   `xml:"AssertionConsumerServiceURL,attr"`
	Issuer     string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	Policy     struct {
		Format string `xml:"Format,attr"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol NameIDPolicy"`
	Context struct {
		Comparison string   `xml:"Comparison,attr"`
		Classes    []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnContextClassRef"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol RequestedAuthnContext"`
	Signature *struct{} `xml:"http://www.w3.org/2000/09/xmldsig# Signature"`
}

func TestWhatIsAskedFor(t *testing.T) {
	hour := time.Hour
	for name, c := range map[string]struct {
		settings string
		request  connector.LoginRequest
		want     func(*asked)
	}{
		"nothing":       {want: func(*asked) {}},
		"prompt=login":  {request: connector.LoginRequest{Prompt: []string{"login"}}, want: func(a *asked) { a.ForceAuthn = "true" }},
		"other prompts": {request: connector.LoginRequest{Prompt: []string{"consent", "select_account"}}, want: func(*asked) {}},
		"max_age":       {request: connector.LoginRequest{MaxAge: &hour}, want: func(a *asked) { a.ForceAuthn = "true" }},
		"forceAuthn":    {settings: "forceAuthn: true", want: func(a *asked) { a.ForceAuthn = "true" }},
		"S0-11 issuer":  {settings: "entityIssuer: https://dex.test/me", want: func(a *asked) { a.Issuer = "https://dex.test/me" }},
		"signed":        {settings: "signRequests: true\n" + people().dex.spKeys(t), want: func(a *asked) { a.Issuer, a.Signature = callbackURL, &struct{}{} }},
		"key":           {settings: people().dex.spKeys(t), want: func(*asked) {}},
		"format": {
			settings: "nameIDPolicyFormat: emailAddress",
			want:     func(a *asked) { a.Policy.Format = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" },
		},
		"whole format": {
			settings: "nameIDPolicyFormat: urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos",
			want:     func(a *asked) { a.Policy.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos" },
		},
		"classes": {
			request: connector.LoginRequest{ACRValues: "1 urn:oasis:names:tc:SAML:2.0:ac:classes:Password gold https://refeds.org/profile/mfa"},
			want: func(a *asked) {
				a.Context.Comparison = "exact"
				a.Context.Classes = []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:Password", "https://refeds.org/profile/mfa"}
			},
		},
		"no classes": {request: connector.LoginRequest{ACRValues: "1 gold"}, want: func(*asked) {}},
	} {
		t.Run(name, func(t *testing.T) {
			_, document := begin(t, open(t, usual+c.settings+"\n"+people().idp.caData()), c.request)
			var got asked
			if err := xml.Unmarshal([]byte(document), &got); err != nil {
				t.Fatal(err)
			}
			want := asked{XMLName: got.XMLName, ACS: callbackURL}
			want.Policy.Format = persistent
			c.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaultOfRedirectURI(t *testing.T) {
	s := open(t, "{ssoURL: https://idp.test/sso, usernameAttr: name, emailAttr: email, ca: "+file(t, people().idp.pem())+"}")
	_, document := begin(t, s, connector.LoginRequest{})
	if !strings.Contains(document, `AssertionConsumerServiceURL="`+callbackURL+`"`) {
		t.Errorf("request %s", document)
	}
	if _, err := login(t, s, connector.Scopes{}, jane()); err != nil {
		t.Error(err)
	}
}

// signers has one key of each kind that we sign with.
func signers() map[string]holder {
	return map[string]holder{"RSA": people().dex, "ECDSA": people().curve}
}

func TestSignedForm(t *testing.T) {
	for name, by := range signers() {
		t.Run(name, func(t *testing.T) {
			s := open(t, usual+"entityIssuer: https://dex.test/me\nsignRequests: true\n"+by.spKeys(t)+people().idp.caData())
			_, document := begin(t, s, connector.LoginRequest{})
			reader := reading.Reader{Certificates: func() []*x509.Certificate { return []*x509.Certificate{by.certificate} }}
			signed, err := reader.Signed(t.Context(), []byte(document))
			if err != nil || !strings.Contains(string(signed), state) {
				t.Errorf("signed is %q: %v", signed, err)
			}
			// In the schema the signature comes after the issuer.
			if !regexp.MustCompile(`</Issuer><ds:Signature.*</ds:Signature><NameIDPolicy`).MatchString(document) {
				t.Errorf("the signature is elsewhere: %s", document)
			}
			value := regexp.MustCompile(`<ds:SignatureValue>([^<]*)<`).FindStringSubmatch(document)
			if raw, err := base64.StdEncoding.DecodeString(value[1]); name == "ECDSA" && (err != nil || len(raw) != 64) {
				t.Errorf("the signature has %d bytes, want the two numbers of the curve", len(raw))
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	for address, prefix := range map[string]string{
		"https://idp.test/sso": "https://idp.test/sso?SAMLRequest=", "https://idp.test/sso?a=1": "https://idp.test/sso?a=1&SAMLRequest=",
	} {
		text := strings.Replace(usual, ssoURL, address, 1) + "binding: redirect\n" + people().idp.caData()
		to, document := begin(t, open(t, text), connector.LoginRequest{})
		if !strings.HasPrefix(to.URL, prefix) || !strings.HasSuffix(to.URL, "&RelayState="+state) || to.Form != nil {
			t.Errorf("the browser is led to %s", to.URL)
		}
		if !strings.Contains(document, `Destination="`+address+`"`) {
			t.Errorf("request %s", document)
		}
	}
}

func TestSignedRedirect(t *testing.T) {
	for name, by := range signers() {
		t.Run(name, func(t *testing.T) {
			s := open(t, usual+"binding: redirect\nsignRequests: true\n"+by.spKeys(t)+people().idp.caData())
			to, document := begin(t, s, connector.LoginRequest{})
			checkQuery(t, to.URL, by)
			if strings.Contains(document, "Signature") {
				t.Errorf("the document is signed too: %s", document)
			}
		})
	}
}

// checkQuery checks the signature of an address (saml-bindings-2.0 section 3.4.4.1).
func checkQuery(t *testing.T, address string, by holder) {
	t.Helper()
	_, query, _ := strings.Cut(address, "?")
	covered, signature, ok := strings.Cut(query, "&Signature=")
	if !ok || !regexp.MustCompile(`^SAML(Request|Response)=[^&]*&RelayState=[^&]*&SigAlg=[^&]*$`).MatchString(covered) {
		t.Fatalf("query %s", query)
	}
	values, err := url.ParseQuery(covered + "&Signature=" + signature)
	if err != nil {
		t.Fatal(err)
	}
	value, err := base64.StdEncoding.DecodeString(values.Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(covered))
	switch key := by.certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if values.Get("SigAlg") != "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" {
			t.Errorf("SigAlg is %s", values.Get("SigAlg"))
		}
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], value); err != nil {
			t.Error(err)
		}
	case *ecdsa.PublicKey:
		if values.Get("SigAlg") != "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" {
			t.Errorf("SigAlg is %s", values.Get("SigAlg"))
		}
		if len(value) != 64 || !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(value[:32]), new(big.Int).SetBytes(value[32:])) {
			t.Errorf("the signature of %d bytes is not valid", len(value))
		}
	}
}
