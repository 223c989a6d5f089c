package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
)

type logoutRequest struct {
	XMLName     xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol LogoutRequest"`
	ID          string   `xml:"ID,attr"`
	Destination string   `xml:"Destination,attr"`
	Issuer      string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	Name        struct {
		Format string `xml:"Format,attr"`
		Value  string `xml:",chardata"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
	Session string `xml:"urn:oasis:names:tc:SAML:2.0:protocol SessionIndex"`
}

// logout begins a logout and returns the request to the provider.
func logout(t *testing.T, s source, data string) (connector.Redirect, logoutRequest) {
	t.Helper()
	to, err := s.LogoutURL(t.Context(), connector.LogoutRequest{
		Identity: connector.Identity{UserID: "jane", Data: []byte(data)}, ReturnURL: logoutURL, State: "the state",
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("RelayState"); got != "the state" {
		t.Errorf("RelayState is %q", got)
	}
	var request logoutRequest
	if err := xml.Unmarshal([]byte(inflated(t, u.Query().Get("SAMLRequest"))), &request); err != nil {
		t.Fatal(err)
	}
	if request.ID == "" || request.ID != string(to.Data) {
		t.Errorf("the request is %q, and %q is kept of it", request.ID, to.Data)
	}
	return to, request
}

const withLogout = usual + "entityIssuer: https://dex.test/me\nsloURL: https://idp.test/slo\nuserIDAttr: uid\n"

func TestLogoutRequest(t *testing.T) {
	s := open(t, withLogout+people().dex.spKeys(t)+people().idp.caData())
	a := jane()
	a.Audience = "https://dex.test/me"
	id, err := login(t, s, connector.Scopes{}, a)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ data, format, session string }{
		"ours":       {string(id.Data), persistent, "s1"},
		"upstream's": {upstreamData, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			to, got := logout(t, s, c.data)
			checkQuery(t, to.URL, people().dex)
			want := logoutRequest{
				XMLName: got.XMLName, ID: got.ID, Destination: "https://idp.test/slo", Issuer: "https://dex.test/me", Session: c.session,
			}
			want.Name.Format, want.Name.Value = c.format, "jane-id"
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
	_, first := logout(t, s, upstreamData)
	if _, second := logout(t, s, upstreamData); first.ID == second.ID {
		t.Errorf("two requests have the ID %s", first.ID)
	}
}

func TestLogoutAddress(t *testing.T) {
	path := file(t, described(idpID, "", people().idp))
	to, _ := logout(t, open(t, attributesOnly+"metadataFile: "+path), upstreamData)
	if !strings.HasPrefix(to.URL, "https://idp.test/slo?SAMLRequest=") || strings.Contains(to.URL, "Signature") {
		t.Errorf("led to %s", to.URL)
	}
	forms := strings.Replace(described(idpID, "", people().idp), `HTTP-Redirect" Location="https://idp.test/slo"`, `HTTP-POST" Location="https://idp.test/slo"`, 1)
	asked := connector.LogoutRequest{Identity: connector.Identity{Data: []byte(upstreamData)}, State: "s"}
	byForm, err := open(t, attributesOnly+"metadataFile: "+file(t, forms)).LogoutURL(t.Context(), asked)
	if err != nil || byForm.URL != "https://idp.test/slo" || !byForm.Form.Has("SAMLRequest") || byForm.Form.Get("RelayState") != "s" {
		t.Errorf("by a form, led to %+v: %v", byForm, err)
	}
	none, err := open(t, usual+people().idp.caData()).LogoutURL(t.Context(), connector.LogoutRequest{})
	if err != nil || none.URL != "" {
		t.Errorf("without an address led to %q: %v", none.URL, err)
	}
	if _, err := open(t, withLogout+people().idp.caData()).LogoutURL(t.Context(), connector.LogoutRequest{}); err == nil {
		t.Error("a logout of nobody")
	}
}

const logoutResponse = `<p:LogoutResponse xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_l" Version="2.0" ` +
	`InResponseTo="_request" Destination="` + logoutURL + `"><a:Issuer xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">` + idpID + `</a:Issuer>` +
	`<p:Status><p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></p:Status></p:LogoutResponse>`

// redirected is a browser that comes back with a response in the query, signed if there is a signer.
func redirected(t testing.TB, response string, by *holder) string {
	t.Helper()
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, 9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(response)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// Lower-case escapes, which the signature keeps.
	return signedQuery(t, "SAMLResponse="+strings.ReplaceAll(url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes())), "%2B", "%2b")+
		"&RelayState=s", by)
}

