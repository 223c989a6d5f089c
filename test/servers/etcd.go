package servers

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// An EtcdOption changes how an etcd server is reached.
type EtcdOption int

const (
	// EtcdTLS makes the server require TLS and a client certificate from its authority.
	EtcdTLS EtcdOption = iota
	// EtcdAuth makes the server ask for a user name and password.
	EtcdAuth
)

const etcdRoot = "root" // the name that etcd requires

// Etcd is a single-server etcd cluster, which listens on 127.0.0.1.
type Etcd struct {
	// Endpoint is its address, with scheme and port.
	Endpoint string
	// Authority has issued the certificates, and CAFile is its own certificate; both are empty without EtcdTLS.
	Authority *Authority
	CAFile    string

	options           []EtcdOption
	certFile, keyFile string // of clients
	rootPassword      string

	account *account
	process *process // nil while it is stopped
	command command
}

// An EtcdNamespace is an unused part of the keys, and the credentials for it. With EtcdAuth the user has no rights on other
// keys.
type EtcdNamespace struct {
	Endpoint, Namespace       string
	Username, Password        string // empty without EtcdAuth
	CAFile, CertFile, KeyFile string // empty without EtcdTLS
}

// StartEtcd starts a server with empty storage.
func StartEtcd(ctx context.Context, options ...EtcdOption) (*Etcd, error) {
	a, err := newAccount("etcd")
	if err != nil {
		return nil, err
	}
	e := &Etcd{account: a, options: options}
	if err := e.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd server: %w", err), e.Close())
	}
	return e, nil
}

func (e *Etcd) has(option EtcdOption) bool { return slices.Contains(e.options, option) }

func (e *Etcd) init(ctx context.Context) error {
	program, err := exec.LookPath("etcd")
	if err != nil {
		return err
	}
	peers, err := freePort(ctx)
	if err != nil {
		return err
	}
	clients, err := freePort(ctx)
	if err != nil {
		return err
	}
	e.Endpoint = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(clients))
	var secure []string
	if e.has(EtcdTLS) {
		e.Endpoint = strings.Replace(e.Endpoint, "http:", "https:", 1)
		if secure, err = e.certify(); err != nil {
			return err
		}
	}
	peer := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(peers))
	e.command = command{
		program: program,
		args: append(secure,
			"--name=test", "--data-dir="+e.account.path("data"), "--logger=zap", "--log-level=warn",
			"--listen-client-urls="+e.Endpoint, "--advertise-client-urls="+e.Endpoint,
			"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=test="+peer),
		ready: e.answers,
	}
	if err := e.Start(ctx); err != nil {
		return err
	}
	if e.has(EtcdAuth) {
		return e.enableAuth(ctx)
	}
	return nil
}

// certify writes certificates and returns the server's arguments for them.
func (e *Etcd) certify() (args []string, err error) {
	if e.Authority, err = NewAuthority(); err != nil {
		return nil, err
	}
	if e.CAFile, err = e.account.write("ca.pem", e.Authority.PEM); err != nil {
		return nil, err
	}
	certFile, keyFile, err := e.issue("server", "127.0.0.1", "etcd.example")
	if err != nil {
		return nil, err
	}
	if e.certFile, e.keyFile, err = e.issue("client"); err != nil {
		return nil, err
	}
	return []string{
		"--cert-file=" + certFile, "--key-file=" + keyFile, "--trusted-ca-file=" + e.CAFile, "--client-cert-auth",
	}, nil
}

func (e *Etcd) issue(name string, hosts ...string) (certFile, keyFile string, err error) {
	certificate, key, err := e.Authority.Issue(name, hosts...)
	if err != nil {
		return "", "", err
	}
	if certFile, err = e.account.write(name+".pem", certificate); err != nil {
		return "", "", err
	}
	keyFile, err = e.account.write(name+".key", key)
	return certFile, keyFile, err
}

// answers reports whether the server has a leader, which must be itself.
func (e *Etcd) answers(ctx context.Context) error {
	client, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = client.Get(ctx, "ready")
	return err
}

func (e *Etcd) enableAuth(ctx context.Context) error {
	client, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	password := rand.Text()
	if _, err := client.UserAdd(ctx, etcdRoot, password); err != nil {
		return err
	}
	if _, err := client.UserGrantRole(ctx, etcdRoot, etcdRoot); err != nil {
		return err
	}
	if _, err := client.AuthEnable(ctx); err != nil {
		return err
	}
	e.rootPassword = password
	return nil
}

// Client returns a client that may do everything. The caller closes it.
func (e *Etcd) Client(ctx context.Context) (*clientv3.Client, error) {
	settings := clientv3.Config{
		Context: ctx, Endpoints: []string{e.Endpoint}, DialTimeout: time.Second, Logger: zap.NewNop(),
	}
	if e.rootPassword != "" {
		settings.Username, settings.Password = etcdRoot, e.rootPassword
	}
	if e.has(EtcdTLS) {
		certificate, err := tls.LoadX509KeyPair(e.certFile, e.keyFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(e.Authority.PEM)
		settings.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return clientv3.New(settings)
}

// NewNamespace returns a namespace, with EtcdAuth with a user for it.
func (e *Etcd) NewNamespace(ctx context.Context) (EtcdNamespace, error) {
	n := EtcdNamespace{
		Endpoint: e.Endpoint, Namespace: "/" + strings.ToLower(rand.Text()) + "/",
		CAFile: e.CAFile, CertFile: e.certFile, KeyFile: e.keyFile,
	}
	if !e.has(EtcdAuth) {
		return n, nil
	}
	n.Username, n.Password = strings.Trim(n.Namespace, "/"), rand.Text()
	if err := e.allow(ctx, n); err != nil {
		return EtcdNamespace{}, fmt.Errorf("new etcd user: %w", err)
	}
	return n, nil
}

// allow creates a namespace's user, with a role of the same name.
func (e *Etcd) allow(ctx context.Context, n EtcdNamespace) error {
	client, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if _, err := client.RoleAdd(ctx, n.Username); err != nil {
		return err
	}
	if _, err := client.RoleGrantPermission(ctx, n.Username, n.Namespace, clientv3.GetPrefixRangeEnd(n.Namespace),
		clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
		return err
	}
	if _, err := client.UserAdd(ctx, n.Username, n.Password); err != nil {
		return err
	}
	_, err = client.UserGrantRole(ctx, n.Username, n.Username)
	return err
}

// Config returns the storage section of a configuration file for the namespace.
func (n EtcdNamespace) Config() string {
	return fmt.Sprintf(`storage:
  type: etcd
  config:
    endpoints: [%q]
    namespace: %q
    username: %q
    password: %q
    ssl: {caFile: %q, certFile: %q, keyFile: %q}
`, n.Endpoint, n.Namespace, n.Username, n.Password, n.CAFile, n.CertFile, n.KeyFile)
}

// Start starts the server again after Stop, with its data and on its ports.
func (e *Etcd) Start(ctx context.Context) (err error) {
	e.process, err = e.account.start(ctx, e.command)
	return err
}

// Stop shuts the server down.
func (e *Etcd) Stop() error {
	running := e.process
	e.process = nil
	return running.stop()
}

// Close stops the server and removes its files.
func (e *Etcd) Close() error {
	var stopped error
	if e.process != nil {
		stopped = e.Stop()
	}
	return errors.Join(stopped, e.account.remove())
}
