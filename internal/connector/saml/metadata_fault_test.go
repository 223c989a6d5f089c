package saml_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// For a minute after any refused response, and a stranger can post one, a key rotation at the provider was not noticed.
var _ = faulttest.Add("K6", func(t *testing.T) {
	p := people()
	for _, kind := range []string{"metadataFile", "ca"} {
		describe := func(signers ...holder) string {
			if kind == "metadataFile" {
				return described(idpID, "", signers...)
			}
			var all strings.Builder
			for _, h := range signers {
				all.WriteString(h.pem())
			}
			return all.String()
		}
		settings := map[string]string{"metadataFile": attributesOnly, "ca": usual}[kind]
		path := file(t, describe(p.idp))
		synctest.Test(t, func(t *testing.T) {
			s := open(t, settings+kind+": "+path)
			if got := accepted(t, s, "_a", p.idp, p.stranger, p.stranger); got != "0" {
				t.Fatalf("%s: accepted %q", kind, got)
			}
			overwrite(t, path, describe(p.idp, p.next))
			began := time.Now()
			time.Sleep(2 * time.Second)
			if got := accepted(t, s, "_b", p.next); got != "0" || time.Since(began) > 5*time.Second {
				t.Errorf("%s: the new key is accepted %q after %v", kind, got, time.Since(began))
			}
		})
	}
})

// A bad hint, or a fault in an unrelated part, made the provider's metadata unusable.
var _ = faulttest.Add("C-22", func(t *testing.T) {
	p := people()
	good := described(idpID, "", p.idp)
	pemLines := strings.NewReplacer("<X509Certificate>", "<X509Certificate>-----BEGIN CERTIFICATE-----\n",
		"</X509Certificate>", "\n-----END CERTIFICATE-----\n</X509Certificate>").Replace(good)
	ca := hold(rsaKey(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	leaf := issuedBy(t, ca, p.idp)
	element := func(h holder) string {
		return "<X509Certificate>\n" + base64.StdEncoding.EncodeToString(h.certificate.Raw) + "\n</X509Certificate>"
	}
	own := element(p.idp)
	if !strings.Contains(good, own) {
		t.Fatal("the metadata has another form")
	}
	for name, c := range map[string]struct {
		document string
		signers  []holder
		want     string
	}{
		"P1W":              {described(idpID, `cacheDuration="P1W"`, p.idp), []holder{p.idp}, "0"},
		"negative":         {described(idpID, `cacheDuration="-PT1H"`, p.idp), []holder{p.idp}, "0"},
		"a lot of seconds": {described(idpID, `cacheDuration="PT6048000000S"`, p.idp), []holder{p.idp}, "0"},
		"stylesheet":       {`<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="x"?>` + good, []holder{p.idp}, "0"},
		"PEM lines":        {pemLines, []holder{p.idp}, "0"},
		"authority first":  {strings.Replace(good, own, element(ca)+element(leaf), 1), []holder{leaf, ca}, "0"},
		"authority last":   {strings.Replace(good, own, element(leaf)+element(ca), 1), []holder{leaf, ca}, "0"},
		"two of one name":  {strings.Replace(good, own, element(p.idp)+element(p.next), 1), []holder{p.idp, p.next}, "01"},
		"one is garbage":   {strings.Replace(good, own, "<X509Certificate>!</X509Certificate>"+own, 1), []holder{p.idp}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, attributesOnly+"metadataFile: "+file(t, c.document))
			if got := accepted(t, s, "_a", c.signers...); got != c.want {
				t.Errorf("accepted %q, want %q: %v", got, c.want, s.Probe(t.Context()))
			}
		})
	}
})

// issuedBy returns a key with a certificate from an authority.
func issuedBy(t *testing.T, ca, subject holder) holder {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, subject.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return holder{subject.key, certificate}
}

