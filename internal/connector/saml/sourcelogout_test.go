package saml_test

import (
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
	"github.com/google/go-cmp/cmp/cmpopts"

	"dex/internal/connector"
)

// requested is a request of the provider for a logout, of now.
func requested(edits ...string) string {
	now := time.Now().UTC()
	text := `<p:LogoutRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_theirs" ` +
		`Version="2.0" IssueInstant="` + now.Format("2006-01-02T15:04:05Z") + `" Destination="` + ownLogoutURL + `">` +
		`<a:Issuer>` + idpID + `</a:Issuer><a:NameID Format="` + persistent + `">jane-id</a:NameID>` +
		`<p:SessionIndex>s1</p:SessionIndex><p:SessionIndex>s2</p:SessionIndex></p:LogoutRequest>`
	return strings.NewReplacer(edits...).Replace(text)
}

// redirectedRequest is the query by which a request comes, signed if there is a signer.
func redirectedRequest(t testing.TB, request string, by *holder) string {
	t.Helper()
	query := redirected(t, request, nil)
	return signedQuery(t, strings.Replace(query, "SAMLResponse=", "SAMLRequest=", 1), by)
}

func enveloped(t testing.TB, message string, by holder) string {
	t.Helper()
	document := etree.NewDocument()
	if err := document.ReadFromString(message); err != nil {
		t.Fatal(err)
	}
	signEnveloped(t, document.Root(), by, "")
	text, err := document.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// byForm and byQuery are a browser that brings a message of the provider.
func byForm(t *testing.T, s source, form url.Values) (connector.SourceLogout, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, ownLogoutURL, nil)
	r.PostForm = form
	return s.ReceiveLogout(t.Context(), r)
}

func byQuery(t *testing.T, s source, query string) (connector.SourceLogout, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, ownLogoutURL, nil)
	r.URL.RawQuery = query
	return s.ReceiveLogout(t.Context(), r)
}

func inForm(message string) url.Values {
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(message))}, "RelayState": {"their state"}}
}

const urnBinding = "urn:oasis:names:tc:SAML:2.0:bindings:"

const withIssuer = withLogout + "ssoIssuer: " + idpID + "\n"

// A request of the provider ends the very sessions that logins have named.
func TestProviderEndsSessions(t *testing.T) {
	p := people()
	for name, edits := range map[string][]string{
		"as it was":               nil,
		"only the session":        {"<p:SessionIndex>s2</p:SessionIndex>", ""},
		"all of the user's":       {"<p:SessionIndex>s2</p:SessionIndex>", "", "<p:SessionIndex>s1</p:SessionIndex>", ""},
		"the provider's name":     {` Format="`, ` NameQualifier="` + idpID + `" Format="`},
		"our name":                {` Format="`, ` SPNameQualifier="https://dex.test/me" Format="`},
		"another session":         {"<p:SessionIndex>s1</p:SessionIndex>", ""},
		"another user":            {"jane-id", "joe-id"},
		"another format":          {"persistent", "transient"},
		"no format":               {` Format="` + persistent + `"`, ""},
		"another qualifier":       {` Format="`, ` NameQualifier="https://x.test" Format="`},
		"another SP's qualifier":  {` Format="`, ` SPNameQualifier="https://x.test" Format="`},
		"the user in another way": {"jane-id", "jane-id "},
	} {
		ends := !strings.HasPrefix(name, "another") && name != "no format" && name != "the user in another way"
		s := open(t, withIssuer+p.idp.caData())
		a := jane()
		a.Audience = "https://dex.test/me"
		id, err := login(t, s, connector.Scopes{}, a)
		if err != nil {
			t.Fatal(err)
		}
		ended, err := byForm(t, s, inForm(enveloped(t, requested(edits...), p.idp)))
		if err != nil || !ended.Browser || ended.Unsigned || ended.Returns {
			t.Errorf("%s: %+v, %v", name, ended, err)
		}
		if ended.Means(id.Session, time.Now()) != ends {
			t.Errorf("%s: ends %v, and the session is %q of %q", name, ended, id.Session.ID, id.Session.Subject)
		}
	}
}

// Lenient settings do with the name alone, and without an address.
func TestLenientRequestOfProvider(t *testing.T) {
	p := people()
	s := open(t, withIssuer+"strict: false\n"+p.idp.caData())
	a := jane()
	a.Audience = "https://dex.test/me"
	id, err := login(t, s, connector.Scopes{}, a)
	if err != nil {
		t.Fatal(err)
	}
	request := requested("persistent", "transient", ` Destination="`+ownLogoutURL+`"`, "")
	ended, err := byForm(t, s, inForm(enveloped(t, request, p.idp)))
	if err != nil || !ended.Means(id.Session, time.Now()) {
		t.Errorf("%+v, %v", ended, err)
	}
}

