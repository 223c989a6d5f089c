package kubeapi

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parse reads a configuration that stands in a file.
func parse(t *testing.T, text string) (*connection, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	c := Config{KubeConfigFile: path}
	connection, err := c.connection(options{}, slog.New(slog.NewTextHandler(&logged, nil)))
	return connection, logged.String(), err
}

const twoContexts = `
current-context: b
contexts:
- {name: a, context: {cluster: one, user: somebody}}
- {name: b, context: {cluster: two, user: somebody, namespace: team}}
clusters:
- {name: one, cluster: {server: "https://one.example"}}
- {name: two, cluster: {server: "https://two.example:6443/prefix", tls-server-name: other.example, proxy-url: "http://proxy:3128"}}
users:
- {name: somebody, user: {token: t0ken, username: u, password: p}}
`

func TestKubeConfigOfTheCurrentContext(t *testing.T) {
	c, logged, err := parse(t, twoContexts)
	if err != nil {
		t.Fatal(err)
	}
	if c.server.String() != "https://two.example:6443/prefix" || c.namespace != "team" || c.proxy.Host != "proxy:3128" {
		t.Errorf("got %+v", c)
	}
	if c.tls.ServerName != "other.example" || c.tls.InsecureSkipVerify {
		t.Errorf("got the TLS settings %+v", c.tls)
	}
	if got := c.credentials.header(); got != "Bearer t0ken" {
		t.Errorf("got the credentials %q", got)
	}
	if logged != "" {
		t.Errorf("logged: %s", logged)
	}
}

func TestKubeConfigWithOneContextNeedsNoCurrent(t *testing.T) {
	c, _, err := parse(t, `
contexts: [{name: a, context: {cluster: one}}]
clusters: [{name: one, cluster: {server: "https://one.example"}}]
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.namespace != "default" || c.credentials.header() != "" {
		t.Errorf("got namespace %q and credentials %q", c.namespace, c.credentials.header())
	}
}

func TestInsecureKubeConfigIsWarnedOf(t *testing.T) {
	c, logged, err := parse(t, strings.Replace(twoContexts, "tls-server-name: other.example", "insecure-skip-tls-verify: true", 1))
	if err != nil {
		t.Fatal(err)
	}
	if !c.tls.InsecureSkipVerify || !strings.Contains(logged, "insecure-skip-tls-verify") {
		t.Errorf("insecure is %v; logged: %s", c.tls.InsecureSkipVerify, logged)
	}
}

func TestKubeConfigMistakes(t *testing.T) {
	user := func(text string) string {
		return strings.Replace(twoContexts, "{token: t0ken, username: u, password: p}", text, 1)
	}
	for want, text := range map[string]string{
		"exec, which is not supported":          user(`{exec: {command: aws}}`),
		"auth-provider, which is not supported": user(`{auth-provider: {name: gcp}}`),
		"has as, which is not supported":        user(`{token: x, as: root}`),
		"as-groups, which is not supported":     user(`{token: x, as-groups: [masters]}`),
		"must be set together":                  user(`{client-certificate-data: YQ==}`),
		"client-key-data is not base64":         user(`{client-key-data: "%"}`),
		"read token":                            user(`{tokenFile: none}`),
		"certificate-authority: open":           strings.Replace(twoContexts, "tls-server-name", "certificate-authority", 1),
		"certificate-authority: no certificate": strings.Replace(twoContexts, "tls-server-name: other.example", "certificate-authority-data: YQ==", 1),
		`no context "c"`:                        strings.Replace(twoContexts, "current-context: b", "current-context: c", 1),
		"2 contexts to choose from":             strings.Replace(twoContexts, "current-context: b", "", 1),
		`no cluster "three"`:                    strings.Replace(twoContexts, "cluster: two", "cluster: three", 1),
		`no user "nobody"`:                      strings.ReplaceAll(twoContexts, "user: somebody", "user: nobody"),
		`namespace "../x"`:                      strings.Replace(twoContexts, "namespace: team", "namespace: ../x", 1),
		"want https://host:port":                strings.Replace(twoContexts, "https://two.example:6443/prefix", "two.example", 1),
		"neither a user nor a query":            strings.Replace(twoContexts, "https://two", "https://user:hidden@two", 1),
		"not a kubectl configuration":           "a: b: hidden",
	} {
		_, _, err := parse(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
			continue
		}
		if strings.Contains(err.Error(), "hidden") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}
