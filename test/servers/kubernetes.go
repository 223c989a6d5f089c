package servers

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kubernetes is an API server for custom resources, which keeps them in its own etcd server. It is Kubernetes's own code, but
// without the rest of a cluster; any namespace may be used. See package kubernetesapi.
//
// Its program is built at each start, from any folder of this module. That takes minutes the first time, and seconds
// afterwards.
type Kubernetes struct {
	// URL is its address.
	URL string
	// Authority has issued the server's certificate. Clients with a certificate from it are the user in its common name.
	Authority *Authority
	CAFile    string

	etcd       *Etcd
	adminToken string
	policyFile string
	mu         sync.Mutex // guards users and the file
	users      map[string]kubernetesUser

	account *account
	process *process // nil while it is stopped
	command command
}

type kubernetesUser struct {
	Token    string
	Password string
	Rules    []KubernetesRule
}

// A KubernetesRule allows what matches each of its lists; "*" matches everything.
type KubernetesRule struct {
	Namespaces []string // the empty one stands for resources without a namespace
	Groups     []string
	Resources  []string
	Verbs      []string
}

// KubernetesRules are the rules in the documentation for a namespace, including the right to create the custom resource
// definitions.
func KubernetesRules(namespace string) []KubernetesRule {
	return []KubernetesRule{
		{
			Namespaces: []string{namespace}, Groups: []string{"dex.coreos.com"}, Resources: []string{"*"},
			Verbs: []string{"get", "list", "watch", "create", "update", "delete"},
		},
		{
			Namespaces: []string{""}, Groups: []string{"apiextensions.k8s.io"},
			Resources: []string{"customresourcedefinitions"}, Verbs: []string{"create"},
		},
	}
}

// A KubernetesNamespace is an unused namespace, and a user with the rights in KubernetesRules.
type KubernetesNamespace struct {
	Namespace string
	// User and Token are those in the kubeconfig.
	User, Token string
	// KubeConfigFile is a configuration like kubectl's.
	KubeConfigFile string
}

// StartKubernetes starts a server without any resource definitions.
func StartKubernetes(ctx context.Context) (*Kubernetes, error) {
	a, err := newAccount("etcd") // any that is not root
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{account: a, adminToken: rand.Text()}
	k.users = map[string]kubernetesUser{"admin": {
		Token: k.adminToken,
		Rules: []KubernetesRule{{Namespaces: []string{"*"}, Groups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}}
	if err := k.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("Kubernetes API server: %w", err), k.Close())
	}
	return k, nil
}

func (k *Kubernetes) init(ctx context.Context) (err error) {
	program, err := k.build(ctx)
	if err != nil {
		return err
	}
	if k.etcd, err = StartEtcd(ctx); err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	k.URL = "https://" + address
	if k.Authority, err = NewAuthority(); err != nil {
		return err
	}
	certificate, key, err := k.Authority.Issue("kubernetes", "127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	files := map[string]string{}
	for name, content := range map[string][]byte{
		"ca.pem": k.Authority.PEM, "server.pem": certificate, "server.key": key, "policy.json": []byte("{}"),
	} {
		if files[name], err = k.account.write(name, content); err != nil {
			return err
		}
	}
	k.CAFile, k.policyFile = files["ca.pem"], files["policy.json"]
	if err := k.writePolicy(); err != nil {
		return err
	}
	k.command = command{
		program: program,
		args: []string{
			"-etcd=" + k.etcd.Endpoint, "-listen=" + address, "-cert=" + files["server.pem"], "-key=" + files["server.key"],
			"-client-ca=" + k.CAFile, "-policy=" + k.policyFile,
		},
		ready: k.ready,
	}
	return k.Start(ctx)
}

// build builds the server's program.
func (k *Kubernetes) build(ctx context.Context) (program string, err error) {
	program = k.account.path("kubernetesapi")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "dex/test/servers/kubernetesapi") //nolint:gosec // G204: ours
	build.Env = append(os.Environ(), "CGO_ENABLED=0")                                                 // as in make test, so that its build is reused: it takes minutes
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return program, k.account.own(program)
}

func (k *Kubernetes) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := k.Do(ctx, http.MethodGet, "/readyz", nil)
	return err
}

// Do sends a request as a user who may do everything, and returns the answer's body. A status other than success is an error.
func (k *Kubernetes) Do(ctx context.Context, method, path string, body any) ([]byte, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.Authority.PEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if body == nil {
		encoded = nil
	}
	request, err := http.NewRequestWithContext(ctx, method, k.URL+path, strings.NewReader(string(encoded)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+k.adminToken)
	request.Header.Set("Content-Type", "application/json")
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, content)
	}
	return content, err
}

// SetUser sets a user's credentials and rights, replacing the previous ones.
func (k *Kubernetes) SetUser(name, token, password string, rules ...KubernetesRule) error {
	k.mu.Lock()
	k.users[name] = kubernetesUser{Token: token, Password: password, Rules: rules}
	k.mu.Unlock()
	return k.writePolicy()
}

// writePolicy replaces the file atomically, because the server may be reading it.
func (k *Kubernetes) writePolicy() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	content, err := json.Marshal(k.users)
	if err != nil {
		return err
	}
	written, err := k.account.write("policy.json.new", content)
	if err != nil {
		return err
	}
	return os.Rename(written, k.policyFile)
}

// NewNamespace creates a namespace with a user.
func (k *Kubernetes) NewNamespace(_ context.Context) (KubernetesNamespace, error) {
	name := "ns-" + strings.ToLower(rand.Text()[:12])
	n := KubernetesNamespace{Namespace: name, User: "user-of-" + name, Token: rand.Text()}
	if err := k.SetUser(n.User, n.Token, "", KubernetesRules(name)...); err != nil {
		return KubernetesNamespace{}, err
	}
	var err error
	n.KubeConfigFile, err = k.WriteKubeConfig(name, map[string]any{"token": n.Token})
	return n, err
}

// WriteKubeConfig writes a configuration like kubectl's for a namespace, with the given user entry.
func (k *Kubernetes) WriteKubeConfig(namespace string, user map[string]any) (path string, err error) {
	type object = map[string]any
	content, err := json.Marshal(object{ // JSON is YAML too
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"contexts": []object{{"name": "test", "context": object{"cluster": "test", "user": "test", "namespace": namespace}}},
		"clusters": []object{{"name": "test", "cluster": object{
			"server": k.URL, "certificate-authority-data": base64.StdEncoding.EncodeToString(k.Authority.PEM),
		}}},
		"users": []object{{"name": "test", "user": user}},
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(k.account.folder, "kubeconfig-"+strings.ToLower(rand.Text()[:12]))
	return path, os.WriteFile(path, content, 0o600)
}

// Config returns the storage section of a configuration file for the namespace.
func (n KubernetesNamespace) Config() string {
	return fmt.Sprintf("storage:\n  type: kubernetes\n  config:\n    kubeConfigFile: %q\n", n.KubeConfigFile)
}

// Start starts the server again after Stop, with its data and on its port.
func (k *Kubernetes) Start(ctx context.Context) (err error) {
	k.process, err = k.account.start(ctx, k.command)
	return err
}

// Stop ends the server at once: a graceful stop would wait for watches.
func (k *Kubernetes) Stop() error {
	k.process.kill()
	k.process = nil
	return nil
}

// Close stops the server and its etcd server, and removes all files.
func (k *Kubernetes) Close() error {
	var errs []error
	if k.process != nil {
		errs = append(errs, k.Stop())
	}
	if k.etcd != nil {
		errs = append(errs, k.etcd.Close())
	}
	return errors.Join(append(errs, k.account.remove())...)
}
