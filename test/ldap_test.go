package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dex/test/servers"
)

const (
	ldapPeople = "ou=People," + servers.SlapdBase
	ldapGroups = "ou=Groups," + servers.SlapdBase
)

// ldif returns an entry; attributes come as name, value, name, value. All values are base64, so they may contain anything.
func ldif(dn string, attributes ...string) string {
	var b strings.Builder
	line := func(name, value string) {
		fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	line("dn", dn)
	for i := 0; i < len(attributes); i += 2 {
		line(attributes[i], attributes[i+1])
	}
	return b.String() + "\n"
}

// ldapPerson returns a user whose password is the name followed by "'s password".
func ldapPerson(dn, uid string) string {
	return ldif(dn, "objectClass", "inetOrgPerson", "cn", "The "+uid, "sn", uid, "uid", uid, "mail", mailOf(uid),
		"userPassword", passwordOf(uid))
}

func passwordOf(uid string) string { return uid + "'s password" }

// mailOf uses only the name's ASCII letters, because the attribute is ASCII only.
func mailOf(uid string) string {
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, uid)
	return letters + "@example.org"
}

func ldapGroup(name string, members ...string) string {
	attributes := []string{"objectClass", "groupOfNames"}
	for _, member := range members {
		attributes = append(attributes, "member", member)
	}
	return ldif("cn="+name+","+ldapGroups, attributes...)
}

// People whose names have special characters of filters or DNs, and their groups.
const (
	joseUID = "josé(x)*"
	joseDN  = "uid=" + joseUID + "," + ldapPeople
	annDN   = `cn=Ann\, Smith \\ Co \#1,` + ldapPeople
	kimDN   = "uid=kim," + ldapPeople
)

func specialPeople() string {
	return ldapPerson(joseDN, joseUID) +
		ldif(annDN, "objectClass", "inetOrgPerson", "cn", `Ann, Smith \ Co #1`, "sn", "Smith", "uid", "ann",
			"mail", "ann@example.org", "userPassword", passwordOf("ann")) +
		ldapPerson(kimDN, "kim") +
		ldapGroup("team", joseDN, annDN, kimDN) +
		ldapGroup("department", "cn=team,"+ldapGroups) +
		ldapGroup("company", "cn=department,"+ldapGroups, "cn=circle,"+ldapGroups) +
		ldapGroup("circle", "cn=company,"+ldapGroups, kimDN) +
		ldif("cn=unix,"+ldapGroups, "objectClass", "posixGroup", "gidNumber", "1000", "memberUid", "kim", "memberUid", joseUID)
}

