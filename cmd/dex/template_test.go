package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// command runs a command of dex, and returns what it prints and its error's text.
func command(t *testing.T, args ...string) (printed, failed string) {
	t.Helper()
	root, out := newRoot(), &bytes.Buffer{}
	root.SetOut(out)
	root.SetErr(out)
	root.SetArgs(args)
	if err := root.ExecuteContext(t.Context()); err != nil {
		failed = err.Error()
	}
	return out.String(), failed
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const templated = `{{- /* A comment
of two lines. */ -}}
issuer: {{ getenv "TEST_ISSUER" "http://127.0.0.1:5556/dex" | toJSON }}
storage: {type: memory}
web: {http: "127.0.0.1:5556"}
enablePasswordDB: true
{{ range slice "a" "b" -}}
# {{ . }}
{{ end -}}
logger: {level: {{ getenv "TEST_LEVEL" "info" }}}
`

// Mistakes in what a template becomes are reported with the lines of the template.
func TestTemplatedConfiguration(t *testing.T) {
	t.Setenv("DEX_CONFIG_TEMPLATE", "true")
	for _, ending := range []string{".yaml", ".yml", ".tmpl", ".tpl"} {
		if out, failed := command(t, "check", file(t, "dex"+ending, templated)); failed != "" {
			t.Errorf("%s: %s %s", ending, failed, out)
		}
	}
	if out, failed := command(t, "check", file(t, "dex.json", templated)); failed == "" {
		t.Errorf("a .json file is rendered: %s", out)
	}
	t.Setenv("TEST_LEVEL", "loud")
	path := file(t, "dex.yaml", templated)
	if out, _ := command(t, "check", path); !strings.HasPrefix(out, "error: "+path+":10:17: logger.level: must be") {
		t.Error(out)
	}
	t.Setenv("TEST_LEVEL", "'unclosed")
	if out, _ := command(t, "check", path); !strings.HasPrefix(out, "error: "+path+":10:17: not valid YAML: this quote isn't closed") {
		t.Error(out)
	}
	if out, _ := command(t, "check", file(t, "b.yaml", "a: 1\nb: {{ .Env.TEST_NOT_SET }}\n")); !strings.Contains(out,
		"b.yaml:2:11: the environment variable TEST_NOT_SET is not set") {
		t.Error(out)
	}
	t.Setenv("DEX_CONFIG_TEMPLATE", "false")
	if out, _ := command(t, "check", path); !strings.Contains(out, "not valid YAML") {
		t.Errorf("it is rendered though that is switched off: %s", out)
	}
	t.Setenv("DEX_CONFIG_TEMPLATE", "perhaps")
	if _, failed := command(t, "check", path); failed != "environment: DEX_CONFIG_TEMPLATE: must be true or false" {
		t.Error(failed)
	}
}

// The health check asks the listener that the configuration or the command line names.
func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			return // where a redirect leads must not count
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, r.URL.RequestURI())
	})
	plain, encrypted := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(encrypted.Close)
	port := func(s *httptest.Server) string {
		_, port, err := net.SplitHostPort(s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	for _, c := range []struct{ yaml, flag, asked string }{
		{"telemetry: {http: '0.0.0.0:" + port(plain) + "'}\nweb: {http: '127.0.0.1:1'}", "", "/healthz/ready?type=short"},
		{"web: {http: ':" + port(plain) + "'}", "", "/dex/healthz"},
		{"web: {https: '127.0.0.1:" + port(encrypted) + "'}", "", "/dex/healthz"},
		{"web: {http: '127.0.0.1:1'}", "--web-http-addr=127.0.0.1:" + port(plain), "/dex/healthz"},
		{"web: {http: '127.0.0.1:1'}", "--telemetry-addr=127.0.0.1:" + port(plain), "/healthz/ready?type=short"},
	} {
		args := []string{"healthcheck", file(t, "dex.yaml", "issuer: https://dex.example.com/dex/\n"+c.yaml)}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		status = http.StatusOK
		if out, failed := command(t, args...); failed != "" || !strings.Contains(out, c.asked+" answers 200 OK") {
			t.Errorf("%s %s: %s %s", c.yaml, c.flag, out, failed)
		}
		for _, bad := range []int{http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusFound, http.StatusNotFound} {
			status = bad
			if _, failed := command(t, args...); !strings.Contains(failed, fmt.Sprint(bad)) || !strings.Contains(failed, c.asked) {
				t.Errorf("answer %d: %s", bad, failed)
			}
		}
	}
	if _, failed := command(t, "healthcheck", file(t, "dex.yaml", "web: {http: '127.0.0.1:1'}")); !strings.HasPrefix(failed, "the server doesn't answer") {
		t.Errorf("nobody listens: %s", failed)
	}
	if _, failed := command(t, "healthcheck", file(t, "dex.yaml", "issuer: https://dex.example.com")); failed != "the configuration has no listener to ask" {
		t.Errorf("no listener: %s", failed)
	}
}