// Nothing warned before the provider's certificate expired, and nothing could make an expired one count.
var _ = faulttest.Add("C-23", func(t *testing.T) {
	key := rsaKey()
	soon := hold(key, time.Now().Add(-time.Hour), time.Now().Add(20*24*time.Hour))
	later := hold(key, time.Now().Add(-time.Hour), time.Now().Add(60*24*time.Hour))
	expired := hold(key, time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))
	for name, c := range map[string]struct {
		settings string
		warned   bool
	}{
		"soon":    {soon.caData(), true},
		"expired": {expired.caData(), true},
		"later":   {later.caData(), false},
	} {
		_, problems := settings(t, usual+c.settings)
		if warned := strings.Contains(fmt.Sprint(problems), "put the provider's next one beside it"); warned != c.warned || problems.HasErrors() {
			t.Errorf("%s: the check says %v", name, problems)
		}
	}
	for content, warned := range map[string]bool{soon.pem(): true, soon.pem() + later.pem(): false, "": false} {
		c, _ := settings(t, usual+"ca: "+file(t, content))
		if got := c.WarnFiles()["ca"]; (got != "") != warned {
			t.Errorf("of a file the check says %q", got)
		}
	}
	var log bytes.Buffer
	s, err := tryOpen(t, usual+soon.caData(), &log)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "put the provider's next one beside it"); n != 1 {
		t.Errorf("the log has %d warnings:\n%s", n, log.String())
	}
	if got := accepted(t, open(t, usual+soon.caData()), "_a", later, expired); got != "01" {
		t.Errorf("of renewed certificates %q are accepted", got)
	}
	if got := accepted(t, open(t, usual+expired.caData()), "_a", expired, later); got != "" {
		t.Errorf("of an expired certificate %q are accepted", got)
	}
	s = open(t, usual+"insecureAccept: [expiredCertificates]\n"+expired.caData())
	if got := accepted(t, s, "_a", expired, people().stranger); got != "0" {
		t.Errorf("with insecureAccept %q are accepted", got)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("with insecureAccept the probe says %v", err)
	}
})

// The settings can accept each thing that is refused on purpose, with a warning.
var _ = faulttest.Add("C-27", func(t *testing.T) {
	for _, name := range []string{
		"expiredCertificates", "responseIssuer", "unknownConditions", "endedSessions", "signatureObjects", "signatureIDs",
	} {
		_, problems := settings(t, usual+"insecureAccept: ["+name+"]\n"+people().idp.caData())
		if len(problems) != 1 || problems.HasErrors() || problems[0].Line == 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if _, problems := settings(t, usual+"insecureAccept: [all]\n"+people().idp.caData()); !problems.HasErrors() {
		t.Errorf("an unknown value: %v", problems)
	}
	a := jane()
	a.SessionEnd = "2020-01-01T00:00:00Z"
	if _, err := login(t, open(t, usual+people().idp.caData()), withGroups, a); err == nil {
		t.Error("a session that has ended is accepted by default")
	}
	var log bytes.Buffer
	s, err := tryOpen(t, usual+"insecureAccept: [endedSessions]\n"+people().idp.caData(), &log)
	if err != nil {
		t.Fatal(err)
	}
	for _, a.ID = range []string{"_1", "_2"} {
		if _, err := login(t, s, withGroups, a); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "SessionNotOnOrAfter"); n != 1 {
		t.Errorf("the log has %d warnings:\n%s", n, log.String())
	}
})

// The provider's temporary failures could not be told from its permanent ones.
var _ = faulttest.Add("C-14", func(t *testing.T) {
	s := open(t, attributesOnly+"metadataURL: http://127.0.0.1:1/m")
	if _, err := s.Begin(t.Context(), connector.LoginRequest{State: state}); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("nobody answers: %v", err)
	}
	s = open(t, usual+people().idp.caData())
	first, err := login(t, s, withGroups, jane())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, s, withGroups, jane()); connector.OutcomeOf(err) != connector.Refused {
		t.Errorf("used twice: %v", err)
	}
	if _, err := s.Refresh(t.Context(), withGroups, connector.Identity{Data: first.Data[:10]}); connector.OutcomeOf(err) != connector.Gone {
		t.Errorf("data that can't be read: %v", err)
	}
	a := jane()
	a.ID, a.Audience = "_2", "https://other.test"
	if _, err := login(t, s, withGroups, a); connector.OutcomeOf(err) != connector.Broken {
		t.Errorf("another audience: %v", err)
	}
})
