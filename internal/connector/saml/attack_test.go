package saml_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"dex/internal/connector"
)

// All connectors have the same address and, by default, the same name: only the keys, the issuer and the request tell their
// answers apart.
func TestAnswersOfOtherSources(t *testing.T) {
	p := people()
	const other = "https://other.test/metadata"
	ours := open(t, usual+"ssoIssuer: "+idpID+"\n"+p.idp.caData())
	theirs := open(t, usual+"ssoIssuer: "+other+"\n"+p.next.caData())
	sharing := open(t, usual+"ssoIssuer: "+other+"\n"+p.idp.caData()) // one key for several providers, as some services have it
	posing := jane()
	posing.Issuer = other
	for name, c := range map[string]struct {
		at   source
		a    answer
		by   holder
		want string
	}{
		"of another source":                  {theirs, jane(), p.idp, "of another issuer"},
		"in the name of another source":      {theirs, posing, p.idp, "not configured for the provider"},
		"of a source that has the same key":  {sharing, jane(), p.idp, "of another issuer"},
		"in another's name by the same key":  {ours, posing, p.idp, "of another issuer"},
		"in our source's name by another":    {ours, jane(), p.next, "not configured for the provider"},
		"in the other's name by whoever has": {theirs, posing, p.next, ""},
	} {
		_, err := c.at.HandleCallback(t.Context(), connector.Return{State: state, Request: post(c.a.sign(t, c.by, ""))})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Anybody can write the response around a signed assertion. It can claim to answer this browser's login, and so finds that
// login; but the assertion, from the attacker's own login, doesn't answer it.
func TestAssertionOfAnotherLogin(t *testing.T) {
	s := open(t, usual+people().idp.caData())
	a := jane()
	a.Request = "rzyxwvutsrqponmlkjihgfedcba"
	signed := a.sign(t, people().idp, "")
	for name, response := range map[string]string{
		"as it is":                   signed,
		"response to this login":     strings.Replace(signed, a.Request, state, 1),
		"response to no login":       strings.Replace(signed, ` InResponseTo="`+a.Request+`"`, "", 1),
		"both, with a broken digest": strings.ReplaceAll(signed, a.Request, state),
	} {
		if id, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(response)}); err == nil {
			t.Errorf("%s: signed in as %+v", name, id)
		}
	}
}

// A replayed assertion is recognized whatever stands around it.
func TestReplayInAnotherResponse(t *testing.T) {
	s := open(t, usual+people().idp.caData())
	signed := jane().sign(t, people().idp, "")
	for i, response := range []string{
		signed, strings.Replace(signed, `ID="_r1"`, `ID="_r2"`, 1), strings.Replace(signed, ` Destination="`+callbackURL+`"`, "", 1),
		strings.Replace(signed, "<a:Subject>", "<a:Subject><!-- -->", 1),
	} {
		_, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(response)})
		if i > 0 && (err == nil || !strings.Contains(err.Error(), "used before")) || i == 0 && err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Warnings quote what the sender of a response wrote: they must fill neither the log nor the memory.
func TestWarningsAreBounded(t *testing.T) {
	var log strings.Builder
	s, err := tryOpen(t, usual+"ssoIssuer: "+idpID+"\ninsecureAccept: [responseIssuer]\n"+people().idp.caData(), &log)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 110 {
		a := jane()
		a.ID = fmt.Sprintf("_a%d", i)
		response := strings.Replace(a.sign(t, people().idp, ""), idpID, fmt.Sprintf("https://%d.test", i), 1)
		if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(response)}); err != nil {
			t.Fatal(err)
		}
	}
	if told := strings.Count(log.String(), "have the provider fixed"); told != 100 {
		t.Errorf("%d faults are logged", told)
	}
}

// If a link of the chain was missing, the authority at its end could sign for the provider.
func TestAuthorityOfAChainWithAMissingLink(t *testing.T) {
	p := people()
	since, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(98), Subject: pkix.Name{CommonName: "root"}, NotBefore: since, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.next.key.Public(), p.next.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	root, leaf := holder{p.next.key, certificate}, issuedBy(t, p.stranger, p.idp)
	text := func(h holder) string { return base64.StdEncoding.EncodeToString(h.certificate.Raw) }
	both := strings.Replace(described(idpID, "", root), text(root), text(root)+"</X509Certificate><X509Certificate>"+text(leaf), 1)
	s := open(t, attributesOnly+"metadataFile: "+file(t, both))
	if got := accepted(t, s, "_a", leaf, root); got != "0" {
		t.Errorf("accepted are %q", got)
	}
	// A self-signed authority is in the metadata on purpose.
	alone := open(t, attributesOnly+"metadataFile: "+file(t, described(idpID, "", root)))
	if got := accepted(t, alone, "_b", leaf, root); got != "1" {
		t.Errorf("alone, accepted are %q", got)
	}
}
