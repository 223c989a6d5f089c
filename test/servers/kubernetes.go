package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
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
	"time"
)

// Kubernetes is a cluster's API server with its own etcd server, without the rest of a cluster: objects are stored, and their
// rules and rights hold, but nothing runs pods or acts on objects.
type Kubernetes struct {
	// URL is its address.
	URL string
	// Authority has issued the server's certificate. Clients with a certificate from it are the user in its common name.
	Authority *Authority
	CAFile    string
	// AdminKubeConfig is a configuration like kubectl's of a user who may do everything.
	AdminKubeConfig string

	etcd       *Etcd
	adminToken string
	admin      *http.Client

	account *account
	process *process // nil while it is stopped
	command command
}

// StartKubernetes starts a server without any resource definitions. Flags are added to its own.
func StartKubernetes(ctx context.Context, flags ...string) (*Kubernetes, error) {
	return StartKubernetesIn(ctx, nil, flags...)
}

// StartKubernetesIn is StartKubernetes with more variables in the server's environment.
func StartKubernetesIn(ctx context.Context, environment []string, flags ...string) (*Kubernetes, error) {
	// As the same user as this process, whose cache the program is in.
	folder, err := os.MkdirTemp("", "dex-kubernetes-")
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{account: &account{folder: folder}, adminToken: rand.Text(), command: command{env: environment}}
	if err := k.init(ctx, flags); err != nil {
		return nil, errors.Join(fmt.Errorf("Kubernetes API server: %w", err), k.Close())
	}
	return k, nil
}

func (k *Kubernetes) init(ctx context.Context, flags []string) (err error) {
	program, err := Program(ctx, "kube-apiserver")
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
	k.URL = "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if k.Authority, err = NewAuthority(); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.Authority.PEM)
	k.admin = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	secured, err := k.secure()
	if err != nil {
		return err
	}
	if k.AdminKubeConfig, err = k.WriteKubeConfig("default", map[string]any{"token": k.adminToken}); err != nil {
		return err
	}
	k.command = command{
		program: program, env: k.command.env,
		args: append(append(secured,
			"--etcd-servers="+k.etcd.Endpoint,
			"--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(port), "--cert-dir="+k.account.path("certificates"),
			"--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--endpoint-reconciler-type=none", // there is nobody to find the server by its service
			"--profiling=false"), flags...),
		ready: k.ready,
	}
	return k.Start(ctx)
}

// secure writes certificates, keys and the administrator's token, and returns the server's flags for them.
func (k *Kubernetes) secure() (flags []string, err error) {
	certificate, key, err := k.Authority.Issue("kubernetes", "127.0.0.1", "localhost", "kubernetes.default.svc")
	if err != nil {
		return nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	for _, file := range []struct {
		flag, name string
		content    []byte
	}{
		{"client-ca-file", "ca.pem", k.Authority.PEM},
		{"tls-cert-file", "server.pem", certificate},
		{"tls-private-key-file", "server.key", key},
		{"service-account-key-file", "accounts.pem", encode("PUBLIC KEY", public)},
		{"service-account-signing-key-file", "accounts.key", encode("PRIVATE KEY", pkcs8)},
		{"token-auth-file", "tokens.csv", []byte(k.adminToken + ",admin,admin,system:masters\n")},
	} {
		path, err := k.account.write(file.name, file.content)
		if err != nil {
			return nil, err
		}
		flags = append(flags, "--"+file.flag+"="+path)
	}
	k.CAFile = k.account.path("ca.pem")
	return flags, nil
}

func (k *Kubernetes) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := k.Do(ctx, http.MethodGet, "/readyz", nil)
	return err
}

// Do sends a request as a user who may do everything, and returns the answer's body. A status other than success is an error.
func (k *Kubernetes) Do(ctx context.Context, method, path string, body any) ([]byte, error) {
	return k.do(ctx, k.adminToken, method, path, body)
}

func (k *Kubernetes) do(ctx context.Context, token, method, path string, body any) ([]byte, error) {
	var encoded io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		encoded = strings.NewReader(string(text))
	}
	request, err := http.NewRequestWithContext(ctx, method, k.URL+path, encoded)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := k.admin.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = &kubernetesError{status: answer.StatusCode, text: fmt.Sprintf("%s %s: %s: %s", method, path, answer.Status, content)}
	}
	return content, err
}

// A kubernetesError is an answer other than success.
type kubernetesError struct {
	status int
	text   string
}

func (e *kubernetesError) Error() string { return e.text }

// post creates an object, or leaves the one that is there.
func (k *Kubernetes) post(ctx context.Context, path string, object any) error {
	_, err := k.Do(ctx, http.MethodPost, path, object)
	if e, ok := errors.AsType[*kubernetesError](err); ok && e.status == http.StatusConflict {
		return nil
	}
	return err
}

// Kubectl runs kubectl as a user who may do everything, and returns what it prints. An error includes its messages.
func (k *Kubernetes) Kubectl(ctx context.Context, args ...string) (output string, err error) {
	program, err := Program(ctx, "kubectl")
	if err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, program, args...) //nolint:gosec // G204: the tests'
	c.Env = append(os.Environ(), "KUBECONFIG="+k.AdminKubeConfig, "HOME="+k.account.folder)
	out, err := c.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, e.Stderr)
	}
	return string(out), err
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

// Log returns what the server has logged since its start.
func (k *Kubernetes) Log() string {
	log, err := os.ReadFile(k.process.log)
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// Forget makes the server forget all versions of objects but the present ones. It takes a restart, as the server remembers some of
// its own.
func (k *Kubernetes) Forget(ctx context.Context) error {
	client, err := k.etcd.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	now, err := client.Get(ctx, "any")
	if err != nil {
		return err
	}
	if err := k.Stop(); err != nil {
		return err
	}
	if _, err := client.Compact(ctx, now.Header.Revision); err != nil {
		return err
	}
	return k.Start(ctx)
}

// Freeze stops the server as if its machine hung: connections stay open, but nothing answers. Thaw lets it continue.
func (k *Kubernetes) Freeze() (thaw func() error, err error) { return k.process.freeze() }

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
	if k.admin != nil {
		k.admin.CloseIdleConnections()
	}
	if k.etcd != nil {
		errs = append(errs, k.etcd.Close())
	}
	return errors.Join(append(errs, k.account.remove())...)
}
