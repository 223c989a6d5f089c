package saml_test

import (
	"encoding/xml"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
)

type statusCode struct {
	Value string      `xml:"Value,attr"`
	Sub   *statusCode `xml:"urn:oasis:names:tc:SAML:2.0:protocol StatusCode"`
}

// The provider is told how much of a logout has been done.
func TestAnswerToProvider(t *testing.T) {
	p := people()
	const status = "urn:oasis:names:tc:SAML:2.0:status:"
	s := open(t, withIssuer+p.dex.spKeys(t)+p.idp.caData())
	ended, err := byQuery(t, s, redirectedRequest(t, requested(), &p.idp))
	if err != nil {
		t.Fatal(err)
	}
	for done, want := range map[connector.Ended]statusCode{
		connector.EndedEverywhere: {Value: status + "Success"},
		connector.EndedHere:       {Value: status + "Success", Sub: &statusCode{Value: status + "PartialLogout"}},
		connector.EndedNothing:    {Value: status + "Responder"},
	} {
		to, err := ended.Answer(t.Context(), done)
		if err != nil {
			t.Fatal(err)
		}
		checkQuery(t, to.URL, p.dex)
		u, err := url.Parse(to.URL)
		if err != nil {
			t.Fatal(err)
		}
		if u.Query().Get("RelayState") != "s" || !strings.HasPrefix(to.URL, "https://idp.test/slo?SAMLResponse=") {
			t.Errorf("leads to %s", to.URL)
		}
		var answer struct {
			XMLName     xml.Name   `xml:"urn:oasis:names:tc:SAML:2.0:protocol LogoutResponse"`
			ID          string     `xml:"ID,attr"`
			Request     string     `xml:"InResponseTo,attr"`
			Destination string     `xml:"Destination,attr"`
			Issuer      string     `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
			Code        statusCode `xml:"urn:oasis:names:tc:SAML:2.0:protocol Status>StatusCode"`
		}
		if err := xml.Unmarshal([]byte(inflated(t, u.Query().Get("SAMLResponse"))), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.ID == "" || answer.Request != "_theirs" || answer.Destination != "https://idp.test/slo" || answer.Issuer != "https://dex.test/me" {
			t.Errorf("got %+v", answer)
		}
		if diff := cmp.Diff(want, answer.Code); diff != "" {
			t.Error(diff)
		}
	}
}

// Answers go where the metadata says, and nowhere if it doesn't.
func TestWhereAnswersGo(t *testing.T) {
	p := people()
	for name, c := range map[string]struct {
		services string // instead of the usual
		want     string // the address; empty for no answer
		form     bool
	}{
		"the address of requests": {`<SingleLogoutService Binding="` + urnBinding + `HTTP-Redirect" Location="https://idp.test/slo"/>`, "https://idp.test/slo", false},
		"an address of their own": {`<SingleLogoutService Binding="` + urnBinding + `HTTP-Redirect" Location="https://idp.test/slo" ResponseLocation="https://idp.test/done"/>`, "https://idp.test/done", false},
		"a form":                  {`<SingleLogoutService Binding="` + urnBinding + `HTTP-POST" Location="https://idp.test/slo"/>`, "https://idp.test/slo", true},
		"a script":                {`<SingleLogoutService Binding="` + urnBinding + `HTTP-POST" Location="https://idp.test/slo" ResponseLocation="javascript:x"/>`, "", false},
		"nowhere":                 {"", "", false},
	} {
		text := described(idpID, "", p.idp)
		from := strings.Index(text, "<SingleLogoutService")
		to := from + strings.Index(text[from:], "/>") + len("/>")
		s := open(t, attributesOnly+p.dex.spKeys(t)+"metadataFile: "+file(t, text[:from]+c.services+text[to:]))
		ended, err := byQuery(t, s, redirectedRequest(t, requested(), &p.idp))
		if err != nil || (ended.Answer == nil) != (c.want == "") {
			t.Errorf("%s: %+v, %v", name, ended, err)
			continue
		}
		if c.want == "" {
			continue
		}
		got, err := ended.Answer(t.Context(), connector.EndedEverywhere)
		if address, _, _ := strings.Cut(got.URL, "?"); err != nil || address != c.want || got.Form.Has("SAMLResponse") != c.form {
			t.Errorf("%s: leads to %+v, %v", name, got, err)
		}
		if c.form && got.Form.Get("RelayState") != "s" {
			t.Errorf("%s: the RelayState is %q", name, got.Form.Get("RelayState"))
		}
	}
}
