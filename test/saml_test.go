package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/test/servers"
)

// samlConnector returns a connector for a provider that is configured by keys, with additional ones.
func samlConnector(c *configuration, p *samlProvider, id string, more section) section {
	keys := section{
		"entityIssuer": c.endpoint("/" + id), "ssoURL": p.ssoURL(), "ca": p.current.certificateFile,
		"redirectURI": c.endpoint("/callback"), "usernameAttr": "username", "emailAttr": "email", "groupsAttr": "memberOf",
	}
	maps.Copy(keys, more)
	for key, value := range more {
		if value == nil {
			delete(keys, key)
		}
	}
	p.knows(c.endpoint("/"+id), c.endpoint("/saml/"+id+"/metadata"))
	return section{"type": "saml", "id": id, "name": id, "config": keys}
}

// comeBack follows a login through self-submitting forms, until it reaches the application or ends. It returns where that is,
// and the provider's response.
func (v *visitor) comeBack(t *testing.T, p *page, typed url.Values) (end *page, response string) {
	t.Helper()
	for range 8 {
		if p.answer != nil {
			return p, response
		}
		action, fields, ok := formOf(p)
		if !ok {
			return p, response
		}
		if fields.Has("SAMLResponse") {
			document, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
			if err != nil {
				t.Fatal(err)
			}
			response = string(document)
		}
		if fields.Has("username") { // a form to fill in
			maps.Copy(fields, typed)
		}
		var err error
		if p, err = v.post(t.Context(), action, fields); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("the login leads from form to form, the last at %s", p.url)
	return nil, ""
}

// samlLogin signs jane in through a connector and returns the claims of her ID token, verified as an application does.
func (d *dex) samlLogin(t *testing.T, connector string, typed url.Values) (map[string]any, *tokenAnswer) {
	t.Helper()
	end, response := d.samlVisit(t, connector, typed)
	if end.answer.Get("code") == "" {
		t.Fatalf("%s ends with status %d at %s, told %v\n%s\n%s", connector, end.status, end.url, end.answer, end.body, d.log)
	}
	// Providers that know our key encrypt for it.
	if wanted := slices.Contains([]string{"signed", "replaced", "encrypted", "query"}, connector); strings.Contains(response, "EncryptedAssertion") != wanted {
		t.Errorf("the response of %s is encrypted: %t", connector, !wanted)
	}
	tokens, err := d.redeem(t.Context(), end.answer.Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	return d.idClaims(t, tokens.IDToken), tokens
}

// samlVisit is samlLogin until the browser arrives somewhere.
func (d *dex) samlVisit(t *testing.T, connector string, typed url.Values) (end *page, response string) {
	t.Helper()
	v := newVisitor(d.transport)
	p, err := v.get(t.Context(), d.authURL("/auth/"+connector, nil))
	if err != nil {
		t.Fatal(err)
	}
	return v.comeBack(t, p, typed)
}

func (d *dex) idClaims(t *testing.T, idToken string) map[string]any {
	t.Helper()
	g := newGoProgram(t, d)
	verified, err := g.verifier.Verify(g.ctx, idToken)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	for name := range claims {
		switch name {
		case "name", "preferred_username", "email", "email_verified", "groups":
		default:
			delete(claims, name)
		}
	}
	return claims
}

func wantSAMLClaims(t *testing.T, got, want map[string]any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func janesClaims() map[string]any {
	return map[string]any{
		"name": "Jane Doe", "email": "jane@example.org", "email_verified": true, "groups": []any{"staff", "admins"},
	}
}

// An independent provider, which knows us from our metadata.
func TestSAML(t *testing.T) {
	t.Parallel()
	p := startSAMLProvider(t)
	own, fresh, curve := newSigningKey(t), newSigningKey(t), newXMLSigner(t, newCurveKey(t))
	stranger := newSigningKey(t)
	c := newConfiguration(t).withoutConsent()
	caData, err := os.ReadFile(p.current.certificateFile)
	if err != nil {
		t.Fatal(err)
	}
	// As in a guide: only these keys, and a path in the issuer.
	guide := samlConnector(c, p, "guide", section{
		"entityIssuer": c.endpoint("/callback"), "caData": base64.StdEncoding.EncodeToString(caData), "ca": nil, "groupsAttr": nil,
	})
	p.knows(c.endpoint("/callback"), c.endpoint("/saml/guide/metadata"))
	signed := section{"signRequests": true, "spCert": own.certificateFile, "spKey": own.keyFile}
	p.stale[c.endpoint("/replaced")] = base64.StdEncoding.EncodeToString(own.certificate.Raw)
	p.signers[c.endpoint("/signed")] = own.certificateFile
	p.signers[c.endpoint("/curve")] = curve.certificateFile
	older := samlConnector(c, p, "older", nil)
	older["type"] = "samlExperimental"
	c.with("connectors", []section{
		guide,
		samlConnector(c, p, "redirect", section{"binding": "redirect"}),
		samlConnector(c, p, "signed", signed), // encrypted too, as the provider knows our key
		samlConnector(c, p, "replaced", section{
			"spCert": fresh.certificateFile, "spKey": fresh.keyFile, "previousSPKey": own.keyFile,
		}),
		samlConnector(c, p, "curve", section{"signRequests": true, "spCert": curve.certificateFile, "spKey": curve.keyFile}),
		samlConnector(c, p, "attributes", section{"usernameAttr": "uid", "emailAttr": "mail", "preferredUsernameAttr": "uid"}),
		older,
		samlConnector(c, p, "wrongca", section{"ca": stranger.certificateFile}),
		samlConnector(c, p, "denied", section{"allowedGroups": []string{"nobody"}}),
		samlConnector(c, p, "metadata", section{"metadataURL": p.entityID(), "ssoURL": nil, "ca": nil}),
		{"type": "mockCallback", "id": "mock", "name": "Mock"},
	})
	d := startDex(t, c)

	t.Run("S0-01 S2-03 an application gets an ID token", func(t *testing.T) {
		claims, _ := d.samlLogin(t, "guide", nil)
		want := janesClaims()
		delete(want, "groups")
		wantSAMLClaims(t, claims, want)
	})
	t.Run("S0-11 the issuer of the request", func(t *testing.T) {
		requests := p.requests()
		if last := requests[len(requests)-1]; last.Issuer == nil || last.Issuer.Value != c.endpoint("/callback") {
			t.Errorf("the issuer is %+v", last.Issuer)
		}
	})
	for name, id := range map[string]string{
		"redirect binding": "redirect", "signed and encrypted": "signed", "signed by ECDSA": "curve", "the older name": "older",
		"by metadata": "metadata", "encrypted for our key before": "replaced",
	} {
		t.Run(name, func(t *testing.T) {
			claims, _ := d.samlLogin(t, id, nil)
			wantSAMLClaims(t, claims, janesClaims())
		})
	}
	t.Run("S0-12 uid and mail", func(t *testing.T) {
		claims, _ := d.samlLogin(t, "attributes", nil)
		want := janesClaims()
		want["name"], want["email"], want["preferred_username"] = "jane", "j@example.org", "jane"
		wantSAMLClaims(t, claims, want)
	})
	t.Run("S0-14 one callback for GET and POST", func(t *testing.T) {
		if tokens := d.mustLogin(t, "mock"); tokens.IDToken == "" {
			t.Error("the mock gives no ID token")
		}
		d.samlLogin(t, "guide", nil)
	})
	t.Run("a refresh repeats the claims", func(t *testing.T) {
		_, tokens := d.samlLogin(t, "redirect", nil)
		fresh := d.mustRefresh(t, tokens.RefreshToken)
		wantSAMLClaims(t, d.idClaims(t, fresh.IDToken), janesClaims())
	})
	t.Run("S0-11 wrong CA", func(t *testing.T) {
		d.wantLoginRefused(t, "wrongca", "it names a certificate that is not configured for the provider")
	})
	t.Run("S0-11 audience", func(t *testing.T) {
		p.setAudience("https://other.example")
		defer p.setAudience("")
		d.wantLoginRefused(t, "guide", "meant for another audience")
	})
	t.Run("not in an allowed group", func(t *testing.T) {
		end, _ := d.samlVisit(t, "denied", nil)
		if end.status != http.StatusForbidden || !strings.Contains(end.body, "You are not in a group that may log in here.") {
			t.Errorf("status %d\n%s", end.status, end.body)
		}
	})
	t.Run("a response counts once", func(t *testing.T) { d.wantOneUse(t) })
	t.Run("the provider's key changes", func(t *testing.T) {
		p.rotate()
		claims, _ := d.samlLogin(t, "metadata", nil)
		wantSAMLClaims(t, claims, janesClaims())
		d.wantLoginRefused(t, "redirect", "not configured for the provider")
	})
}

func newCurveKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *samlProvider) setAudience(audience string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.audience = audience
}

// wantLoginRefused expects a login that ends with an error at the application, and its reason in the log.
func (d *dex) wantLoginRefused(t *testing.T, connector, reason string) {
	t.Helper()
	before := strings.Count(d.log.String(), reason)
	end, _ := d.samlVisit(t, connector, nil)
	if end.answer.Get("error") != "server_error" || end.answer.Has("code") {
		t.Errorf("status %d at %s, told %v", end.status, end.url, end.answer)
	}
	eventually(t, patience, "the log says "+reason, func() bool { return strings.Count(d.log.String(), reason) == before+1 })
}

// wantOneUse sends a response twice from the same browser.
func (d *dex) wantOneUse(t *testing.T) {
	t.Helper()
	v := newVisitor(d.transport)
	p, err := v.get(t.Context(), d.authURL("/auth/redirect", nil))
	if err != nil {
		t.Fatal(err)
	}
	action, fields, ok := formOf(p)
	if !ok || action != d.endpoint("/callback") {
		t.Fatalf("no response, but %d at %s\n%s", p.status, p.url, p.body)
	}
	answers := make([]*page, 2)
	target, err := url.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	cookies := v.http.Jar.Cookies(target)
	for i := range answers {
		browser := newVisitor(d.transport) // as it was, with the login in progress
		browser.http.Jar.SetCookies(target, cookies)
		if answers[i], err = browser.post(t.Context(), action, fields); err != nil {
			t.Fatal(err)
		}
	}
	if answers[0].answer.Get("code") == "" {
		t.Fatalf("the first time, told %v with status %d\n%s", answers[0].answer, answers[0].status, d.log)
	}
	second := answers[1]
	if second.status != http.StatusForbidden || !strings.Contains(second.body, "has already been used") || second.answer.Has("code") {
		t.Errorf("the second time, told %v with status %d\n%s", second.answer, second.status, second.body)
	}
	eventually(t, patience, "the log tells of the second use", func() bool {
		return strings.Contains(d.log.String(), "the assertion has been used before")
	})
}

// pysaml2 signs and encrypts in each way that it supports, and checks our signatures.
func TestPySAML2(t *testing.T) {
	t.Parallel()
	own := newSigningKey(t)
	c := newConfiguration(t).withoutConsent()
	certificate := base64.StdEncoding.EncodeToString(own.certificate.Raw)
	var sps []servers.SAMLServiceProvider
	ways := map[string]servers.SAMLServiceProvider{
		"response":  {SignResponse: true},
		"assertion": {SignAssertion: true},
		"both":      {SignResponse: true, SignAssertion: true},
		"encrypted": {SignResponse: true, SignAssertion: true, Certificate: certificate},
		"query":     {SignResponse: true, Certificate: certificate},
	}
	for id, sp := range ways {
		sp.EntityID, sp.ACS = c.endpoint("/"+id), c.endpoint("/callback")
		sps = append(sps, sp)
	}
	idp, err := servers.StartPySAML2(t.Context(), sps...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, idp) })
	var connectors []section
	for id, sp := range ways {
		keys := section{
			"entityIssuer": c.endpoint("/" + id), "metadataURL": idp.MetadataURL, "redirectURI": c.endpoint("/callback"),
			"usernameAttr": "uid", "emailAttr": "mail", "groupsAttr": "groups", "preferredUsernameAttr": "uid",
		}
		if sp.Certificate != "" {
			keys["spCert"], keys["spKey"], keys["signRequests"] = own.certificateFile, own.keyFile, true
		}
		if id == "query" {
			keys["binding"] = "redirect"
		}
		connectors = append(connectors, section{"type": "saml", "id": id, "name": id, "config": keys})
	}
	d := startDex(t, c.with("connectors", connectors))
	want := map[string]any{
		"name": "jane", "preferred_username": "jane", "email": "jane@example.org", "email_verified": true,
		"groups": []any{"staff", "admins"},
	}
	for id := range ways {
		t.Run("S2-03 "+id, func(t *testing.T) {
			claims, _ := d.samlLogin(t, id, url.Values{"username": {"jane"}, "password": {"secret"}})
			wantSAMLClaims(t, claims, want)
		})
	}
}
