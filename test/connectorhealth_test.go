package e2e

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"dex/test/servers"
)

// withDirectory adds an LDAP directory to the connectors.
func (c *configuration) withDirectory(s *servers.Slapd) *configuration {
	return c.with("connectors", []section{
		{"type": "mockCallback", "id": "mock", "name": "Example"},
		{"type": "ldap", "id": "ldap", "name": "Directory", "config": section{
			"host": s.TLSAddress, "rootCA": s.CAFile, "bindDN": servers.SlapdAdmin, "bindPW": servers.SlapdPassword,
			"userSearch": section{
				"baseDN": "ou=People," + servers.SlapdBase, "username": "uid", "idAttr": "uid", "emailAttr": "mail", "nameAttr": "cn",
			},
		}},
	})
}

// TestDirectoryThatIsDownAtTheStart shows what operators and users see if a real directory is down, that users of other
// connectors can still sign in, and that it recovers by itself.
func TestDirectoryThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	directory, err := servers.StartSlapd(t.Context(), servers.SlapdOptions{LDIF: `
dn: uid=kim,ou=People,` + servers.SlapdBase + `
objectClass: inetOrgPerson
uid: kim
cn: Kim
sn: Kim
mail: kim@example.org
userPassword: secret
`})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := directory.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := directory.Stop(); err != nil {
		t.Fatal(err)
	}
	d := startDex(t, newConfiguration(t).withoutConsent().withDirectory(directory))
	t.Run("S1-68 it is down", func(t *testing.T) {
		d.eventuallySays(t, "/metrics", `dex_connector_up{connector="ldap",type="ldap"} 0`)
		d.eventuallySays(t, "/healthz/ready?type=short", `"connector/ldap": "FAIL"`)
		d.eventuallySays(t, "/healthz?type=short", `"connector/mock": "PASS"`)
		if got := d.choices(t)["ldap"]; !strings.HasSuffix(got, "Not answering at the moment") {
			t.Errorf("the link to it says %q", got)
		}
		if !strings.Contains(d.log.String(), "connector fails") {
			t.Error("the log does not say that it fails")
		}
		d.mustLogin(t, "mock")
		d.mustLogin(t, "local")
	})
	if err := directory.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("S0-02 it recovers, and each of several sources signs its users in", func(t *testing.T) {
		d.eventuallySays(t, "/metrics", `dex_connector_up{connector="ldap",type="ldap"} 1`)
		d.eventuallySays(t, "/healthz/ready?type=short", `"connector/ldap": "PASS"`)
		choices := d.choices(t)
		for id, want := range map[string]string{"ldap": "Log in with Directory", "mock": "Log in with Example", "local": "Log in with Email"} {
			if choices[id] != want {
				t.Errorf("the link to %s says %q", id, choices[id])
			}
		}
		d.mustLogin(t, "mock")
		d.mustLogin(t, "local")
		v := newVisitor(d.transport)
		form, err := v.get(t.Context(), d.authURL("/auth/ldap", nil))
		if err != nil {
			t.Fatal(err)
		}
		done, err := v.enterPassword(t.Context(), form, "kim", "secret")
		if err != nil {
			t.Fatal(err)
		}
		if done.answer.Get("code") == "" {
			t.Errorf("the login ends with status %d at %s, and the answer %v", done.status, done.url, done.answer)
		}
	})
}

// eventuallySays waits until the telemetry listener answers 200 with a text in it.
func (d *dex) eventuallySays(t *testing.T, path, text string) {
	t.Helper()
	eventually(t, patience, path+" says "+text, func() bool {
		status, body := d.fetch(t, d.telemetry+path)
		return status == http.StatusOK && strings.Contains(body, text)
	})
}

var (
	choiceLink = regexp.MustCompile(`(?s)<a [^>]*href="/dex/auth/([^?"]+)\?[^>]*>(.*?)</a>`)
	markup     = regexp.MustCompile(`<[^>]*>`)
)

// choices returns the texts of the login page's links, by connector.
func (d *dex) choices(t *testing.T) map[string]string {
	t.Helper()
	_, body := d.fetch(t, d.authURL("/auth", nil))
	choices := map[string]string{}
	for _, link := range choiceLink.FindAllStringSubmatch(body, -1) {
		choices[link[1]] = strings.Join(strings.Fields(html.UnescapeString(markup.ReplaceAllString(link[2], " "))), " ")
	}
	return choices
}
