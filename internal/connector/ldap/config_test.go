package ldap_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/ldap"
	"dex/internal/federation"
)

func TestKeys(t *testing.T) {
	c, problems := settings(t, `
HOST: a.test
hosts: [b.test:1636]
startTLS: true
insecureSkipVerify: false
rootCA: ca.pem
systemCAs: true
clientCert: cert.pem
clientKey: key.pem
tlsMinVersion: 1.3
bindDN: cn=admin
bindPW: secret
connectTimeout: 3s
operationTimeout: 5s
loginTimeout: 30s
maxConnections: 4
pageSize: 100
usernamePrompt: Email Address
allowedGroups: [staff]
emailVerified: false
accountState: false
userSearch:
  basedn: ou=People
  filter: (objectClass=person)
  username: [uid, mail]
  scope: one
  idAttr: entryUUID
  idEncoding: hex
  emailAttr: email
  nameAttr: cn
  preferredUsernameAttr: uid
  emailSuffix: x.test
  memberOfAttr: memberOf
groupSearch:
  baseDN: ou=Groups
  filter: (objectClass=group)
  scope: sub
  nameAttr: cn
  userMatchers:
  - {userAttr: uid, groupAttr: memberUid, recursionGroupAttr: member}
kerberos:
  enabled: true
  keytabPath: http.keytab
  spn: HTTP/dex.test
  keytabPrincipal: HTTP/dex.test@X.TEST
  maxClockSkew: 60
  expectedRealm: X.TEST
  usernameFromPrincipal: userPrincipalName
  fallbackToPassword: true
`)
	want := &ldap.Config{
		Host: "a.test", Hosts: []string{"b.test:1636"}, StartTLS: true, RootCA: "ca.pem", SystemCAs: true,
		ClientCert: "cert.pem", ClientKey: "key.pem", TLSMinVersion: "1.3", BindDN: "cn=admin", BindPW: "secret",
		ConnectTimeout: 3 * time.Second, OperationTimeout: 5 * time.Second, LoginTimeout: 30 * time.Second, MaxConnections: 4, PageSize: new(100), UsernamePrompt: "Email Address",
		AllowedGroups: []string{"staff"},
		UserSearch: ldap.UserSearch{
			BaseDN: "ou=People", Filter: "(objectClass=person)", Username: []string{"uid", "mail"}, Scope: "one",
			IDAttr: "entryUUID", IDEncoding: "hex", EmailAttr: "email", NameAttr: "cn", PreferredUsernameAttr: "uid", EmailSuffix: "x.test",
			MemberOfAttr: "memberOf",
		},
		GroupSearch: ldap.GroupSearch{
			BaseDN: "ou=Groups", Filter: "(objectClass=group)", Scope: "sub", NameAttr: "cn",
			UserMatchers: []ldap.UserMatcher{{UserAttr: "uid", GroupAttr: "memberUid", RecursionGroupAttr: "member"}},
		},
		Kerberos: ldap.KerberosConfig{
			Enabled: true, KeytabPath: "http.keytab", SPN: "HTTP/dex.test", KeytabPrincipal: "HTTP/dex.test@X.TEST",
			MaxClockSkew: 60, ExpectedRealm: "X.TEST", UsernameFromPrincipal: "userPrincipalName", FallbackToPassword: true,
		},
	}
	if diff := cmp.Diff(want, c); diff != "" || problems.HasErrors() {
		t.Errorf("problems %v, decoded (-want +got):\n%s", problems, diff)
	}
}

func TestDefaults(t *testing.T) {
	c, problems := settings(t, "{host: a.test, userSearch: {baseDN: 'dc=test', username: uid}}")
	want := &ldap.Config{
		Host: "a.test", EmailVerified: true, AccountState: true,
		UserSearch: ldap.UserSearch{BaseDN: "dc=test", Username: []string{"uid"}, IDAttr: "uid", EmailAttr: "mail"},
	}
	if diff := cmp.Diff(want, c); diff != "" || len(problems) > 0 {
		t.Errorf("problems %v, decoded (-want +got):\n%s", problems, diff)
	}
}

