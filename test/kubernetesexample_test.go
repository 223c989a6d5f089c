package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.yaml.in/yaml/v4"

	"dex/internal/connector/connectortest"
	"dex/test/servers"
)

const (
	exampleGuide = "examples/k8s/README.md"
	exampleName  = "dex.example.com:32000"
)

// exampleSite is what somebody has who follows the guide of the example for Kubernetes.
type exampleSite struct {
	*reader
	root    string // of the repository
	names   *names
	api     *servers.Kubernetes
	address string // where Dex listens
	secrets string // the folder of Dex's certificate
	github  *connectortest.GitHub
}

// step types the block of the guide that has a text.
func (s *exampleSite) step(t *testing.T, text string) string {
	t.Helper()
	return s.do(t, blockWith(t, exampleGuide, "sh", text))
}

// TestKubernetesExample follows the guide of the example for Kubernetes: each of its commands is run as printed.
func TestKubernetesExample(t *testing.T) {
	t.Parallel()
	s := &exampleSite{root: t.TempDir(), names: newNames(t), address: freeAddress(t)}
	if err := os.CopyFS(filepath.Join(s.root, "examples"), os.DirFS(filepath.Join(repository, "examples"))); err != nil {
		t.Fatal(err)
	}
	s.reader = newReader(t, s.root, "kubectl")
	s.step(t, "cd examples/k8s")
	t.Run("S1-30: the certificate", s.testCertificate)
	s.names.is(exampleName, s.address)
	trusted := t.TempDir()
	var flags []string
	t.Run("S1-21 S1-32: the API server's flags", func(t *testing.T) {
		ca, err := os.ReadFile(filepath.Join(s.folder, "ssl/ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		flags = flagsOf(t, blocksOf(t, exampleGuide, "flags")[0], swapFile(t, trusted, "openid-ca.pem", string(ca)))
		want := []string{"--oidc-issuer-url=https://dex.example.com:32000", "--oidc-client-id=example-app", flags[2],
			"--oidc-username-claim=email", "--oidc-groups-claim=groups"}
		if !slices.Equal(flags, want) {
			t.Errorf("the guide has the flags %q", flags)
		}
	})
	s.api = startAPIServer(t, s.names, flags...)
	s.environment = append(append(s.environment, s.names.environment()...), "KUBECONFIG="+s.api.AdminKubeConfig,
		"GITHUB_CLIENT_ID=dex", "GITHUB_CLIENT_SECRET=secret")
	t.Run("S1-31: the authority's file in the API server's pod", testExampleMount)
	t.Run("S1-35: the manifests", s.testManifests)
	t.Run("S1-36: rights", s.testRights)
	d := s.startConfigured(t)
	t.Run("S1-39: the readiness probe", func(t *testing.T) {
		if shown := s.do(t, "curl -sk -o /dev/null -w '%{http_code}' https://dex.example.com:32000/healthz"); shown != "200" {
			t.Errorf("it answers %s", shown)
		}
		s.step(t, "curl --cacert ssl/ca.pem")
	})
	t.Run("S1-40: example-app is installed", func(t *testing.T) {
		s.environment = append(s.environment, "GOBIN="+s.bin, "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
		s.step(t, "go install .")
		if _, err := os.Stat(filepath.Join(s.bin, "example-app")); err != nil || s.folder != s.root {
			t.Errorf("in %s, %v", s.folder, err)
		}
	})
	token := s.testSignIn(t)
	list := blockWith(t, exampleGuide, "sh", "/api/v1/nodes")
	t.Run("S1-20 S1-24 S1-46: the token opens the API, though the API server started first", func(t *testing.T) {
		eventuallyLists(t, s.reader, s.api, list, token)
		if status, body := listNodes(t, s.reader, s.api, list, token); status != "200" || !strings.Contains(body, `"NodeList"`) {
			t.Errorf("status %s: %s", status, body)
		}
	})
	t.Run("S1-27: others may not", func(t *testing.T) {
		s.github.Mu.Lock()
		s.github.User = "bob"
		s.github.Mu.Unlock()
		answer, err := newVisitor(d.transport).signIn(t.Context(), d.authURL("/auth/github", nil))
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := d.redeem(t.Context(), answer.Get("code"))
		if err != nil {
			t.Fatal(err)
		}
		status, body := listNodes(t, s.reader, s.api, list, tokens.IDToken)
		if status != "403" || !strings.Contains(body, `User \"bob@example.com\" cannot list resource \"nodes\"`) {
			t.Errorf("status %s: %s", status, body)
		}
	})
	t.Run("S1-47: the token in a kubeconfig", func(t *testing.T) {
		s.testKubeConfig(t, blockWith(t, exampleGuide, "yaml", "USERNAME"), token)
	})
	t.Run("S0-27: the certificate is renewed, and served without a restart", func(t *testing.T) {
		s.do(t, "cd "+s.root+"; cd examples/k8s; ./gencert.sh; cp ssl/cert.pem "+s.secrets+"/tls.crt; cp ssl/key.pem "+s.secrets+"/tls.key")
		renewed := strings.TrimSpace(s.do(t, "openssl x509 -in ssl/cert.pem -noout -serial"))
		eventually(t, patience, "Dex serves it", func() bool {
			shown, err := s.try(t, "openssl s_client -connect "+s.address+" -servername dex.example.com </dev/null 2>/dev/null | openssl x509 -noout -serial")
			return err == nil && strings.TrimSpace(shown) == renewed
		})
	})
}

func (s *exampleSite) testCertificate(t *testing.T) {
	s.step(t, "./gencert.sh")
	for range 2 { // the second time renews the certificate
		s.do(t, "openssl verify -CAfile ssl/ca.pem ssl/cert.pem")
		s.do(t, "openssl x509 -in ssl/cert.pem -noout -checkhost dex.example.com | grep 'does match'")
		s.do(t, "openssl x509 -in ssl/cert.pem -noout -checkend $((364*24*3600))")
		s.do(t, "cp ssl/ca.pem ssl/before.pem; ./gencert.sh; cmp ssl/ca.pem ssl/before.pem; [ $(stat -c %a ssl/key.pem) = 600 ]")
	}
	s.do(t, "sed -i 's/^names=.*/names=DNS:other.example.com,IP:192.0.2.1/' gencert.sh; ./gencert.sh")
	s.do(t, "openssl x509 -in ssl/cert.pem -noout -checkip 192.0.2.1 | grep 'does match'")
	s.do(t, "sed -i 's/^names=.*/names=DNS:dex.example.com/' gencert.sh; ./gencert.sh")
}

func testExampleMount(t *testing.T) {
	var pod struct {
		Spec struct {
			Containers []struct {
				VolumeMounts []struct{ Name, MountPath string } `yaml:"volumeMounts"`
			}
			Volumes []struct {
				Name     string
				HostPath struct{ Path string } `yaml:"hostPath"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(blockWith(t, exampleGuide, "yaml", "hostPath")), &pod); err != nil {
		t.Fatal(err)
	}
	mount, volume := pod.Spec.Containers[0].VolumeMounts[0], pod.Spec.Volumes[0]
	if mount.Name != volume.Name || volume.HostPath.Path != "/etc/ssl/certs" {
		t.Errorf("%+v mounts %+v", mount, volume)
	}
}

// testManifests makes what the guide says, each step twice where it uses apply, and creates the same strictly elsewhere.
func (s *exampleSite) testManifests(t *testing.T) {
	s.step(t, "namespace.yaml")
	t.Run("S1-33: the certificate's secret", func(t *testing.T) {
		s.step(t, "--key=ssl/key.pem\n")
		s.step(t, "kubectl replace")
	})
	t.Run("S1-34: GitHub's secret", func(t *testing.T) { s.step(t, "create secret generic github-client") })
	s.step(t, "create secret generic example-app")
	s.do(t, "kubectl create --validate=strict --dry-run=server -f dex.yaml")
	s.step(t, "kubectl apply -f dex.yaml")
	s.do(t, "kubectl apply --validate=strict -f namespace.yaml -f crds.yaml -f dex.yaml")
	s.do(t, "kubectl delete --wait -f dex.yaml; kubectl create --validate=strict -f dex.yaml")
	s.step(t, "create clusterrole node-reader")
	t.Run("S1-29: the port", func(t *testing.T) {
		shown := s.do(t, `kubectl -n dex get service dex -o jsonpath='{.spec.type} {.spec.ports[0].nodePort} {.spec.ports[0].port}'`)
		if shown != "NodePort 32000 5556" {
			t.Errorf("the service is %s", shown)
		}
	})
	t.Run("three replicas", func(t *testing.T) {
		if shown := s.do(t, `kubectl -n dex get deployment dex -o jsonpath='{.spec.replicas}'`); shown != "3" {
			t.Errorf("there are %s", shown)
		}
	})
}

// testRights shows that the account of the pods may do what it needs, and nothing in other namespaces or in the cluster.
func (s *exampleSite) testRights(t *testing.T) {
	for _, c := range []struct{ what, want string }{
		{"create authcodes.dex.coreos.com -n dex", "yes"},
		{"watch oauth2clients.dex.coreos.com -n dex", "yes"},
		{"get authcodes.dex.coreos.com -n default", "no"},
		{"get secrets -n dex", "no"},
		{"create customresourcedefinitions", "no"},
		{"deletecollection signingkeies.dex.coreos.com -n dex", "no"},
	} {
		shown, _ := s.try(t, "kubectl auth can-i --as=system:serviceaccount:dex:dex "+c.what) // its status says the same
		if lines := strings.Fields(shown); !slices.Contains(lines, c.want) {
			t.Errorf("%s: %s", c.what, shown)
		}
	}
}

// startConfigured starts our binary with what a pod would have: the configuration from the ConfigMap, the files and the variables from the
// Secrets that the Deployment names, and its account's rights.
func (s *exampleSite) startConfigured(t *testing.T) *dex {
	t.Helper()
	config := s.do(t, `kubectl -n dex get configmap dex -o jsonpath='{.data.config\.yaml}'`)
	dir := t.TempDir()
	for _, name := range []string{"tls.crt", "tls.key"} {
		key := strings.ReplaceAll(name, ".", `\.`)
		writeFile(t, dir, name, s.do(t, `kubectl -n dex get secret dex.example.com.tls -o jsonpath='{.data.`+key+`}' | base64 -d`))
	}
	s.secrets = dir
	kubeConfig := s.accountConfig(t, dir)
	s.github = connectortest.NewGitHub(t, true)
	s.github.Users["ada"] = connectortest.GitHubUser{
		ID: 101, Name: "Ada L", Emails: []connectortest.Object{{"email": "ada@example.com", "primary": true, "verified": true}},
		Orgs: []string{"kubernetes"}, Teams: []string{"kubernetes/developers"},
	}
	s.github.Users["bob"] = connectortest.GitHubUser{
		ID: 102, Name: "Bob", Emails: []connectortest.Object{{"email": "bob@example.com", "primary": true, "verified": true}},
		Orgs: []string{"kubernetes"}, Teams: []string{"kubernetes/testers"},
	}
	s.github.RedirectURI = "https://dex.example.com:32000/callback"
	file := writeFile(t, dir, "config.yaml", replaced(t, config,
		"inCluster: true", "kubeConfigFile: "+kubeConfig, "0.0.0.0:5556", s.address, "0.0.0.0:5558", freeAddress(t), "/etc/dex/tls", dir,
		"    orgs:\n", "    hostName: "+strings.TrimPrefix(s.github.URL, "https://")+"\n    rootCA: "+writeFile(t, dir, "github.pem", s.github.CA())+"\n    orgs:\n"))
	cmd := exec.Command(binaries.dex, "serve", file)
	cmd.Env = append(cleanEnvironment(), s.podEnvironment(t)...)
	ca, err := os.ReadFile(filepath.Join(s.folder, "ssl/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	roots.AppendCertsFromPEM([]byte(s.github.CA()))
	d := &dex{
		process: startCommand(t, "dex", cmd), configuration: &configuration{issuer: "https://dex.example.com:32000"},
		transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DialContext: s.names.dial, DisableKeepAlives: true,
		},
	}
	d.waitReady(t)
	return d
}

// podEnvironment resolves the variables of the Deployment.
func (s *exampleSite) podEnvironment(t *testing.T) (environment []string) {
	t.Helper()
	var variables []struct {
		Name      string
		ValueFrom struct{ SecretKeyRef struct{ Name, Key string } }
	}
	list := s.do(t, `kubectl -n dex get deployment dex -o jsonpath='{.spec.template.spec.containers[0].env}'`)
	if err := json.Unmarshal([]byte(list), &variables); err != nil {
		t.Fatal(err)
	}
	for _, v := range variables {
		ref := v.ValueFrom.SecretKeyRef
		value := s.do(t, "kubectl -n dex get secret "+ref.Name+" -o jsonpath='{.data."+ref.Key+"}' | base64 -d")
		if value == "" {
			t.Errorf("the secret %s has no %s", ref.Name, ref.Key)
		}
		environment = append(environment, v.Name+"="+value)
	}
	return environment
}

// accountConfig returns a kubeconfig with the rights of the pods.
func (s *exampleSite) accountConfig(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "kubeconfig")
	s.do(t, "token=$(kubectl -n dex create token dex)\nexport KUBECONFIG="+file+
		"\nkubectl config set-cluster here --server="+s.api.URL+" --certificate-authority="+s.api.CAFile+
		"\nkubectl config set-credentials dex --token=$token"+
		"\nkubectl config set-context here --cluster=here --user=dex --namespace=dex\nkubectl config use-context here")
	return file
}

// testSignIn signs ada in with example-app in a browser, and returns the ID token that it shows.
func (s *exampleSite) testSignIn(t *testing.T) (token string) {
	t.Helper()
	app := "http://" + freeAddress(t)
	t.Run("S1-41 S1-42 S1-43 S1-44 S1-45 S1-48: example-app, by one name for the browser and the API server", func(t *testing.T) {
		command := strings.Fields(blockWith(t, exampleGuide, "sh", "--issuer-root-ca"))
		cmd := exec.Command(filepath.Join(s.bin, command[0]), append(command[1:], "--listen", app, "--redirect-uri", app+"/callback")...)
		cmd.Dir, cmd.Env = s.root, append(cleanEnvironment(), s.names.environment()...)
		p := startCommand(t, "example-app", cmd)
		eventually(t, patience, "the application listens", func() bool { return strings.Contains(p.log.String(), "listening on "+app) })
		b := newBrowser(t, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", s.names.browserRules()))
		b.open(app)
		b.click("#login-button", "#claims") // the form is left blank
		b.wantText("#claims", `"email": "ada@example.com"`)
		b.open(app)
		evaluate[bool](b, `document.querySelector('[name=extra_scopes][value=groups]').checked = true`)
		b.click("#login-button", "#claims")
		b.wantText("#claims", "kubernetes:developers")
		token = strings.TrimSpace(b.text("#id-token"))
	})
	if token == "" {
		t.Fatal("there is no token")
	}
	return token
}

// testKubeConfig puts a token into a kubeconfig as the guide says.
func (s *exampleSite) testKubeConfig(t *testing.T, users, token string) {
	file := writeFile(t, t.TempDir(), "config", replaced(t, users, "ID-TOKEN", token))
	shown := s.do(t, "kubectl --kubeconfig="+file+" --user=USERNAME --server="+s.api.URL+" --certificate-authority="+s.api.CAFile+" get nodes")
	if !strings.Contains(shown, "No resources found") {
		t.Errorf("kubectl says %s", shown)
	}
}
