package saml_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector"
)

// A federation's metadata lets members add attributes in their own namespaces: these are not SAML's of the same names.
func TestForeignAttributesInMetadata(t *testing.T) {
	p := people()
	const victim = "https://victim.test"
	posing := strings.Replace(described("https://member.test", `xmlns:x="urn:x" x:entityID="`+victim+`"`, p.stranger), "IDPSSODescriptor ",
		`IDPSSODescriptor xmlns:y="urn:y" y:protocolSupportEnumeration="none" `, 1)
	s := open(t, attributesOnly+"ssoIssuer: "+victim+"\nmetadataFile: "+file(t, posing))
	if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "not about the identity provider "+victim) {
		t.Errorf("a member takes another's name: %v", err)
	}
	s = open(t, attributesOnly+"metadataFile: "+file(t, posing))
	a := jane()
	a.Issuer = "https://member.test"
	if _, err := s.HandleCallback(t.Context(), connector.Return{State: state, Request: post(a.sign(t, p.stranger, ""))}); err != nil {
		t.Errorf("with its own name: %v", err)
	}
}

// Without a name, the provider in the metadata could speak for any other.
func TestMetadataWithoutEntityID(t *testing.T) {
	document := strings.Replace(described(idpID, "", people().idp), ` entityID="`+idpID+`"`, "", 1)
	s := open(t, attributesOnly+"metadataFile: "+file(t, document))
	if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "entityID") {
		t.Errorf("probe: %v", err)
	}
	if id, err := login(t, s, withGroups, jane()); err == nil {
		t.Errorf("signed in as %+v", id)
	}
}

// Metadata needs TLS, unless it comes from this machine.
func TestRedirectOffTheMachine(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("http://elsewhere.invalid/m", http.StatusFound))
	defer server.Close()
	s := open(t, attributesOnly+"metadataURL: "+server.URL)
	if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("probe: %v", err)
	}
}

// Metadata whose signer is no longer configured is refused, even if it has not changed.
func TestSignerOfMetadataIsReplaced(t *testing.T) {
	p := people()
	signer := file(t, p.next.pem())
	document := file(t, signedMetadata(t, described(idpID, "", p.idp), p.next))
	synctest.Test(t, func(t *testing.T) {
		s := open(t, attributesOnly+"metadataFile: "+document+"\nmetadataSigningCert: "+signer)
		if err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		overwrite(t, signer, p.dex.pem())
		time.Sleep(2 * time.Minute)
		if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "not configured") {
			t.Errorf("probe: %v", err)
		}
	})
}

// A request is not signed, and passes through the browser of the user who should sign in again: they can remove ForceAuthn.
func TestForcedAuthenticationIsHeldTo(t *testing.T) {
	idp := people().idp
	for name, c := range map[string]struct {
		settings string
		request  connector.LoginRequest
		refused  bool
	}{
		"not asked for":      {},
		"by the settings":    {settings: "forceAuthn: true\n", refused: true},
		"by the application": {request: connector.LoginRequest{Prompt: []string{"login"}}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, usual+"clockSkew: 90s\n"+c.settings+idp.caData())
			c.request.State = state
			to, err := s.Begin(t.Context(), c.request)
			if err != nil {
				t.Fatal(err)
			}
			// By default, answers say that the user authenticated two minutes ago.
			come := func(a answer) error {
				_, err := s.HandleCallback(t.Context(), connector.Return{State: state, Data: to.Data, Request: post(a.sign(t, idp, ""))})
				return err
			}
			if err := come(jane()); (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "ForceAuthn") {
				t.Errorf("error %v, want one: %t", err, c.refused)
			}
			anew := jane()
			anew.ID, anew.Now = "_a2", anew.Now.Add(2*time.Minute)
			if err := come(anew); err != nil {
				t.Errorf("having authenticated now: %v", err)
			}
		})
	}
}

// An attribute with a prefix is not SAML's.
func TestForeignAttributesInLogoutResponse(t *testing.T) {
	s := open(t, withLogout+people().idp.caData())
	forged := strings.Replace(logoutResponse, `InResponseTo="_request"`, `xmlns:x="urn:x" InResponseTo="_other" x:InResponseTo="_request"`, 1)
	if forged == logoutResponse {
		t.Fatal("nothing is forged")
	}
	idp := people().idp
	r := httptest.NewRequest(http.MethodGet, logoutURL, nil)
	r.URL.RawQuery = redirected(t, forged, &idp)
	err := s.HandleLogout(t.Context(), connector.Return{Data: []byte("_request"), Request: r})
	if err == nil || !strings.Contains(err.Error(), "another request") {
		t.Errorf("error %v", err)
	}
}
