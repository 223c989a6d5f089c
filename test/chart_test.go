package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dex/test/servers"
)

// articleInstall is how the article about oauth2-proxy installs Dex.
const articleInstall = "helm upgrade --install -n dex dex dex/dex --values values.yaml"

// articleValues are the article's values. What it writes as <...> is in capitals.
const articleValues = `
ingress:
  enabled: true
  className: nginx
  hosts:
    - host: "DOMAIN"
      paths:
        - path: /dex
          pathType: Prefix
config:
  issuer: https://DOMAIN/dex
  storage:
    type: kubernetes
    config:
      inCluster: true
  oauth2:
    responseTypes: ["code", "token", "id_token"]
  connectors:
    - type: saml
      id: saml
      name: "Example SAML connection"
      config:
        entityIssuer: https://DOMAIN/dex/callback
        ssoURL: SAML-LOGIN-URL
        caData: CA-CERTIFICATE
        redirectURI: https://DOMAIN/dex/callback
        usernameAttr: username
        emailAttr: email
    - type: microsoft
      id: microsoft
      name: "Example Azure AD OIDC connection"
      config:
        clientID: "CLIENT-ID"
        clientSecret: "CLIENT-SECRET"
        redirectURI: https://DOMAIN/dex/callback
        tenant: 6f7d6a0c-0c5d-4a0e-9d5e-8a3d1a1b6a11
  staticClients:
    - id: DEX-CLIENT-ID
      secret: DEX-CLIENT-SECRET
      name: "Oauth2 Proxy Static Client"
      redirectURIs:
        - https://DOMAIN/oauth2/callback
`

