package e2e

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/test/servers"
)

// A federation is an application whose users sign in at a SAML provider, which takes logouts by redirects and by forms. There is a
// connector for each, and one whose RelayState the provider loses.
type federation struct {
	*dex
	provider *servers.PySAML2
	app      *party
}

const (
	byRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	byForm     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

func startFederation(t *testing.T) *federation {
	t.Helper()
	f := &federation{app: startParty(t, "portal")}
	c, own := newConfiguration(t).withoutConsent().with("sessions", section{}), newSigningKey(t)
	var sps []servers.SAMLServiceProvider
	for _, id := range []string{"redirect", "form", "stateless"} {
		sps = append(sps, servers.SAMLServiceProvider{
			EntityID: c.endpoint("/" + id), ACS: c.endpoint("/callback"), SignResponse: true, SignAssertion: true,
			Certificate: base64.StdEncoding.EncodeToString(own.certificate.Raw), MetadataURL: c.endpoint("/saml/" + id + "/metadata"),
			NoRelayState: id == "stateless",
		})
	}
	var err error
	if f.provider, err = servers.StartPySAML2(t.Context(), sps...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, f.provider) })
	var connectors []section
	for id, metadata := range map[string]string{
		"redirect": f.provider.MetadataURL, "form": f.provider.FormMetadataURL, "stateless": f.provider.FormMetadataURL,
	} {
		connectors = append(connectors, section{"type": "saml", "id": id, "name": id, "config": section{
			"entityIssuer": c.endpoint("/" + id), "metadataURL": metadata, "redirectURI": c.endpoint("/callback"),
			"usernameAttr": "uid", "emailAttr": "mail", "spCert": own.certificateFile, "spKey": own.keyFile, "signRequests": true,
		}})
	}
	c.with("connectors", connectors)
	c.with("staticClients", []section{
		f.app.client(section{"backchannelLogoutURI": f.app.URL + "/backchannel", "refreshTokenLifetime": "session"}),
	})
	f.dex = startDex(t, c)
	f.app.of(t, f.dex)
	return f
}

// A federatedLogin is what the application has from a login.
type federatedLogin struct {
	idClaims
	idToken, refreshToken string
}

// signIn signs jane in through a connector.
func (f *federation) signIn(b *tab, connector string) federatedLogin {
	b.t.Helper()
	b.open(f.app.at("connector_id", connector, "scope", "openid profile email offline_access"))
	b.fill("#username", "jane")
	b.fill("#password", "secret")
	b.click("button", "#claims")
	of := federatedLogin{b.claims(), b.text("#id-token"), b.text("#refresh-token")}
	b.open(f.provider.SessionURL)
	b.wantText("#user", "jane")
	return of
}

// renew uses a login's refresh token, and reports what the answer is.
func (f *federation) renew(t *testing.T, of *federatedLogin) (problem string) {
	t.Helper()
	answer, err := f.tokenAs(t.Context(), f.app.id, f.app.id+"-secret", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {of.refreshToken},
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer.status == http.StatusOK {
		of.refreshToken = answer.RefreshToken
	}
	return answer.Error
}

// wantEnded checks that a session has ended here and at the provider, and that the application knows.
func (f *federation) wantEnded(b *tab, of federatedLogin) {
	b.t.Helper()
	f.app.wantTold(b.t, f.issuer, of.Subject, of.Session)
	b.wantAnswer(f.app.at("prompt", "none"), "login_required")
	if got := f.renew(b.t, &of); got != "invalid_grant" {
		b.t.Errorf("the refresh token gives %q, want invalid_grant", got)
	}
	b.open(f.provider.SessionURL)
	b.wantText("#user", "nobody")
}

// wantAlive checks that a session goes on.
func (f *federation) wantAlive(b *tab, of *federatedLogin) {
	b.t.Helper()
	f.app.wantNotTold(b.t, of.Session)
	if got := b.pass(f.app.at("prompt", "none")); got != of.idClaims {
		b.t.Errorf("the application has %+v, want %+v", got, of.idClaims)
	}
	if got := f.renew(b.t, of); got != "" {
		b.t.Errorf("the refresh token gives %q", got)
	}
}

// TestSAMLSingleLogout signs people out on either side of an independent SAML provider. For browsers that is another site.
func TestSAMLSingleLogout(t *testing.T) {
	t.Parallel()
	f := startFederation(t)
	b, another := newBrowser(t), newBrowser(t)
	elsewhere := f.signIn(another, "redirect")
	for connector, binding := range map[string]string{"redirect": byRedirect, "form": byForm, "stateless": byForm} {
		t.Run("here by "+connector, func(t *testing.T) {
			b.t = t
			of := f.signIn(b, connector)
			b.open(f.endpoint("/logout?" + query("id_token_hint", of.idToken, "post_logout_redirect_uri", f.app.URL+"/bye", "state", "the state")))
			b.see("#bye")
			b.wantText("#bye", "the state")
			f.wantEnded(b, of)
			b.wantText("#history", "asked by "+binding+", answers at "+f.endpoint("/logout/callback"))
		})
	}
	for _, options := range []string{"binding=redirect", "binding=post"} {
		for _, connector := range []string{"redirect", "form"} { // as which the answer goes back
			t.Run("at the provider by "+options+", answered by "+connector, func(t *testing.T) {
				b.t = t
				of := f.signIn(b, connector)
				b.open(f.provider.LogoutURL + "?unsigned=yes&" + options)
				b.wantText("pre", "The logout can't be accepted.")
				f.wantAlive(b, &of)

				b.open(f.provider.LogoutURL + "?" + options)
				b.see("#logged-out")
				b.wantText("#logged-out", map[string]string{"redirect": byRedirect, "form": byForm}[connector])
				f.wantEnded(b, of)
			})
		}
	}
	f.wantAlive(another, &elsewhere)
	for _, options := range []string{"binding=redirect", "binding=post"} {
		t.Run("a second time by "+options, func(t *testing.T) {
			b.t = t
			of := f.signIn(b, "form")
			b.open(f.provider.LogoutURL + "?all=yes&" + options)
			b.see("#logged-out")
			f.wantEnded(b, of)

			of = f.signIn(b, "form") // so soon that the same request would end this session if it counted
			b.open(f.provider.AgainURL)
			b.wantText("pre", "The logout can't be accepted.")
			f.wantAlive(b, &of)
			b.open(f.provider.LogoutURL)
			b.see("#logged-out")
		})
	}
	if log := f.log.String(); strings.Contains(log, "answer to a logout can't be used") {
		t.Errorf("an answer of the provider is refused:\n%s", log)
	}
}
