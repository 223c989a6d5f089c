package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/test/servers"
)

// startAPIServer starts an API server that finds servers by names.
func startAPIServer(t *testing.T, n *names, flags ...string) *servers.Kubernetes {
	t.Helper()
	k, err := servers.StartKubernetesIn(t.Context(), n.environment(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for line := range strings.Lines(k.Log()) {
				if strings.HasPrefix(line, "E") {
					t.Log(line)
				}
			}
		}
		closeServer(t, k)
	})
	return k
}

// swapFile writes a file, or another one in its place, whole at once.
func swapFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.Rename(writeFile(t, dir, name+".new", content), path))
	return path
}

// flagsOf returns the flags in a block, one a line, with the real path of the file of the authority.
func flagsOf(t *testing.T, block, caFile string) []string {
	t.Helper()
	return strings.Fields(replaced(t, block, "/etc/ssl/certs/openid-ca.pem", caFile))
}

// indented returns a PEM file as a part of a YAML text.
func indented(text []byte, by int) string {
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n"+strings.Repeat(" ", by))
}

// listNodes asks for the list of nodes as a guide does, and returns the status and the answer.
func listNodes(t *testing.T, r *reader, k *servers.Kubernetes, guide, token string) (status, body string) {
	t.Helper()
	command := replaced(t, strings.TrimSpace(guide), "https://HOST:443", k.URL, "curl ", `curl -sS -w '\n%{http_code}' `)
	shown := r.do(t, fmt.Sprintf("token=%s\n%s", token, command))
	end := strings.LastIndex(shown, "\n")
	return shown[end+1:], shown[:end]
}

// eventuallyLists waits until a token may list nodes: an API server looks for Dex every ten seconds until it finds it.
func eventuallyLists(t *testing.T, r *reader, k *servers.Kubernetes, guide, token string) {
	t.Helper()
	eventually(t, patience, "the API server has found Dex", func() bool {
		status, _ := listNodes(t, r, k, guide, token)
		return status != "401"
	})
}