// TestProblems has configs and the problems reported for them, from the key on. A tilde marks warnings.
func TestProblems(t *testing.T) {
	const good = "host: a.test, userSearch: {baseDN: 'dc=test', username: uid}"
	const users = "host: a.test, userSearch: {baseDN: 'dc=test', username: "
	const groups = good + ", groupSearch: {baseDN: 'dc=test', nameAttr: cn, "
	const matchers = groups + "userMatchers: [{userAttr: DN, groupAttr: member}]"
	for _, test := range []struct {
		config string
		want   []string
	}{
		{"", []string{"host: is missing", "userSearch.baseDN: is missing", "userSearch.username: is missing"}},
		{"userSearch: {username: [], baseDN: []}", []string{
			"host: is missing", "userSearch.baseDN: must be text", "userSearch.username: is missing",
		}},
		{users + "{}}", []string{"userSearch.username: must be text"}},
		{users + "''}", []string{"userSearch.username: is missing"}},
		{users + "[uid, '']}", []string{"userSearch.username[1]: must not be empty"}},
		{users + "[uid, 'a=b)(c']}", []string{"userSearch.username[1]: \"a=b)(c\" is not the name of an attribute"}},
		{users + "dn}", []string{"~userSearch.username: finds nobody"}},
		{users + "'mail;lang-en'}", nil},
		{users + "uid, idAttr: 'a b', emailSuffix: '@x.test', scope: Sub}", []string{
			"userSearch.idAttr: \"a b\" is not the name of an attribute", "~userSearch.emailSuffix: must be given without the @", "userSearch.scope: must be one of sub, one, not \"Sub\"",
		}},
		{users + "uid, filter: objectClass=person}", []string{"userSearch.filter: is not an LDAP filter"}},
		{users + "uid, filter: '(a=b'}", []string{"userSearch.filter: is not an LDAP filter"}},
		{users + "uid, filter: '(a=b))(|(c=d)'}", []string{"userSearch.filter: is not an LDAP filter"}},
		{users + "uid, filter: \"(a=b)\\n\"}", nil},
		{"host: a.test, userSearch: {baseDN: 'people', username: uid}", []string{"~userSearch.baseDN: is not a distinguished name"}},
		{"host: a.test, userSearch: {baseDN: '<GUID=1>', username: uid}", nil},
		{good + ", insecureNoSSL: true", []string{"~insecureNoSSL: the connection is not encrypted"}},
		{good + ", insecureNoSSL: true, startTLS: true", []string{"~startTLS: has no effect, because insecureNoSSL is set too"}},
		{good + ", insecureSkipVerify: true", []string{"~insecureSkipVerify: the server's certificate is not verified"}},
		{good + ", rootCA: a, rootCAData: YQ==", []string{"~rootCA: has no effect"}},
		{good + ", rootCAData: '?'", []string{"rootCAData: must be bytes in standard base64"}},
		{good + ", systemCAs: true, clientCert: a, clientKeyData: YQ==, tlsMinVersion: 1.1", []string{
			"~systemCAs: has no effect", "~clientCert: has no effect", "clientCertData: clientCertData and clientKeyData belong together",
			`tlsMinVersion: must be one of 1.2, 1.3`,
		}},
		{good + ", bindDN: cn=a", []string{"bindPW: is missing or empty"}},
		{good + ", bindPW: a", []string{"~bindPW: has no effect without bindDN"}},
		{good + ", connectTimeout: -1s, operationTimeout: 5, maxConnections: -1, pageSize: 20001", []string{
			"connectTimeout: must not be negative", "operationTimeout: must be a duration", "maxConnections: must be from 1 to 1000", "pageSize: must be from 0",
		}},
		{good + ", allowedGroups: []", []string{"allowedGroups: names no group"}},
		{good + ", allowedGroups: [a]", []string{"allowedGroups: lets nobody in"}},
		{matchers + "}, allowedGroups: [a, '']", []string{"allowedGroups: must not have an empty name"}},
		{matchers + "}, allowedGroups: [a]", nil},
		{matchers + ", nested: inChain}", nil},
		{matchers + ", nested: yes}", []string{"groupSearch.nested: must be inChain"}},
		{matchers + ", filter: x, scope: all}", []string{"groupSearch.filter: is not an LDAP filter", "groupSearch.scope: must be one of sub, one"}},
		{groups + "nested: inChain, userMatchers: [{userAttr: uid, groupAttr: memberUid, recursionGroupAttr: member}]}", []string{
			"groupSearch.userMatchers[0].userAttr: must be DN", "~groupSearch.userMatchers[0].recursionGroupAttr: has no effect",
		}},
		{groups + "}", []string{"~groupSearch.userMatchers: is missing"}},
		{groups + "userMatchers: [{userAttr: DN}, {groupAttr: member}]}", []string{
			"groupSearch.userMatchers[0].groupAttr: is missing", "~groupSearch.userMatchers[1].userAttr: is empty",
		}},
		{good + ", groupSearch: {baseDN: 'dc=test', userMatchers: [{userAttr: DN, groupAttr: member}]}", []string{"groupSearch.nameAttr: is missing"}},
		{good + ", groupSearch: {userMatchers: [{userAttr: DN, groupAttr: member}]}", []string{"~groupSearch.baseDN: is empty"}},
		{groups + "userAttr: DN, groupAttr: member}", []string{
			"~groupSearch.userAttr: userAttr and groupAttr are deprecated here: write userMatchers: [{userAttr: DN, groupAttr: member}]",
		}},
		{groups + "userAttr: DN, userMatchers: [{}]}", []string{
			"~groupSearch.userAttr: userAttr and groupAttr are deprecated", "~groupSearch.userMatchers: has no effect", "groupSearch.groupAttr: is missing",
		}},
		{good + ", kerberos: {enabled: 1}", []string{"kerberos.enabled: must be true or false"}},
		{good + ", hots: a", []string{`~hots: unknown key, ignored; did you mean "hosts"?`}},
	} {
		_, problems := settings(t, "{"+test.config+"}")
		var got []string
		for _, p := range problems {
			if p.Line == 0 {
				t.Errorf("%s: no place: %s", test.config, p)
			}
			line := strings.TrimPrefix(p.Key, "connectors[0].config.") + ": " + p.Message
			if p.Warning {
				line = "~" + line
			}
			got = append(got, line)
		}
		if !slices.EqualFunc(sorted(got), sorted(test.want), strings.HasPrefix) {
			t.Errorf("%s:\ngot  %q\nwant %q", test.config, got, test.want)
		}
	}
}