// signedQuery returns a query with a signature, if there is a signer.
func signedQuery(t testing.TB, query string, by *holder) string {
	t.Helper()
	if by == nil {
		return query
	}
	if key, ok := by.key.(*ecdsa.PrivateKey); ok {
		query += "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512")
		sum := sha512.Sum512([]byte(query))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		value := make([]byte, 64)
		r.FillBytes(value[:32])
		s.FillBytes(value[32:])
		return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value))
	}
	query += "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	sum := sha256.Sum256([]byte(query))
	value, err := by.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value))
}

func TestLogoutResponse(t *testing.T) {
	p := people()
	s := open(t, withLogout+"ssoIssuer: "+idpID+"\nca: "+file(t, p.idp.pem()+p.curve.pem()+p.expired.pem()))
	good := redirected(t, logoutResponse, &p.idp)
	edited := func(old, with string) string {
		if !strings.Contains(logoutResponse, old) {
			t.Fatalf("%q is not in the response", old)
		}
		return redirected(t, strings.Replace(logoutResponse, old, with, 1), &p.idp)
	}
	for name, c := range map[string]struct{ query, want string }{
		"signed":           {good, ""},
		"not signed":       {redirected(t, logoutResponse, nil), ""},
		"ECDSA":            {redirected(t, logoutResponse, &p.curve), ""},
		"a stranger":       {redirected(t, logoutResponse, &p.stranger), "any of the provider's certificates"},
		"expired":          {redirected(t, logoutResponse, &p.expired), "any of the provider's certificates"},
		"other escapes":    {strings.Replace(good, "RelayState=s", "RelayState=%73", 1), "any of the provider's"},
		"other state":      {strings.Replace(good, "RelayState=s", "RelayState=t", 1), "any of the provider's"},
		"twice":            {good + "&SAMLResponse=x", "twice"},
		"HMAC":             {strings.Replace(good, "rsa-sha256", "hmac-sha256", 1), "not accepted"},
		"SHA-1":            {strings.Replace(good, "2001%2F04%2Fxmldsig-more%23rsa-sha256", "2000%2F09%2Fxmldsig%23rsa-sha1", 1), "SHA-1, which is not allowed"},
		"no base64":        {good + "%%%", "malformed"},
		"no response":      {"RelayState=s", "there is none"},
		"another request":  {edited(`"_request"`, `"_other"`), "another request"},
		"another address":  {edited(logoutURL, "https://x.test"), "another address"},
		"another issuer":   {edited(idpID, "https://x.test"), "another issuer"},
		"failure":          {edited("Success", "Responder"), "did not end its session"},
		"another document": {edited("p:LogoutResponse", "p:Logout"), "logout response"},
		"an entity":        {edited("<p:Status>", "<!DOCTYPE x><p:Status>"), "DOCTYPE"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, logoutURL, nil)
			r.URL.RawQuery = c.query
			err := s.HandleLogout(t.Context(), connector.Return{Data: []byte("_request"), Request: r})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestPostedLogoutResponse(t *testing.T) {
	p := people()
	s := open(t, withLogout+p.idp.caData())
	signed := func(by holder) string {
		document := etree.NewDocument()
		if err := document.ReadFromString(logoutResponse); err != nil {
			t.Fatal(err)
		}
		signEnveloped(t, document.Root(), by, "")
		text, err := document.WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, c := range map[string]struct {
		response string
		good     bool
	}{
		"signed": {signed(p.idp), true}, "not signed": {logoutResponse, true}, "a stranger": {signed(p.stranger), false},
		"tampered": {strings.Replace(signed(p.idp), idpID, "https://x.test", 1), false},
	} {
		err := s.HandleLogout(t.Context(), connector.Return{Data: []byte("_request"), Request: post(c.response)})
		if (err == nil) != c.good {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := s.HandleLogout(t.Context(), connector.Return{Request: post(strings.Replace(logoutResponse, `"_request"`, `""`, 1))}); err == nil {
		t.Error("an answer to no request is good")
	}
}

// A request for a logout tells the provider until when it is valid.
func TestLogoutRequestEnds(t *testing.T) {
	to, _ := logout(t, open(t, withLogout+people().idp.caData()), upstreamData)
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	var request struct {
		End time.Time `xml:"NotOnOrAfter,attr"`
	}
	if err := xml.Unmarshal([]byte(inflated(t, u.Query().Get("SAMLRequest"))), &request); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(request.End); left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("the request ends in %v", left)
	}
}