func TestRequestOfProvider(t *testing.T) {
	p := people()
	good := redirectedRequest(t, requested(), &p.idp)
	signed := enveloped(t, requested(), p.idp)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format("2006-01-02T15:04:05Z") }
	const undated = `IssueInstant="2030-01-01T00:00:00Z"`
	for name, c := range map[string]struct {
		query string
		form  url.Values
		want  string
	}{
		"redirect":                      {query: good},
		"redirect, ECDSA":               {query: redirectedRequest(t, requested(), &p.curve)},
		"redirect, signed inside":       {query: redirectedRequest(t, signed, nil)},
		"redirect, not signed":          {query: redirectedRequest(t, requested(), nil), want: "is not signed"},
		"redirect, a stranger":          {query: redirectedRequest(t, requested(), &p.stranger), want: "any of the provider's certificates"},
		"redirect, expired":             {query: redirectedRequest(t, requested(), &p.expired), want: "any of the provider's certificates"},
		"redirect, stranger around":     {query: redirectedRequest(t, signed, &p.stranger), want: "any of the provider's certificates"},
		"redirect, other escapes":       {query: strings.Replace(good, "RelayState=s", "RelayState=%73", 1), want: "any of the provider's certificates"},
		"redirect, other state":         {query: strings.Replace(good, "RelayState=s", "RelayState=t", 1), want: "any of the provider's certificates"},
		"redirect, no state":            {query: strings.Replace(good, "&RelayState=s", "", 1), want: "any of the provider's certificates"},
		"redirect, another request":     {query: redirectedRequest(t, requested("jane", "joe"), nil) + good[strings.Index(good, "&SigAlg"):], want: "any of the provider's certificates"},
		"redirect, no signature":        {query: good[:strings.Index(good, "&Signature")], want: "is not signed"},
		"redirect, twice":               {query: good + "&SAMLRequest=x", want: "twice"},
		"redirect, a response too":      {query: good + "&SAMLResponse=x", want: "both a request and a response"},
		"redirect, HMAC":                {query: strings.Replace(good, "rsa-sha256", "hmac-sha256", 1), want: "not accepted"},
		"redirect, SHA-1":               {query: strings.Replace(good, "2001%2F04%2Fxmldsig-more%23rsa-sha256", "2000%2F09%2Fxmldsig%23rsa-sha1", 1), want: "SHA-1, which is not allowed"},
		"redirect, a response's":        {query: strings.Replace(redirected(t, requested(), &p.idp), "SAMLResponse", "SAMLRequest", 1), want: "any of the provider's certificates"},
		"redirect, nothing":             {query: "", want: "there is no SAMLRequest"},
		"redirect, an artifact":         {query: "SAMLart=x", want: "there is no SAMLRequest"},
		"redirect, not deflated":        {query: signedQuery(t, "SAMLRequest="+url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(requested()))), &p.idp), want: "not deflated"},
		"redirect, much":                {query: redirectedRequest(t, strings.Repeat(" ", 3<<20)+requested(), &p.idp), want: "longer than"},
		"redirect, a long state":        {query: "SAMLRequest=x&RelayState=" + strings.Repeat("s", 5000), want: "RelayState is longer"},
		"form":                          {form: inForm(signed)},
		"form, not signed":              {form: inForm(requested()), want: "is not signed"},
		"form, a stranger":              {form: inForm(enveloped(t, requested(), p.stranger)), want: "not configured for the provider"},
		"form, tampered":                {form: inForm(strings.Replace(signed, "jane", "joe", 1)), want: "not what was signed"},
		"form, a query's signature":     {form: url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(requested()))}, "SigAlg": {"x"}, "Signature": {"x"}}, want: "is not signed"},
		"form, twice":                   {form: url.Values{"SAMLRequest": {"x", "y"}}, want: "twice"},
		"form, a response too":          {form: url.Values{"SAMLRequest": {"x"}, "SAMLResponse": {"y"}}, want: "both a request and a response"},
		"form, nothing":                 {form: url.Values{"x": {"y"}}, want: "there is no SAMLRequest"},
		"form, no base64":               {form: url.Values{"SAMLRequest": {"%"}}, want: "not base64"},
		"form, another issuer":          {form: inForm(enveloped(t, requested(idpID, "https://x.test"), p.idp)), want: "another issuer"},
		"form, another address":         {form: inForm(enveloped(t, requested(ownLogoutURL, logoutURL), p.idp)), want: "another address"},
		"form, no address":              {form: inForm(enveloped(t, requested(` Destination="`+ownLogoutURL+`"`, ""), p.idp)), want: "another address"},
		"form, over":                    {form: inForm(enveloped(t, requested(` Destination=`, ` NotOnOrAfter="`+at(-time.Minute)+`" Destination=`), p.idp)), want: "has expired"},
		"form, of the future":           {form: inForm(enveloped(t, requested(requested()[strings.Index(requested(), "IssueInstant"):][:len(undated)], `IssueInstant="`+at(time.Minute)+`"`), p.idp)), want: "of the future"},
		"form, old":                     {form: inForm(enveloped(t, requested(requested()[strings.Index(requested(), "IssueInstant"):][:len(undated)], `IssueInstant="`+at(-6*time.Minute)+`"`), p.idp)), want: "too old"},
		"form, a login":                 {form: inForm(jane().sign(t, p.idp, "")), want: "is not a SAML 2.0 LogoutRequest"},
		"form, a response as a request": {form: inForm(enveloped(t, logoutResponse, p.idp)), want: "is not a SAML 2.0 LogoutRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, withIssuer+"ca: "+file(t, p.idp.pem()+p.curve.pem()+p.expired.pem()))
			var got connector.SourceLogout
			var err error
			if c.form != nil {
				got, err = byForm(t, s, c.form)
			} else {
				got, err = byQuery(t, s, c.query)
			}
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || connector.OutcomeOf(err) != connector.TokenRefused):
				t.Errorf("got %+v, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestRequestOfProviderCountsOnce(t *testing.T) {
	p := people()
	s := open(t, withIssuer+p.idp.caData())
	if _, err := byForm(t, s, inForm(enveloped(t, requested(), p.idp))); err != nil {
		t.Error(err)
	}
	again := redirectedRequest(t, requested(), &p.idp) // in another way, but the same request
	if _, err := byQuery(t, s, again); err == nil || !strings.Contains(err.Error(), "used before") {
		t.Errorf("the second time: %v", err)
	}
	if _, err := byForm(t, s, inForm(enveloped(t, requested("_theirs", "_other"), p.idp))); err != nil {
		t.Errorf("another: %v", err)
	}
}