func startSlapd(t *testing.T, o servers.SlapdOptions) *servers.Slapd {
	t.Helper()
	s, err := servers.StartSlapd(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	return s
}

// change applies LDIF to the directory.
func change(t *testing.T, s *servers.Slapd, changes string) {
	t.Helper()
	if err := s.Change(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// ldapConnector returns a connector that uses LDAPS, with settings that replace or add to the usual ones.
func ldapConnector(id string, s *servers.Slapd, more section) section {
	config := section{
		"host": s.TLSAddress, "rootCA": s.CAFile, "bindDN": servers.SlapdAdmin, "bindPW": servers.SlapdPassword,
		"userSearch": section{
			"baseDN": ldapPeople, "filter": "(objectClass=inetOrgPerson)", "username": "uid",
			"idAttr": "uid", "emailAttr": "mail", "nameAttr": "cn", "preferredUsernameAttr": "UID",
		},
		"groupSearch": section{
			"baseDN": ldapGroups, "nameAttr": "cn", "userMatchers": []section{{"userAttr": "DN", "groupAttr": "member"}},
		},
	}
	for key, value := range more {
		config[key] = value
	}
	return section{"type": "ldap", "id": id, "name": id, "config": config}
}

// startDexWithSources starts a server with connectors, without the consent page.
func startDexWithSources(t *testing.T, connectors ...section) *dex {
	t.Helper()
	return startDex(t, newConfiguration(t).withoutConsent().with("connectors", connectors))
}

// passwordLogin opens a connector's form and submits it.
func (d *dex) passwordLogin(t *testing.T, connector, login, password string) *page {
	t.Helper()
	v := newVisitor(d.transport)
	form, err := v.get(t.Context(), d.authURL("/auth/"+connector, nil))
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.enterPassword(t.Context(), form, login, password)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mustEnter logs in with a password, and returns the tokens.
func (d *dex) mustEnter(t *testing.T, connector, login, password string) *tokenAnswer {
	t.Helper()
	p := d.passwordLogin(t, connector, login, password)
	if p.answer.Get("code") == "" {
		t.Fatalf("login as %q by %s ends with status %d at %s: %s", login, connector, p.status, p.url.Path, visibleText(p))
	}
	tokens, err := d.redeem(t.Context(), p.answer.Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	if tokens.status != http.StatusOK {
		t.Fatalf("the code gives status %d, error %q", tokens.status, tokens.Error)
	}
	return tokens
}

// wantPage checks the page of a failed login.
func wantPage(t *testing.T, p *page, status int, words string) {
	t.Helper()
	if p.answer != nil || p.status != status || !strings.Contains(visibleText(p), words) {
		t.Errorf("status %d, answer %v, page %q; want status %d and %q", p.status, p.answer, visibleText(p), status, words)
	}
}

// visibleText returns a page's text.
func visibleText(p *page) string {
	return strings.Join(strings.Fields(html.UnescapeString(markup.ReplaceAllString(p.body, " "))), " ")
}

// A person's claims in an ID token.
type personClaims struct {
	Name              string   `json:"name"`
	PreferredUsername string   `json:"preferred_username"`
	Email             string   `json:"email"`
	EmailVerified     bool     `json:"email_verified"`
	Groups            []string `json:"groups"`
}

// claims reads the ID token in an answer. Other tests check its signature.
func (a *tokenAnswer) claims(t *testing.T) (c personClaims) {
	t.Helper()
	parts := strings.Split(a.IDToken, ".")
	if len(parts) != 3 {
		t.Fatalf("status %d, error %q, and no ID token", a.status, a.Error)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantClaims(t *testing.T, a *tokenAnswer, want personClaims) {
	t.Helper()
	got := a.claims(t)
	slices.Sort(got.Groups)
	slices.Sort(want.Groups)
	if got.Name != want.Name || got.PreferredUsername != want.PreferredUsername || got.Email != want.Email ||
		!got.EmailVerified || !slices.Equal(got.Groups, want.Groups) {
		t.Errorf("claims %+v, want %+v", got, want)
	}
}

// TestDirectory signs people in through OpenLDAP.
func TestDirectory(t *testing.T) {
	t.Parallel()
	s := startSlapd(t, servers.SlapdOptions{LDIF: specialPeople()})
	strict := startSlapd(t, servers.SlapdOptions{LDIF: specialPeople(), ClientCertificates: true})
	groups := func(matchers ...section) section {
		return section{"groupSearch": section{"baseDN": ldapGroups, "nameAttr": "cn", "userMatchers": matchers}}
	}
	d := startDexWithSources(t,
		ldapConnector("ldaps", s, nil),
		ldapConnector("starttls", s, section{"host": s.Address, "startTLS": true}),
		ldapConnector("plain", s, section{"host": s.Address, "insecureNoSSL": true}),
		ldapConnector("localhost", s, section{"host": strings.Replace(s.TLSAddress, "127.0.0.1", "localhost", 1)}),
		ldapConnector("anonymous", s, section{"bindDN": "", "bindPW": ""}),
		ldapConnector("certified", strict, section{"clientCert": strict.CertFile, "clientKey": strict.KeyFile}),
		ldapConnector("certified-starttls", strict, section{
			"host": strict.Address, "startTLS": true, "clientCert": strict.CertFile, "clientKey": strict.KeyFile,
		}),
		ldapConnector("uncertified", strict, nil),
		ldapConnector("untrusted", s, section{"rootCA": strict.CAFile}),
		ldapConnector("wrong-account", s, section{"bindPW": "not it"}),
		ldapConnector("several-names", s, section{"userSearch": section{
			"baseDN": servers.SlapdBase, "username": []string{"uid", "mail", "cn"}, "idAttr": "DN", "emailSuffix": "example.net",
			"nameAttr": "uid",
		}}),
		ldapConnector("one-level", s, section{"userSearch": section{
			"baseDN": servers.SlapdBase, "username": "uid", "scope": "one", "idAttr": "uid", "emailAttr": "mail",
		}}),
		ldapConnector("two-matchers", s, groups(
			section{"userAttr": "DN", "groupAttr": "member"}, section{"userAttr": "uid", "groupAttr": "memberUid"})),
		ldapConnector("nested", s, groups(section{"userAttr": "DN", "groupAttr": "member", "recursionGroupAttr": "member"})),
		ldapConnector("only-unix", s, section{
			"groupSearch":   groups(section{"userAttr": "uid", "groupAttr": "memberUid"})["groupSearch"],
			"allowedGroups": []string{"unix"},
		}),
	)
	kim := personClaims{Name: "The kim", PreferredUsername: "kim", Email: "kim@example.org", Groups: []string{"team", "circle"}}

	for _, connector := range []string{
		"ldaps", "starttls", "plain", "localhost", "anonymous", "certified", "certified-starttls",
	} {
		t.Run("S0-03 S2-02 "+connector, func(t *testing.T) {
			wantClaims(t, d.mustEnter(t, connector, "kim", passwordOf("kim")), kim)
		})
	}
	for connector, status := range map[string]int{
		"uncertified":   http.StatusServiceUnavailable,  // the server just hangs up
		"untrusted":     http.StatusInternalServerError, // trying again doesn't help
		"wrong-account": http.StatusInternalServerError,
	} {
		t.Run("S2-02 "+connector, func(t *testing.T) {
			wantPage(t, d.passwordLogin(t, connector, "kim", passwordOf("kim")), status, "can't be checked")
		})
	}
	t.Run("S2-02 names with a meaning", func(t *testing.T) {
		wantClaims(t, d.mustEnter(t, "ldaps", joseUID, passwordOf(joseUID)), personClaims{
			Name: "The " + joseUID, PreferredUsername: joseUID, Email: "josx@example.org", Groups: []string{"team"},
		})
		wantClaims(t, d.mustEnter(t, "ldaps", "ann", passwordOf("ann")), personClaims{
			Name: `Ann, Smith \ Co #1`, PreferredUsername: "ann", Email: "ann@example.org", Groups: []string{"team"},
		})
	})
	t.Run("S2-02 several attributes are the name", func(t *testing.T) {
		for _, login := range []string{"ann", "ann@example.org", `Ann, Smith \ Co #1`} {
			wantClaims(t, d.mustEnter(t, "several-names", login, passwordOf("ann")), personClaims{
				Name: "ann", Email: "ann@example.net", Groups: []string{"team"},
			})
		}
	})
	for _, c := range []struct{ name, connector, login, password string }{
		{"wrong password", "ldaps", "kim", "wrong"},
		{"somebody else's password", "ldaps", "kim", passwordOf("ann")},
		{"no password", "ldaps", "kim", ""},
		{"password of NUL", "ldaps", "kim", "\x00"},
		{"no such user", "ldaps", "nobody", "wrong"},
		{"pattern", "ldaps", "ki*", passwordOf("kim")},
		{"filter", "ldaps", "*)(uid=kim", passwordOf("kim")},
		{"user below the level", "one-level", "kim", passwordOf("kim")},
	} {
		t.Run("S2-02 "+c.name, func(t *testing.T) {
			wantPage(t, d.passwordLogin(t, c.connector, c.login, c.password), http.StatusUnauthorized, "Login failed")
		})
	}
	for connector, want := range map[string][]string{
		"two-matchers": {"team", "circle", "unix"},
		"nested":       {"team", "circle", "department", "company"},
		"only-unix":    {"unix"},
	} {
		t.Run("S2-02 groups by "+connector, func(t *testing.T) {
			claims := kim
			claims.Groups = want
			wantClaims(t, d.mustEnter(t, connector, "kim", passwordOf("kim")), claims)
		})
	}
	t.Run("S2-02 not in an allowed group", func(t *testing.T) {
		wantPage(t, d.passwordLogin(t, "only-unix", "ann", passwordOf("ann")), http.StatusForbidden, "not in a group")
	})
	t.Run("S2-02 password grant", func(t *testing.T) {
		d.checkPasswordGrant(t, s)
	})
}

// checkPasswordGrant sends a directory user's password to the token endpoint.
func (d *dex) checkPasswordGrant(t *testing.T, s *servers.Slapd) {
	t.Helper()
	granting := startDex(t, newConfiguration(t).with("connectors", []section{ldapConnector("ldap", s, nil)}).
		with("oauth2", section{"passwordConnector": "ldap", "grantTypes": []string{"password"}}))
	for password, want := range map[string]int{passwordOf(joseUID): http.StatusOK, "wrong": http.StatusBadRequest} {
		answer, err := granting.token(t.Context(), url.Values{
			"grant_type": {"password"}, "username": {joseUID}, "password": {password}, "scope": {"openid email groups"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if answer.status != want {
			t.Errorf("password %q: status %d, error %q, want status %d", password, answer.status, answer.Error, want)
		}
	}
}
