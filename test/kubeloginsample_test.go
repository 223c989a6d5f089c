package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dex/test/servers"
)

// testKubeloginSample follows the sample for Active Directory and the guide to signing in, all the way from the domain to the
// API server, with the ports that they print.
func testKubeloginSample(t *testing.T, s *servers.Samba) {
	for _, address := range []string{"127.0.0.1:32000", "127.0.0.1:8000"} {
		if answersOn(address) {
			t.Fatalf("%s, which the guide has programs listen on, must be free", address)
		}
	}
	root, n := copyExamples(t), newNames(t)
	n.is("dex.example.com:32000", "127.0.0.1:32000")
	edit(t, filepath.Join(root, "examples/config-ad-kubelogin.yaml"),
		"\n    host: localhost:636\n", "\n    host: "+servers.SambaAddress+":636\n", "\n    bindPW: change-me\n", "\n    bindPW: "+adPassword+"\n")
	makeCertificates(t, root, commandsOf(t, filepath.Join(repository, "examples/config-ad-kubelogin.yaml"))[1])
	authority, err := os.ReadFile(filepath.Join(root, "openid-ca.pem"))
	must(t, err)
	startIn(t, root, "bin/dex", "serve", "examples/config-ad-kubelogin.yaml")
	checkKubelogin(t, filepath.Join(root, "openid-ca.pem"), "127.0.0.1:32000")
	flags := flagsOf(t, blocksOf(t, loginGuide, "flags")[0], filepath.Join(root, "openid-ca.pem"))
	api := startAPIServer(t, n, flags...)
	t.Run("S1-86: the API server's flags", func(t *testing.T) {
		want := []string{"--oidc-issuer-url=https://dex.example.com:32000/dex", "--oidc-client-id=kubernetes",
			"--oidc-ca-file=" + filepath.Join(root, "openid-ca.pem"), "--oidc-username-claim=email", "--oidc-groups-claim=groups"}
		if !slices.Equal(flags, want) {
			t.Errorf("the guide has %q", flags)
		}
	})
	_, err = api.Kubectl(t.Context(), "create", "clusterrolebinding", "developers", "--clusterrole=cluster-admin", "--group=developers")
	must(t, err)
	k := newDesk(t, n, authority)
	t.Run("S1-87 S1-88: kubectl is told", func(t *testing.T) { testSetCredentials(t, k) })
	k.do(t, "kubectl config set-cluster here --server="+api.URL+" --certificate-authority="+api.CAFile+
		"; kubectl config set-context here --cluster=here; kubectl config use-context here")
	t.Run("S1-89 S1-90: a user of the domain signs in with a browser", func(t *testing.T) {
		done := k.begin(t, "kubectl --user=oidc cluster-info")
		b := newBrowser(t, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", n.browserRules()))
		address := k.asked(t)
		if address != "http://localhost:8000" {
			t.Errorf("the browser is to show %s", address)
		}
		b.open(address)
		b.enterPassword("test@example.com", adPassword, approveButton)
		b.click(approveButton, "body")
		b.wantText("body", "Authenticated")
		if shown := finish(t, done); !strings.Contains(shown, "Kubernetes control plane") || !strings.Contains(shown, api.URL) {
			t.Errorf("kubectl says %s", shown)
		}
	})
	t.Run("S1-90: no other address than the one that is registered", func(t *testing.T) {
		v := newVisitor(&http.Transport{TLSClientConfig: trusting(api).(*http.Transport).TLSClientConfig, DialContext: n.dial, DisableKeepAlives: true})
		v.http.Transport.(*http.Transport).TLSClientConfig.RootCAs.AppendCertsFromPEM(authority)
		for _, to := range []string{"http://localhost:8000/", "http://127.0.0.1:8000", "http://localhost:8001", "https://localhost:8000"} {
			p, err := v.get(t.Context(), "https://dex.example.com:32000/dex/auth?"+url.Values{
				"client_id": {"kubernetes"}, "redirect_uri": {to}, "response_type": {"code"}, "scope": {"openid"},
			}.Encode())
			must(t, err)
			if p.status != http.StatusBadRequest {
				t.Errorf("%s: status %d", to, p.status)
			}
		}
	})
	t.Run("S1-93: the user of the context", func(t *testing.T) {
		k.do(t, blockWith(t, loginGuide, "sh", "set-context"))
		if shown := k.do(t, "kubectl auth whoami -o json"); !strings.Contains(shown, `"test@example.com"`) || !strings.Contains(shown, `"developers"`) {
			t.Errorf("kubectl says %s", shown)
		}
	})
}

// testSetCredentials types the guide's command for a client with a secret, and looks at what it leaves.
func testSetCredentials(t *testing.T, k *desk) {
	k.do(t, blockWith(t, loginGuide, "sh", "--oidc-client-secret"))
	users := execUsers(t, filepath.Join(k.folder, "config"))
	if len(users) != 1 || users[0].Name != "oidc" {
		t.Fatalf("the users are %+v", users)
	}
	exec := users[0].User.Exec
	data := strings.TrimSpace(k.do(t, "base64 -w 0 openid-ca.pem"))
	want := []string{
		"oidc-login", "get-token", "--oidc-issuer-url=https://dex.example.com:32000/dex", "--oidc-client-id=kubernetes",
		"--oidc-client-secret=" + clientSecret, "--oidc-extra-scope=profile", "--oidc-extra-scope=email", "--oidc-extra-scope=groups",
		"--certificate-authority-data=" + data,
	}
	if exec.APIVersion != "client.authentication.k8s.io/v1beta1" || exec.Command != "kubectl" || !slices.Equal(exec.Args, want) {
		t.Errorf("the entry is %+v", exec)
	}
}