// Without signatures anybody may sign anybody out, which the message says.
func TestUnsignedRequestOfProvider(t *testing.T) {
	s := open(t, withLogout+"insecureSkipSignatureValidation: true\n")
	for range 2 {
		got, err := byForm(t, s, inForm(requested("_theirs", "_"+time.Now().Format("150405.000000000"))))
		if err != nil || !got.Unsigned {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// A provider that has changed its key, as its metadata says, is believed at once.
func TestRequestWithNewKey(t *testing.T) {
	p := people()
	path := file(t, described(idpID, "", p.idp))
	s := open(t, attributesOnly+"metadataFile: "+path)
	if _, err := byQuery(t, s, redirectedRequest(t, requested("_theirs", "_before"), &p.idp)); err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, described(idpID, "", p.next))
	if _, err := byQuery(t, s, redirectedRequest(t, requested(), &p.next)); err != nil {
		t.Error(err)
	}
}

// An answer to a logout that began here is left to HandleLogout.
func TestAnswerAtOwnAddress(t *testing.T) {
	p := people()
	s := open(t, withIssuer+p.idp.caData())
	answer := strings.Replace(logoutResponse, logoutURL, ownLogoutURL, 1)
	want := connector.SourceLogout{Returns: true}
	r := httptest.NewRequest(http.MethodGet, ownLogoutURL, nil)
	r.URL.RawQuery = redirected(t, answer, &p.idp)
	got, err := s.ReceiveLogout(t.Context(), r)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("redirect: %v %s", err, diff)
	}
	if err := s.HandleLogout(t.Context(), connector.Return{Data: []byte("_request"), Request: r}); err != nil {
		t.Error(err)
	}
	got, err = byForm(t, s, url.Values{"SAMLResponse": {"x"}})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("form: %v %s", err, diff)
	}
}

// What a session keeps is enough for a logout at the provider, without what a login keeps.
func TestLogoutOfSession(t *testing.T) {
	s := open(t, withLogout+people().idp.caData())
	a := jane()
	a.Audience = "https://dex.test/me"
	id, err := login(t, s, connector.Scopes{}, a)
	if err != nil {
		t.Fatal(err)
	}
	fromData, err := s.LogoutURL(t.Context(), connector.LogoutRequest{Identity: id, ReturnURL: logoutURL, State: "s"})
	if err != nil {
		t.Fatal(err)
	}
	fromSession, err := s.LogoutURL(t.Context(), connector.LogoutRequest{Session: id.Session, ReturnURL: logoutURL, State: "s"})
	if err != nil {
		t.Fatal(err)
	}
	read := func(to connector.Redirect) (request logoutRequest) {
		u, err := url.Parse(to.URL)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal([]byte(inflated(t, u.Query().Get("SAMLRequest"))), &request); err != nil {
			t.Fatal(err)
		}
		return request
	}
	want, got := read(fromData), read(fromSession)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "ID")); diff != "" || got.Name.Value != "jane-id" || got.Session != "s1" {
		t.Errorf("%s %+v", diff, got)
	}
}

// Whatever a browser brings, nobody is signed out without the provider's signature.
func FuzzRedirectedRequest(f *testing.F) {
	p := people()
	s := open(f, withIssuer+p.idp.caData())
	f.Add("")
	f.Add(redirectedRequest(f, requested(), nil))
	f.Add(redirectedRequest(f, requested(), &p.stranger))
	f.Add(redirectedRequest(f, enveloped(f, requested(), p.stranger), &p.curve))
	f.Add(redirected(f, logoutResponse, &p.idp))
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, ownLogoutURL, nil)
		r.URL.RawQuery = query
		if ended, err := s.ReceiveLogout(t.Context(), r); err == nil && !ended.Returns {
			t.Errorf("%q ends %+v", query, ended)
		}
	})
}