// An operator sits at a shell with helm, kubectl and dex, in a folder with this repository's deploy and Makefile.
type operator struct {
	cluster *servers.Kubernetes
	folder  string
	env     []string
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	cluster, err := servers.StartKubernetes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &operator{cluster: cluster, folder: t.TempDir()}
	programs := t.TempDir()
	links := map[string]string{filepath.Join(programs, "dex"): binaries.release}
	for _, name := range []string{"helm", "kubectl"} {
		path, err := servers.Program(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		links[filepath.Join(programs, name)] = path
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"deploy", "Makefile"} {
		links[filepath.Join(o.folder, name)] = filepath.Join(root, name)
	}
	for link, target := range links {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	o.env = []string{"PATH=" + programs + ":" + os.Getenv("PATH"), "HOME=" + o.folder, "KUBECONFIG=" + cluster.AdminKubeConfig}
	return o
}

// try runs a script, and returns what it prints to both streams.
func (o *operator) try(t *testing.T, script string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = o.folder, append(slices.Clone(o.env), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s\n%w\n%s", script, err, out)
	}
	return string(out), err
}

func (o *operator) run(t *testing.T, script string) string {
	t.Helper()
	out, err := o.try(t, script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// documentBlock matches a block in a document, also within a list.
var documentBlock = regexp.MustCompile("(?ms)^( *)```([a-z]+)\n(.*?)^ *```$")

// documentedCommands returns the only block of commands with a text in docs/kubernetes.md.
func documentedCommands(t *testing.T, with string) string {
	t.Helper()
	return documentedBlock(t, "sh", with)
}

func documentedBlock(t *testing.T, language, with string) string {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join(repository, "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, block := range documentBlock.FindAllStringSubmatch(string(guide), -1) {
		if block[2] == language && strings.Contains(block[3], with) {
			found = append(found, strings.ReplaceAll("\n"+block[3], "\n"+block[1], "\n"))
		}
	}
	if len(found) != 1 {
		t.Fatalf("docs/kubernetes.md has %d blocks of %s with %q", len(found), language, with)
	}
	return found[0]
}

// object returns an object in the namespace dex.
func (o *operator) object(t *testing.T, kind, name string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(o.run(t, "kubectl --namespace dex get --output json "+kind+" "+name)), into); err != nil {
		t.Fatal(err)
	}
}

// uids returns the identities of the objects in the namespace dex, which change when they are deleted and made again.
func (o *operator) uids(t *testing.T) string {
	t.Helper()
	const kinds = "deployments,services,ingresses,secrets,serviceaccounts,roles,rolebindings,customresourcedefinitions,signingkeies,refreshtokens"
	return o.run(t, `kubectl --namespace dex get `+kinds+` --output 'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{"\n"}{end}' | `+
		`grep -v sh.helm.release`)
}

// TestChart installs the chart as the article does, runs the server with what it renders, signs in, upgrades and uninstalls.
func TestChart(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	repo := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(o.folder, "bin"))))
	t.Cleanup(repo.Close)
	idp := startSAMLProvider(t)
	certificate, err := os.ReadFile(idp.current.certificateFile)
	if err != nil {
		t.Fatal(err)
	}
	site := &chartSite{operator: o, host: "sso.example.com", idp: idp}
	values := writeFile(t, o.folder, "values.yaml", site.values(certificate))
	publish := strings.Replace(documentedCommands(t, "make chart")+documentedCommands(t, "helm repo add"), "https://charts.example.com", repo.URL, 1)

	for _, step := range []struct {
		name string // none: no test of its own, which would end with the processes that the step starts
		run  func(t *testing.T)
	}{
		{"S0-05: the chart's repository", func(t *testing.T) {
			o.run(t, publish)
			wantContains(t, o.run(t, "helm search repo dex/dex"), "1.0.0")
		}},
		{"S0-16: the article's installation", func(t *testing.T) {
			o.run(t, documentedCommands(t, "kubectl create namespace")+documentedCommands(t, "create secret generic"))
			wantContains(t, documentedCommands(t, "--install"), articleInstall)
			wantContains(t, o.run(t, articleInstall), "1. Wait until it is ready", "curl https://sso.example.com/dex/.well-known/openid-configuration")
			o.run(t, "helm get manifest -n dex dex | kubectl apply --dry-run=server --validate=strict -f -")
		}},
		{"S0-07: the Ingress", site.wantIngress},
		{"the namespace takes only restricted pods", o.wantRestrictedPods},
		{"", site.start},
		{"S0-06, S0-09: the Secret's configuration has started the server, with the chart's rights", site.wantKeys},
		{"helm test", site.askAsHelmTest},
		{"S0-17: it answers below the domain", site.wantDiscovery},
		{"S0-08: links, redirects and assets behind a proxy that ends TLS", site.wantLinks},
		{"S0-07, S0-08: a whole login through the Ingress", site.signIn},
		{"an upgrade keeps objects", func(t *testing.T) {
			before := o.uids(t)
			text, err := os.ReadFile(values)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, o.folder, "values.yaml", strings.Replace(string(text), "Oauth2 Proxy Static Client", "Renamed", 1))
			o.run(t, strings.Replace(publish, "v1.0.0", "v1.1.0", 1)+"\nhelm repo update\n"+articleInstall)
			wantContains(t, o.run(t, "kubectl get --output yaml --namespace dex deployment dex"), "registry.example.com/dex:v1.1.0")
			if after := o.uids(t); after != before {
				t.Errorf("objects before:\n%s\nafter:\n%s", before, after)
			}
		}},
		{"", site.restart},
		{"sessions outlive an upgrade", site.refresh},
		{"another release leaves the definitions alone", func(t *testing.T) {
			o.run(t, "helm install -n other --create-namespace other dex/dex --values values.yaml")
			if strings.Contains(o.run(t, "helm get manifest -n other other"), "CustomResourceDefinition") {
				t.Error("the other release has taken them over")
			}
			o.run(t, "helm uninstall -n other other")
		}},
		{"a release of upstream's chart is upgraded in place", o.wantUpstreamsReleaseUpgraded},
		{"uninstalling leaves users, clients and tokens", func(t *testing.T) {
			site.server.stop(t)
			before := o.run(t, "kubectl -n dex get signingkeies,refreshtokens -o name")
			wantContains(t, before, "openid-connect-keys", "refreshtoken")
			o.run(t, "helm uninstall --namespace dex dex")
			if after := o.run(t, "kubectl -n dex get signingkeies,refreshtokens -o name"); after != before {
				t.Errorf("objects before:\n%s\nafter:\n%s", before, after)
			}
			if left := o.run(t, "kubectl -n dex get deployment,service,ingress,role -o name"); left != "" {
				t.Errorf("left over:\n%s", left)
			}
		}},
		{"S2-14: GitOps", func(t *testing.T) {
			o.run(t, documentedCommands(t, "kubectl apply -f -"))
			wantContains(t, o.run(t, "kubectl -n dex get deployment,crd -o name"), "deployment.apps/dex", "connectors.dex.coreos.com")
			check := documentedCommands(t, "dex check")
			o.run(t, check)
			writeFile(t, o.folder, "values.yaml", strings.Replace(site.values(certificate), "redirectURIs", "redirectURI", 1))
			if out, err := o.try(t, check, "DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS=true"); err == nil {
				t.Errorf("a misspelt key passes:\n%s", out)
			}
			writeFile(t, o.folder, "values.yaml", documentedBlock(t, "yaml", "issuer:"))
			if out, err := o.try(t, check, "GRAFANA_SECRET=a", "GITHUB_SECRET=b"); err != nil || strings.Contains(out, "warning:") {
				t.Errorf("the guide's own values: %v\n%s", err, out)
			}
		}},
	} {
		if step.name == "" {
			step.run(t)
		} else if !t.Run(step.name, step.run) {
			t.FailNow()
		}
	}
}

func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Fatalf("%q is not in\n%s", part, text)
		}
	}
}

// wantRestrictedPods creates a pod as the Deployment would, and one that asks for more than the namespace allows.
func (o *operator) wantRestrictedPods(t *testing.T) {
	t.Helper()
	var deployment struct {
		Spec struct{ Template map[string]any }
	}
	o.object(t, "deployment", "dex", &deployment)
	pod := deployment.Spec.Template
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	create := func() error {
		pod["metadata"].(section)["name"] = "probe"
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, o.folder, "pod.json", string(text))
		_, err = o.try(t, "kubectl --namespace dex create --dry-run=server -f pod.json")
		return err
	}
	if err := create(); err != nil {
		t.Error(err)
	}
	delete(pod["spec"].(section)["containers"].([]any)[0].(section), "securityContext")
	if err := create(); err == nil || !strings.Contains(err.Error(), `violates PodSecurity "restricted`) {
		t.Errorf("a pod that may gain rights: %v", err)
	}
}
