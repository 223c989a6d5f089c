package e2e

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"dex/test/servers"
)

// janeEntry is all sources' user, as the directory has her.
const janeEntry = `dn: uid=jane,ou=People,dc=example,dc=org
objectClass: inetOrgPerson
uid: jane
cn: jane
sn: Doe
mail: jane@example.org
userPassword: password

dn: cn=staff,ou=Groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=jane,ou=People,dc=example,dc=org

dn: cn=admins,ou=Groups,dc=example,dc=org
objectClass: groupOfNames
cn: admins
member: uid=jane,ou=People,dc=example,dc=org

`

// jane is the same user in a password database.
var jane = section{
	"email": "jane@example.org", "hash": adminHash, "username": "jane", "name": "jane", "preferredUsername": "jane",
	"userID": "jane", "groups": []string{"staff", "admins"},
}

// startProvider starts a second Dex, as an identity source for the first one.
func startProvider(t *testing.T, of *configuration) *dex {
	t.Helper()
	c := newConfiguration(t).withoutConsent()
	delete(c.root, "connectors")
	c.with("staticPasswords", []section{jane})
	c.with("staticClients", []section{
		{"id": "dex", "name": "Dex", "secret": "dex-secret", "redirectURIs": []string{of.endpoint("/callback")}},
	})
	return startDex(t, c)
}

// One server has a source of each kind. A browser signs in through each, and the application always gets the same claims.
func TestFiveSources(t *testing.T) {
	t.Parallel()
	app := "http://" + freeAddress(t)
	c := newConfiguration(t).withoutConsent()
	provider := startProvider(t, c)
	directory, err := servers.StartSlapd(t.Context(), servers.SlapdOptions{LDIF: janeEntry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, directory) })
	saml, err := servers.StartPySAML2(t.Context(), servers.SAMLServiceProvider{
		EntityID: c.endpoint("/callback"), ACS: c.endpoint("/callback"), SignResponse: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, saml) })

	c.with("staticPasswords", []section{jane})
	c.with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{app + "/callback"}},
	})
	c.with("connectors", []section{
		{"type": "ldap", "id": "ldap", "name": "Directory", "config": section{
			"host": directory.TLSAddress, "rootCA": directory.CAFile,
			"bindDN": servers.SlapdAdmin, "bindPW": servers.SlapdPassword,
			"userSearch": section{
				"baseDN": "ou=People," + servers.SlapdBase, "username": "uid", "idAttr": "uid", "emailAttr": "mail",
				"nameAttr": "cn", "preferredUsernameAttr": "uid",
			},
			"groupSearch": section{
				"baseDN": "ou=Groups," + servers.SlapdBase, "nameAttr": "cn",
				"userMatchers": []section{{"userAttr": "DN", "groupAttr": "member"}},
			},
		}},
		{"type": "saml", "id": "saml", "name": "Federation", "config": section{
			"ssoURL": saml.SSOURL, "ca": saml.CAFile, "redirectURI": c.endpoint("/callback"),
			"entityIssuer": c.endpoint("/callback"), "ssoIssuer": saml.EntityID,
			"usernameAttr": "uid", "emailAttr": "mail", "groupsAttr": "groups", "preferredUsernameAttr": "uid",
		}},
		{"type": "oidc", "id": "oidc", "name": "Provider", "config": section{
			"issuer": provider.issuer, "clientID": "dex", "clientSecret": "dex-secret", "redirectURI": c.endpoint("/callback"),
			"scopes": []string{"profile", "email", "groups"}, "insecureEnableGroups": true,
		}},
		{"type": "oauth", "id": "oauth", "name": "Old Provider", "config": section{
			"clientID": "dex", "clientSecret": "dex-secret", "redirectURI": c.endpoint("/callback"),
			"authorizationURL": provider.endpoint("/auth"), "tokenURL": provider.endpoint("/token"),
			"userInfoURL": provider.endpoint("/userinfo"), "scopes": []string{"openid", "profile", "email", "groups"},
			"userIDKey": "sub", "claimMapping": section{"userNameKey": "name"},
		}},
	})
	startDex(t, c)
	startApp(t, c, app)

	t.Run("S0-02 the user chooses", func(t *testing.T) {
		b := newBrowser(t)
		b.open(app)
		b.click("#login-button", loginChoice)
		for _, name := range []string{"Directory", "Email", "Federation", "Provider", "Old Provider"} {
			b.wantText(loginChoice, "Log in with "+name)
		}
	})

	providers := func(b *tab) { // its password form, and the consent that OpenID Connect asks for
		b.enterPassword("jane@example.org", adminPassword, "main, #claims")
	}
	claims := map[string]map[string]any{}
	for name, signIn := range map[string]func(b *tab){
		"Directory": func(b *tab) { b.enterPassword("jane", adminPassword, "#claims") },
		"Email":     func(b *tab) { b.enterPassword("jane@example.org", adminPassword, "#claims") },
		"Federation": func(b *tab) {
			b.fill("#username", "jane")
			b.fill("#password", "secret")
			b.leave(chromedp.Submit(chromedp.CSS("#password")), "main, #claims")
		},
		"Provider": func(b *tab) {
			providers(b)
			b.click(approveButton, "#claims")
		},
		"Old Provider": providers,
	} {
		t.Run("S0-03 "+name, func(t *testing.T) {
			b := newBrowser(t)
			b.open(app)
			evaluate[bool](b, `document.querySelector('[name=extra_scopes][value=groups]').checked = true`)
			b.click("#login-button", loginChoice)
			b.leave(chromedp.Click(chromedp.Search(`//a[normalize-space(.)="Log in with `+name+`"]`), chromedp.NodeVisible),
				"#password")
			signIn(b)
			b.see("#claims")
			claims[name] = claimsOf(t, b.text("#claims"))
		})
	}
	t.Run("S2-08 the same claims", func(t *testing.T) {
		want := map[string]any{
			"name": "jane", "preferred_username": "jane", "email": "jane@example.org", "email_verified": true,
			"groups": []any{"staff", "admins"}, "iss": c.issuer, "aud": clientID,
		}
		for name, got := range claims {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claims by %s (-want +got):\n%s", name, diff)
			}
		}
		if len(claims) != 5 {
			t.Errorf("%d sources signed jane in, want 5", len(claims))
		}
	})
}

// claimsOf reads the claims of an ID token, without those that differ from token to token.
func claimsOf(t *testing.T, text string) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		t.Fatalf("the claims are %q: %v", text, err)
	}
	own := []string{"sub", "exp", "iat", "jti", "at_hash", "c_hash", "nonce", "auth_time", "amr", "azp", "sid"}
	maps.DeleteFunc(claims, func(name string, _ any) bool { return strings.Contains(" "+strings.Join(own, " ")+" ", " "+name+" ") })
	return claims
}

// startApp starts the example application.
func startApp(t *testing.T, c *configuration, app string) {
	t.Helper()
	p := startProcess(t, "example-app", binaries.exampleApp, "--issuer", c.issuer, "--client-secret", clientSecret,
		"--listen", app, "--redirect-uri", app+"/callback")
	eventually(t, patience, "the example application listens", func() bool {
		return strings.Contains(p.log.String(), "listening on "+app)
	})
}

func closeServer(t *testing.T, s interface{ Close() error }) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
