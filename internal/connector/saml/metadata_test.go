package saml_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/etree"

	"dex/internal/connector"
)

// described is metadata of a provider that signs with the given keys.
func described(entityID, attributes string, signers ...holder) string {
	var keys strings.Builder
	for _, signer := range signers {
		keys.WriteString(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
			"\n" + base64.StdEncoding.EncodeToString(signer.certificate.Raw) + "\n" +
			`</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`)
	}
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="_` + base64.RawURLEncoding.EncodeToString([]byte(entityID+attributes)) + `" entityID="` + entityID + `" ` + attributes + `>` +
		`<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys.String() +
		`<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.test/slo"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.test/soap"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.test/redirect"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.test/sso"/>` +
		`</IDPSSODescriptor></EntityDescriptor>`
}

func signedMetadata(t *testing.T, text string, by holder) string {
	t.Helper()
	document := etree.NewDocument()
	if err := document.ReadFromString(text); err != nil {
		t.Fatal(err)
	}
	signEnveloped(t, document.Root(), by, "")
	signed, err := document.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

const attributesOnly = "usernameAttr: name\nemailAttr: email\n"

func TestWhatMetadataSays(t *testing.T) {
	idp := people().idp
	group := func(all ...string) string {
		return `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + strings.Join(all, "") + `</EntitiesDescriptor>`
	}
	usual := described(idpID, "", idp)
	redirectOnly := strings.Replace(usual, "HTTP-POST", "PAOS", 1)
	for name, c := range map[string]struct {
		settings, document string
		url                string // that the browser is sent to
		want               string // in the error
	}{
		"usual":         {document: usual, url: "https://idp.test/sso"},
		"redirect":      {settings: "binding: redirect", document: usual, url: "https://idp.test/redirect"},
		"redirect only": {document: redirectOnly, url: "https://idp.test/redirect"},
		"ssoURL wins":   {settings: "ssoURL: https://x.test/sso", document: usual, url: "https://x.test/sso"},
		"no post":       {settings: "binding: post", document: redirectOnly, want: "no SingleSignOnService with the binding post"},
		"named one":     {settings: "ssoIssuer: " + idpID, document: group(described("https://x.test", "", people().next), group(usual)), url: "https://idp.test/sso"},
		"one of many":   {document: group(strings.ReplaceAll(described("https://x.test", "", idp), "IDPSSODescriptor", "SPSSODescriptor"), usual), url: "https://idp.test/sso"},
		"several":       {document: group(usual, described("https://x.test", "", idp)), want: "set ssoIssuer"},
		"another":       {settings: "ssoIssuer: https://y.test", document: usual, want: "not about the identity provider https://y.test"},
		"no provider":   {document: strings.ReplaceAll(usual, "IDPSSODescriptor", "SPSSODescriptor"), want: "no identity provider"},
		"SAML 1.1":      {document: strings.Replace(usual, "SAML:2.0:protocol", "SAML:1.1:protocol", 1), want: "no identity provider"},
		"no key":        {document: described(idpID, ""), want: "no certificate"},
		"encryption":    {document: strings.Replace(usual, "signing", "encryption", 1), want: "no certificate"},
		"any use":       {document: strings.Replace(usual, ` use="signing"`, "", 1), url: "https://idp.test/sso"},
		"no key needed": {settings: idp.caData(), document: described(idpID, ""), url: "https://idp.test/sso"},
		"over":          {document: described(idpID, `validUntil="2020-01-01T00:00:00Z"`, idp), want: "validUntil, 2020-01-01T00:00:00Z, has passed"},
		"group is over": {
			document: strings.Replace(group(usual), "EntitiesDescriptor", `EntitiesDescriptor validUntil="2020-01-01T00:00:00"`, 1),
			want:     "has passed",
		},
		"not over":     {document: described(idpID, `validUntil="2080-01-01T00:00:00+01:00" cacheDuration="P1DT2H3.5S"`, idp), url: "https://idp.test/sso"},
		"bad instant":  {document: described(idpID, `validUntil="tomorrow"`, idp), want: "validUntil: "},
		"no metadata":  {document: "<html/>", want: "not SAML metadata"},
		"no XML":       {document: "hello", want: "text outside its root element"},
		"DOCTYPE":      {document: "<!DOCTYPE x>" + usual, want: "DOCTYPE"},
		"script":       {document: strings.ReplaceAll(usual, "https://idp.test", "javascript:alert"), want: "no SingleSignOnService"},
		"unsigned":     {settings: "metadataSigningCert: " + file(t, idp.pem()), document: usual, want: "it is not signed"},
		"signed":       {settings: "metadataSigningCert: " + file(t, people().next.pem()), document: signedMetadata(t, usual, people().next), url: "https://idp.test/sso"},
		"wrong signer": {settings: "metadataSigningCert: " + file(t, idp.pem()), document: signedMetadata(t, usual, people().next), want: "not configured"},
		"tampered": {
			settings: "metadataSigningCert: " + file(t, people().next.pem()),
			document: strings.ReplaceAll(signedMetadata(t, usual, people().next), "idp.test", "evil.test"), want: "signature",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, attributesOnly+"metadataFile: "+file(t, c.document)+"\n"+c.settings)
			to, err := s.Begin(t.Context(), connector.LoginRequest{State: state})
			probe := s.Probe(t.Context())
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("login: error %v, want %q", err, c.want)
				}
				if probe == nil || !strings.Contains(probe.Error(), c.want) {
					t.Errorf("probe: error %v, want %q", probe, c.want)
				}
				return
			}
			if err != nil || probe != nil {
				t.Fatalf("login: %v, probe: %v", err, probe)
			}
			if address, _, _ := strings.Cut(to.URL, "?"); address != c.url {
				t.Errorf("led to %s, want %s", address, c.url)
			}
		})
	}
}

func TestIssuerOfMetadata(t *testing.T) {
	s := open(t, attributesOnly+"metadataFile: "+file(t, described(idpID, "", people().idp)))
	a := jane()
	a.Issuer = "https://other.test"
	if _, err := login(t, s, withGroups, a); err == nil || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("error %v", err)
	}
	if _, err := login(t, s, withGroups, jane()); err != nil {
		t.Error(err)
	}
}

// answers has a user come back once for each signer, and returns which ones are accepted.
func accepted(t *testing.T, s source, prefix string, signers ...holder) string {
	t.Helper()
	var accepted strings.Builder
	for i, by := range signers {
		a := jane()
		a.ID = prefix + string(rune('0'+i))
		if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(a.sign(t, by, ""))}); err == nil {
			accepted.WriteString(string(rune('0' + i)))
		}
	}
	return accepted.String()
}

// When a provider changes its key, the first user who comes back with the new key's signature has its metadata read again.
func TestRotationAtURL(t *testing.T) {
	p := people()
	var document atomic.Pointer[string]
	var reads atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		text := document.Load()
		if text == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, *text)
	}))
	defer server.Close()
	set := func(signers ...holder) {
		text := described(idpID, "", signers...)
		document.Store(&text)
	}

	set(p.idp)
	s := open(t, attributesOnly+"metadataURL: "+server.URL)
	if got := accepted(t, s, "_a", p.idp, p.idp); got != "01" || reads.Load() != 1 {
		t.Fatalf("accepted %q after %d reads", got, reads.Load())
	}
	set(p.idp, p.next)
	if got := accepted(t, s, "_b", p.next, p.idp); got != "01" || reads.Load() != 2 {
		t.Errorf("after the rotation accepted %q after %d reads", got, reads.Load())
	}
	// Strangers can't have it read again and again: those who come at the same time wait for one read.
	var strangers sync.WaitGroup
	for i := range 30 {
		strangers.Go(func() {
			if got := accepted(t, s, "_c"+strconv.Itoa(i), p.stranger); got != "" {
				t.Error("a stranger is accepted")
			}
		})
	}
	strangers.Wait()
	if got := accepted(t, s, "_d", p.idp); got != "0" || reads.Load() > 4 {
		t.Errorf("with strangers accepted %q after %d reads", got, reads.Load())
	}
	before := reads.Load()
	if err := s.Probe(t.Context()); err != nil || reads.Load() != before {
		t.Errorf("probe: %v after %d reads, before it %d", err, reads.Load(), before)
	}
}

func TestURLThatFails(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	s := open(t, attributesOnly+"metadataURL: "+server.URL+"/m")
	want := "/m answers 404"
	if _, err := s.Begin(t.Context(), connector.LoginRequest{State: state}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("login: %v", err)
	}
	if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("probe: %v", err)
	}
}

func TestRedirectsOfURL(t *testing.T) {
	server := httptest.NewTLSServer(http.RedirectHandler("http://127.0.0.1:1/m", http.StatusFound))
	defer server.Close()
	ca := holder{certificate: server.Certificate()}
	s := open(t, attributesOnly+"metadataURL: "+server.URL+"\nrootCAs: ["+file(t, ca.pem())+"]")
	if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("probe: %v", err)
	}
}

func TestMetadataFileChanges(t *testing.T) {
	p := people()
	path := file(t, described(idpID, "", p.idp))
	synctest.Test(t, func(t *testing.T) {
		s := open(t, attributesOnly+"metadataFile: "+path)
		if got := accepted(t, s, "_a", p.idp); got != "0" {
			t.Fatalf("accepted %q", got)
		}
		overwrite(t, path, "half a docu")
		time.Sleep(time.Minute)
		if got := accepted(t, s, "_b", p.idp); got != "0" {
			t.Errorf("while the file is bad, accepted %q", got)
		}
		if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "metadata of the provider") {
			t.Errorf("while the file is bad, the probe says %v", err)
		}
		overwrite(t, path, described(idpID, "", p.next))
		time.Sleep(time.Minute)
		if err := s.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		if got := accepted(t, s, "_c", p.idp, p.next); got != "1" {
			t.Errorf("after the change, accepted %q", got)
		}
	})
}

// What was read last counts until its validUntil and no longer.
func TestMetadataIsOver(t *testing.T) {
	p := people()
	path := file(t, described(idpID, `validUntil="2000-01-01T06:00:00Z"`, p.idp))
	synctest.Test(t, func(t *testing.T) { // which begins at midnight
		s := open(t, attributesOnly+"metadataFile: "+path)
		if got := accepted(t, s, "_a", p.idp); got != "0" {
			t.Fatalf("accepted %q", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6*time.Hour - time.Minute)
		if got := accepted(t, s, "_b", p.idp); got != "0" {
			t.Errorf("before validUntil, accepted %q", got)
		}
		time.Sleep(2 * time.Minute)
		if got := accepted(t, s, "_c", p.idp); got != "" {
			t.Errorf("after validUntil, accepted %q", got)
		}
		overwrite(t, path, described(idpID, `validUntil="2000-01-02T00:00:00Z"`, p.idp))
		time.Sleep(time.Minute)
		if got := accepted(t, s, "_d", p.idp); got != "0" {
			t.Errorf("with newer metadata, accepted %q", got)
		}
	})
}

func TestCertificateFileChanges(t *testing.T) {
	p := people()
	path := file(t, p.idp.pem())
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s, err := tryOpen(t, usual+"ca: "+path, &log)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, path, p.next.pem())
		if got := accepted(t, s, "_a", p.idp, p.next); got != "0" {
			t.Errorf("at once, accepted %q", got)
		}
		time.Sleep(time.Minute)
		if got := accepted(t, s, "_b", p.idp, p.next); got != "1" {
			t.Errorf("after the change, accepted %q", got)
		}
		overwrite(t, path, "nonsense")
		for range 3 {
			time.Sleep(time.Minute)
			if err := s.Probe(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got := accepted(t, s, "_c", p.idp, p.next); got != "1" {
			t.Errorf("after a bad change, accepted %q", got)
		}
		if got := strings.Count(log.String(), "changed file can't be used"); got != 1 {
			t.Errorf("the log tells of the bad file %d times:\n%s", got, log.String())
		}
	})
}

func TestProbeOfCertificates(t *testing.T) {
	p := people()
	if err := open(t, usual+p.idp.caData()).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := open(t, usual+"ca: "+file(t, p.expired.pem()+p.idp.pem())).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	err := open(t, usual+p.expired.caData()).Probe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no certificate of the provider is valid now; the last is CN=holder, from 1990-01-01T00:00:00Z to 1991-01-01T00:00:00Z") {
		t.Errorf("error %v", err)
	}
}

func TestProviderThatWantsSignedRequests(t *testing.T) {
	document := strings.Replace(described(idpID, "", people().idp), "<IDPSSODescriptor", `<IDPSSODescriptor WantAuthnRequestsSigned="true"`, 1)
	for more, told := range map[string]bool{"": true, "signRequests: true\n" + people().dex.spKeys(t): false} {
		var log strings.Builder
		s, err := tryOpen(t, attributesOnly+"metadataFile: "+file(t, document)+"\n"+more, &log)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "set signRequests") != told {
			t.Errorf("the log says %s", log.String())
		}
	}
}
