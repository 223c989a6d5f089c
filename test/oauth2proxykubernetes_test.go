package e2e

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"dex/test/servers"
)

// The newest releases with the definitions of the guide's custom resources.
const (
	gatewayAPI = "sigs.k8s.io/gateway-api@v1.6.3"
	traefik    = "github.com/traefik/traefik/v3@v3.7.13"
)

// TestOAuth2ProxyInKubernetes applies the guide to a real API server, which accepts the tokens that oauth2-proxy passes on.
func TestOAuth2ProxyInKubernetes(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.issue(t, 2)
	address := freeAddress(t)
	c := newConfiguration(t).withoutConsent().withTLS(t, writeFile(t, dir, "tls.crt", cert), writeFile(t, dir, "tls.key", key))
	c.with("staticClients", []section{{
		"id": proxyClientID, "name": "Dashboard", "secret": proxyClientSecret, "redirectURIs": []string{"http://" + address + "/oauth2/callback"},
	}})
	c.with("enablePasswordDB", false).with("staticPasswords", nil)
	d := startServer(t, binaries.dex, c, ca.pool())
	caFile := writeFile(t, dir, "ca.pem", ca.pem())
	k, err := servers.StartKubernetes(t.Context(), "--oidc-issuer-url="+d.issuer, "--oidc-client-id="+proxyClientID,
		"--oidc-username-claim=email", "--oidc-groups-claim=groups", "--oidc-ca-file="+caFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, k) })

	t.Run("S2-12: a dashboard acts with its user's token", func(t *testing.T) {
		p := runAuthProxy(t, "http://"+address, []string{
			"--provider=oidc", "--oidc-issuer-url=" + d.issuer, "--provider-ca-file=" + caFile, "--http-address=" + address,
			"--scope=openid profile email groups", "--email-domain=*", "--approval-prompt=auto", "--cookie-secure=false",
			"--upstream=" + k.URL, "--ssl-upstream-insecure-skip-verify",
			"--pass-authorization-header=true", "--set-authorization-header=true",
		})
		p.waitReady(t)
		checkDashboard(t, k, p, ca)
	})
	g := &guideOnKubernetes{k}
	t.Run("the commands", g.checkCommands)
	t.Run("the manifests", g.checkManifests)
	t.Run("S0-21: the article's manifest", func(t *testing.T) {
		g.kubectl(t, "create", "namespace", "oauth2-proxy-ns")
		g.apply(t, article)
	})
	t.Run("restricted pods", g.checkPod)
}

// checkDashboard asks the API server for nodes, as the signed-in user, whose group may list them.
func checkDashboard(t *testing.T, k *servers.Kubernetes, p *authProxy, ca *authority) {
	g := &guideOnKubernetes{k}
	g.kubectl(t, "create", "clusterrole", "nodes", "--verb=list", "--resource=nodes")
	g.kubectl(t, "create", "clusterrolebinding", "nodes", "--clusterrole=nodes", "--group=authors")
	a := &arrival{visitor: newVisitor(newTransport(ca.pool()))}
	var nodes *page
	eventually(t, patience, "the API server knows Dex's keys", func() bool {
		nodes = a.ask(t, p.url+"/oauth2/start?rd=/api/v1/nodes")
		return nodes.status != http.StatusUnauthorized
	})
	if nodes.status != http.StatusOK || !strings.Contains(nodes.body, `"NodeList"`) {
		t.Errorf("nodes: status %d\n%s", nodes.status, nodes.body)
	}
	secrets := a.ask(t, p.url+"/api/v1/secrets")
	if secrets.status != http.StatusForbidden || !strings.Contains(secrets.body, "kilgore@kilgore.trout") {
		t.Errorf("secrets: status %d\n%s", secrets.status, secrets.body)
	}

	// What an ingress passes on.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, k.URL+"/api/v1/nodes", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", a.ask(t, p.url+"/oauth2/auth").header.Get("Authorization"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.Authority.PEM)
	direct, err := newVisitor(newTransport(roots)).visit(r)
	if err != nil {
		t.Fatal(err)
	}
	if direct.status != http.StatusOK {
		t.Errorf("with the token of /oauth2/auth: status %d\n%s", direct.status, direct.body)
	}
}

// guideOnKubernetes follows the guide on an API server.
type guideOnKubernetes struct{ *servers.Kubernetes }

func (g *guideOnKubernetes) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := g.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// apply applies a manifest, in which nothing may be unknown.
func (g *guideOnKubernetes) apply(t *testing.T, manifest string) {
	t.Helper()
	t.Log(g.kubectl(t, "apply", "--server-side", "--force-conflicts", "--validate=strict",
		"-f", writeFile(t, t.TempDir(), "manifest.yaml", manifest)))
}

