package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
)

// The certificates by which Dex shows other servers who it is expired without a word, too.
var _ = faulttest.Add("O7", func(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	cert, private := dir+"/crt", dir+"/key"
	pair := fmt.Sprintf("certFile: %s, keyFile: %s", cert, private)
	for storage, settings := range map[string]string{
		"postgres": "host: db, ssl: {" + pair + "}",
		"mysql":    "host: db, database: dex, ssl: {" + pair + "}",
		"etcd":     "endpoints: [\"https://etcd:2379\"], ssl: {" + pair + "}",
	} {
		yaml := strings.Replace(configuration, "{type: memory}", "{type: "+storage+", config: {"+settings+"}}", 1)
		wantExpired(t, yaml, "storage.config.ssl.certFile")
	}
	for key, connector := range map[string]string{
		"config.clientCert": `- {type: ldap, id: ldap, name: LDAP, config: {host: "ldap.test:636", clientCert: %s, clientKey: %s,
   userSearch: {baseDN: dc=test, username: uid, idAttr: uid, emailAttr: mail, nameAttr: cn}}}`,
		"config.spCert": `- {type: saml, id: saml, name: SAML, config: {ssoURL: "https://idp.test/sso", ca: %s, spCert: %[1]s, spKey: %s,
   redirectURI: "http://dex.test/dex/callback", usernameAttr: name, emailAttr: email}}`,
	} {
		connector = fmt.Sprintf(connector, cert, private)
		wantExpired(t, strings.Replace(configuration, "staticClients:", connector+"\nstaticClients:", 1), key)
	}
})

// wantExpired checks that a look at the files of a configuration warns of the one under a key.
func wantExpired(t *testing.T, yaml, key string) {
	t.Helper()
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	checked := plan.CheckFiles()
	if report := app.Report(checked); checked.Fatal() || !strings.Contains(report, key+": the certificate expired at") {
		t.Errorf("%s: the check says %q", key, report)
	}
}
