package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const machinesGuide = "docs/machines.md"

// settings reads a block of a guide as a part of a configuration.
func (c *configuration) settings(t *testing.T, block string) *configuration {
	t.Helper()
	var part section
	must(t, yaml.Unmarshal([]byte(block), &part))
	for key, value := range part {
		list, more := c.root[key].([]any)
		if next, ok := value.([]any); ok && more {
			value = append(list, next...)
		}
		c.with(key, value)
	}
	return c
}

// TestMachinesInKubernetes follows the guide to machines: pods sign in by the tokens that the API server gives to their service accounts.
func TestMachinesInKubernetes(t *testing.T) {
	t.Parallel()
	s := newClusterSite(t)
	const clusterIssuer = "kubernetes.default.svc:443"
	c := s.configuration(t, "dex.example.com:443")
	delete(c.root, "staticClients")
	delete(c.root, "connectors")
	dir := t.TempDir()
	authority := writeFile(t, dir, "ca.crt", "") // the API server's, which is not there yet
	c.settings(t, replaced(t, blockWith(t, machinesGuide, "yaml", "id: pods"), "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", authority))
	c.settings(t, blockWith(t, machinesGuide, "yaml", "REPORTS_CLIENT_SECRET"))
	c.with("oauth2", section{"grantTypes": []string{"client_credentials", exchangeGrant}})
	delete(c.root["oauth2"].(section), "passwordConnector")

	trust := s.trust(t, blockWith(t, machinesGuide, "yml", "AuthenticationConfiguration"))
	s.api = startAPIServer(t, s.names, "--authentication-config="+swapFile(t, s.shared, "authentication.yaml", trust),
		"--service-account-jwks-uri=https://kubernetes.default.svc/openid/v1/jwks")
	s.names.is(clusterIssuer, strings.TrimPrefix(s.api.URL, "https://"))
	swapFile(t, dir, "ca.crt", string(s.api.Authority.PEM))
	d := s.start(t, c, "REPORTS_CLIENT_SECRET=of-the-reports")
	s.environment = append(s.environment, "KUBECONFIG="+s.api.AdminKubeConfig, "CURL_CA_BUNDLE="+filepath.Join(s.folder, "openid-ca.pem"),
		"REPORTS_CLIENT_SECRET=of-the-reports")
	s.do(t, "for name in ci other; do kubectl create namespace $name; kubectl -n $name create serviceaccount builder; done")
	s.do(t, blockWith(t, loginGuide, "sh", "create clusterrole node-reader"))
	s.do(t, blockWith(t, machinesGuide, "sh", "ci-reads-nodes"))

	exchange := replaced(t, blockWith(t, machinesGuide, "sh", "subject_token=$(cat"), "/var/run/secrets/dex/token", dir+"/token", "-sSf", "-sS",
		"jq -er .access_token", "jq -r '.access_token // .'")
	// fetch exchanges a service account's token, and returns the one that it gets, or the error.
	fetch := func(t *testing.T, namespace, audience string) string {
		t.Helper()
		swapFile(t, dir, "token", s.do(t, "kubectl -n "+namespace+" create token builder "+audience))
		return strings.TrimSpace(s.do(t, exchange))
	}
	const ours = "--audience=https://dex.example.com/dex"
	t.Run("the API server shows its keys to nobody yet", func(t *testing.T) {
		if got := fetch(t, "ci", ours); !strings.Contains(got, "server_error") {
			t.Errorf("it gets %s", got)
		}
		d.eventuallyLogs(t, "403")
	})
	s.do(t, blockWith(t, machinesGuide, "sh", "service-account-issuer-discovery"))
	t.Run("the issuer", func(t *testing.T) {
		if shown := s.do(t, blockWith(t, machinesGuide, "sh", "get --raw")); !strings.Contains(shown, `"issuer":"https://kubernetes.default.svc"`) {
			t.Errorf("it is %s", shown)
		}
	})
	t.Run("S1-64 S1-65: a pod", func(t *testing.T) {
		var token string
		eventually(t, patience, "the keys can be read", func() bool {
			token = fetch(t, "ci", ours)
			return !strings.HasPrefix(token, "{")
		})
		wantPart(t, payloadOf(t, token), map[string]any{
			"iss": "https://dex.example.com/dex", "aud": "pods", "name": "system:serviceaccount:ci:builder", "groups": []any{"ci"},
		})
		eventuallyLists(t, s.reader, s.api, s.list, token)
		s.want(t, token, "200", "")
	})
	t.Run("S1-64: pods of other namespaces, and tokens for others", func(t *testing.T) {
		if got := fetch(t, "other", ours); !strings.Contains(got, "You are not in a group that may log in here") {
			t.Errorf("another namespace gets %s", got)
		}
		for _, audience := range []string{"", "--audience=https://vault.example.com"} {
			if got := fetch(t, "ci", audience); !strings.Contains(got, "invalid_request") || !strings.Contains(got, "it was made for") {
				t.Errorf("with %q it gets %s", audience, got)
			}
		}
	})
	t.Run("the pod's manifest", func(t *testing.T) {
		file := writeFile(t, dir, "pod.yaml", blockWith(t, machinesGuide, "yaml", "serviceAccountToken"))
		s.do(t, "kubectl create --validate=strict -f "+file)
	})
	t.Run("S1-65: client credentials", func(t *testing.T) {
		token := strings.TrimSpace(s.do(t, blockWith(t, machinesGuide, "sh", "client_credentials")))
		wantPart(t, payloadOf(t, token), map[string]any{"aud": "reports", "groups": []any{"machines"}})
		file := writeFile(t, dir, "reports-token", token)
		config, err := s.api.WriteKubeConfig("default", map[string]any{"tokenFile": file})
		must(t, err)
		var review struct {
			Status struct{ UserInfo struct{ Username string } }
		}
		must(t, json.Unmarshal([]byte(s.do(t, "kubectl --kubeconfig="+config+" auth whoami -o json")), &review))
		if want := "machine:" + payloadOf(t, token)["sub"].(string); review.Status.UserInfo.Username != want {
			t.Errorf("the API server calls it %s, want %s", review.Status.UserInfo.Username, want)
		}
	})
}