// checkCommands runs the commands that make the secrets, and has oauth2-proxy check them.
func (g *guideOnKubernetes) checkCommands(t *testing.T) {
	kubectl, err := servers.Program(t.Context(), "kubectl")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range guideBlocks(t, "sh") {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=" + filepath.Dir(kubectl) + ":" + os.Getenv("PATH"), "KUBECONFIG=" + g.AdminKubeConfig, "HOME=" + cmd.Dir}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "secret/oauth2-proxy created") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	var secret struct{ Data map[string]string }
	if err := json.Unmarshal([]byte(g.kubectl(t, "-n", "apps", "get", "secret", "oauth2-proxy", "-o", "json")), &secret); err != nil {
		t.Fatal(err)
	}
	env := cleanEnvironment()
	for name, key := range map[string]string{"CLIENT_SECRET": "client-secret", "COOKIE_SECRET": "cookie-secret"} {
		value, err := base64.StdEncoding.DecodeString(secret.Data[key])
		if err != nil || strings.ContainsAny(string(value), "\n ") || len(value) < 32 {
			t.Errorf("%s is %q: %v", key, value, err)
		}
		env = append(env, "OAUTH2_PROXY_"+name+"="+string(value))
	}
	check := exec.CommandContext(t.Context(), oauth2ProxyProgram(t), append(argsOf(t, guideDeployment(t)), "--config-test")...)
	check.Env = env
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("oauth2-proxy --config-test: %v\n%s", err, out)
	}
}

// checkManifests applies each manifest, with the definitions of custom resources as they were released.
func (g *guideOnKubernetes) checkManifests(t *testing.T) {
	definitions, err := os.ReadFile(filepath.Join(moduleFolder(t, traefik), "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"))
	if err != nil {
		t.Fatal(err)
	}
	g.apply(t, string(definitions))
	g.route(t, "standard")
	for _, block := range guideBlocks(t, "yaml") {
		switch {
		case strings.HasPrefix(block, "staticClients:"):
			checkClients(t, block)
			continue
		case strings.HasPrefix(block, "issuer:"): // Dex's configuration for one click, which TestOAuth2ProxyOneClick follows
			continue
		case strings.Contains(block, "ExternalAuth"):
			g.route(t, "experimental")
		}
		eventually(t, patience, "the definitions are in force", func() bool {
			_, err := g.Kubectl(t.Context(), "get", "httproutes,ingressroutes,middlewares", "-A")
			return err == nil
		})
		g.apply(t, block)
	}
}

// route defines HTTPRoute.
func (g *guideOnKubernetes) route(t *testing.T, channel string) {
	t.Helper()
	name := filepath.Join(moduleFolder(t, gatewayAPI), "config/crd", channel, "gateway.networking.k8s.io_httproutes.yaml")
	definition, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	g.apply(t, string(definition))
}

// checkClients has dex check a configuration with these clients.
func checkClients(t *testing.T, block string) {
	t.Helper()
	var clients struct {
		StaticClients []section `yaml:"staticClients"`
	}
	if err := yaml.Unmarshal([]byte(block), &clients); err != nil {
		t.Fatal(err)
	}
	c := newConfiguration(t).with("staticClients", clients.StaticClients)
	c.with("connectors", []section{{"type": "mockCallback", "id": "partner-a-saml", "name": "Partner A"}})
	cmd := exec.CommandContext(t.Context(), binaries.dex, "check", c.write(t))
	cmd.Env = append(cleanEnvironment(), "OAUTH2_PROXY_CLIENT_SECRET=a-secret-of-the-proxy", "PARTNER_A_SECRET=a-secret-of-the-partner")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// checkPod creates the Deployment's pod where only restricted ones may be.
func (g *guideOnKubernetes) checkPod(t *testing.T) {
	g.kubectl(t, "label", "namespace", "apps", "pod-security.kubernetes.io/enforce=restricted")
	g.kubectl(t, "-n", "apps", "create", "serviceaccount", "default") // a controller's work in a whole cluster
	var deployment struct {
		Spec struct {
			Template struct {
				Spec json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(g.kubectl(t, "-n", "apps", "get", "deployment", "oauth2-proxy", "-o", "json")), &deployment); err != nil {
		t.Fatal(err)
	}
	pod := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "apps"}, "spec": %s}`, deployment.Spec.Template.Spec)
	g.kubectl(t, "create", "--dry-run=server", "-f", writeFile(t, t.TempDir(), "pod.json", pod))
}

// moduleFolder returns the folder of a Go module of which only files are needed.
func moduleFolder(t *testing.T, module string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	var downloaded struct{ Dir, Error string }
	if decoding := json.Unmarshal(out, &downloaded); err != nil || decoding != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return downloaded.Dir
}
