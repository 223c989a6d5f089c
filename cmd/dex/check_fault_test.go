package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/faulttest"
)

// The check accepted files that serve then refused: themes, templates, certificates, authorities, SQLite's folder.
var _ = faulttest.Add("N10", func(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	certificate, key := newPair(t)
	_, otherKey := newPair(t)
	for name, text := range map[string][]byte{
		"good.crt": certificate, "good.key": key, "other.key": otherKey, "empty": nil, "pages/templates/login.html": []byte("{{ if }}"),
	} {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const connector = "connectors:\n- type: TYPE\n  id: x\n  name: X\n  config: "
	for name, c := range map[string]struct{ more, want string }{
		"good":                {"web: {https: ':5554', tlsCert: good.crt, tlsKey: good.key}\n", ""},
		"theme":               {"frontend:\n  theme: nope\n", `6:10: frontend.theme: no theme "nope"`},
		"folder of pages":     {"frontend:\n  dir: nowhere\n", "6:8: frontend.dir: can't open"},
		"template":            {"frontend:\n  dir: pages\n", "6:8: frontend.dir: "},
		"certificate":         {"web:\n  https: ':5554'\n  tlsCert: nope.crt\n  tlsKey: good.key\n", "7:12: web.tlsCert: can't open"},
		"key":                 {"web:\n  https: ':5554'\n  tlsCert: good.crt\n  tlsKey: nope.key\n", "8:11: web.tlsKey: can't open"},
		"key of another":      {"web:\n  https: ':5554'\n  tlsCert: good.crt\n  tlsKey: other.key\n", "7:12: web.tlsCert: "},
		"folder of SQLite":    {"storage:\n  type: sqlite3\n  config: {file: nowhere/dex.db}\n", "7:18: storage.config.file: the directory DIR/nowhere does not exist"},
		"folder as SQLite":    {"storage: {type: sqlite3, config: {file: pages}}\n", "5:41: storage.config.file: DIR/pages is a directory"},
		"storage key":         {"storage: {type: memory, keyFile: nowhere}\n", "5:34: storage.keyFile: can't open"},
		"PostgreSQL":          {"storage: {type: postgres, config: {ssl: {caFile: nowhere}}}\n", "5:50: storage.config.ssl.caFile: can't open"},
		"MySQL":               {"storage: {type: mysql, config: {database: d, ssl: {caFile: empty}}}\n", "storage.config.ssl.caFile: no certificate"},
		"etcd":                {"storage: {type: etcd, config: {endpoints: ['https://e:1'], ssl: {caFile: empty}}}\n", "storage.config.ssl.caFile: empty holds no certificate"},
		"Kubernetes":          {"storage: {type: kubernetes, config: {kubeConfigFile: nowhere}}\n", "storage.config.kubeConfigFile: can't open"},
		"authority":           {strings.Replace(connector, "TYPE", "oidc", 1) + "{issuer: 'https://a.example', clientID: a, rootCAs: [good.crt, nowhere]}\n", "9:74: connectors[0].config.rootCAs[1]: is no PEM"},
		"collector":           {"telemetry:\n  traces: {endpoint: 'https://c.example/v1/traces', rootCA: nowhere}\n", "6:61: telemetry.traces.rootCA: is no PEM"},
		"audit of syslog":     {"audit:\n  outputs: [{type: syslog, address: 'tls://s.example:6514', rootCA: empty}]\n", "audit.outputs[0].rootCA: is no PEM"},
		"private key":         {strings.Replace(connector, "TYPE", "oidc", 1) + "{issuer: 'https://a.example', clientID: a, clientAuthMethod: private_key_jwt, clientKey: nowhere}\n", "connectors[0].config.clientKey: can't open"},
		"directory authority": {strings.Replace(connector, "TYPE", "ldap", 1) + "{host: a.example, rootCA: nowhere, userSearch: {baseDN: dc=a, username: uid, idAttr: uid, emailAttr: mail}}\n", "connectors[0].config.rootCA: can't open"},
		"SAML certificate":    {strings.Replace(connector, "TYPE", "saml", 1) + "{ssoURL: 'https://a.example', ca: nowhere, usernameAttr: n, emailAttr: e}\n", "connectors[0].config.ca: can't open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(dir)
			yaml := "issuer: https://id.example.com\nenablePasswordDB: true\n"
			for _, needed := range []string{"web: {http: ':5556'}\n", "storage: {type: memory}\n"} {
				if section, _, _ := strings.Cut(needed, " "); !strings.Contains(c.more, section) {
					yaml += needed
				}
			}
			yaml += strings.Repeat("\n", 4-strings.Count(yaml, "\n"))
			if err := os.WriteFile("dex.yaml", []byte(yaml+c.more), 0o600); err != nil {
				t.Fatal(err)
			}
			before := names(t, dir)
			out, err := dexCommand("check", "dex.yaml")
			if failed := err != nil; failed != (c.want != "") || !strings.Contains(out, strings.ReplaceAll(c.want, "DIR", dir)) {
				t.Errorf("want %q, got %v:\n%s", c.want, err, out)
			}
			if c.want != "" && !strings.Contains(out, "error: dex.yaml:") {
				t.Errorf("no line:\n%s", out)
			}
			if out, err := dexCommand("check", "--no-files", "dex.yaml"); err != nil {
				t.Errorf("with --no-files: %v\n%s", err, out)
			}
			if after := names(t, dir); after != before {
				t.Errorf("something was written: before %s, after %s", before, after)
			}
		})
	}
})

// dexCommand runs the command line and returns what it printed.
func dexCommand(args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

func names(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// newPair returns a certificate and its key in PEM.
func newPair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"id.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}