func sorted(lines []string) []string { return slices.Sorted(slices.Values(lines)) }

func TestHosts(t *testing.T) {
	for host, good := range map[string]bool{
		"a.test": true, "a.test:636": true, "a.test:": true, "10.0.0.1": true, "::1": true, "[::1]": true, "[::1]:389": true,
		"fe80::1%eth0": true, "a.test:ldaps": true,
		"''": false, "ldap://a.test": false, "a.test/": false, "a.test:0": false, "a.test:65536": false, "a.test:x": false,
		"a:b:c": false, "':389'": false, "'a test'": false,
	} {
		for _, key := range []string{"host: '%s'", "hosts: ['%s']"} {
			_, problems := settings(t, "{"+strings.Replace(key, "%s", strings.Trim(host, "'"), 1)+", userSearch: {baseDN: dc=test, username: uid}}")
			if problems.HasErrors() == good {
				t.Errorf("%s, %s: problems %v", key, host, problems)
			}
		}
	}
}

// authority returns a self-signed certificate for 127.0.0.1 with its key, and both as PEM.
func authority(t *testing.T) (pair tls.Certificate, cert, key []byte) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

func TestTLS(t *testing.T) {
	pair, cert, key := authority(t)
	_, otherCert, _ := authority(t)
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile, keyFile, otherFile := file("cert.pem", cert), file("key.pem", key), file("other.pem", otherCert)
	clients := x509.NewCertPool()
	clients.AddCert(pair.Leaf)
	verified := &tls.Config{Certificates: []tls.Certificate{pair}}
	mutual := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	old := &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}
	base64 := base64.StdEncoding.EncodeToString
	for name, test := range map[string]struct {
		server *tls.Config
		keys   string
		works  bool
	}{
		"authority of the system":        {verified, "", false},
		"authority in a file":            {verified, "rootCA: " + certFile, true},
		"authority beside the system's":  {verified, "systemCAs: true, rootCA: " + certFile, true},
		"authority in the settings":      {verified, "rootCAData: " + base64(cert), true},
		"the settings before the file":   {verified, "rootCA: " + otherFile + ", rootCAData: " + base64(cert), true},
		"another authority":              {verified, "rootCA: " + otherFile, false},
		"not verified":                   {verified, "insecureSkipVerify: true", true},
		"client certificate":             {mutual, "rootCA: " + certFile + ", clientCert: " + certFile + ", clientKey: " + keyFile, true},
		"client certificate in settings": {mutual, "rootCA: " + certFile + ", clientCertData: " + base64(cert) + ", clientKeyData: " + base64(key), true},
		"no client certificate":          {mutual, "rootCA: " + certFile, false},
		"half a client certificate":      {mutual, "rootCA: " + certFile + ", clientCert: " + certFile, false},
		"TLS 1.2":                        {old, "rootCA: " + certFile, true},
		"TLS 1.3 wanted":                 {old, "tlsMinVersion: 1.3, rootCA: " + certFile, false},
	} {
		s := serve(t, test.server, jane())
		c, problems := settings(t, "{host: '"+s.host()+"', userSearch: {baseDN: '"+people+"', username: uid}, "+test.keys+"}")
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		_, ok, err := opened(t, c, nil).Login(t.Context(), connector.Scopes{}, "jane", "foo")
		if ok != test.works || (err == nil) != test.works {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
	}
}

func TestFilesThatCanNotBeRead(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []string{
		"rootCA: " + filepath.Join(dir, "absent.pem"), "rootCA: " + empty, "rootCAData: YQ==",
		"clientCert: " + empty + ", clientKey: " + empty, "clientCertData: YQ==, clientKeyData: YQ==",
	} {
		c, problems := settings(t, "{host: a.test, userSearch: {baseDN: dc=test, username: uid}, "+keys+"}")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if _, err := c.Open(t.Context(), connector.Env{}); err == nil {
			t.Errorf("%s: opens", keys)
		} else if key, _, _ := strings.Cut(keys, ":"); !strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error doesn't name the key: %v", keys, err)
		}
	}
}

func TestDocumentedConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../../docs/connectors/ldap.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		loaded, problems := config.Source{Name: "ldap.md", Data: []byte(
			"issuer: http://dex.test\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\n" + text,
		)}.Load()
		if problems.HasErrors() {
			t.Fatalf("block %d: %v", i, problems)
		}
		if definitions, problems := federation.Read(loaded); len(definitions) == 0 || len(problems) > 0 {
			t.Errorf("block %d: %v", i, problems)
		}
	}
}
