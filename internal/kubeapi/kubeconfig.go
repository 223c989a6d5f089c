package kubeapi

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A kubeConfig is the file that kubectl reads.
type kubeConfig struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string
		Context struct {
			Cluster, User, Namespace string
		}
	}
	Clusters []struct {
		Name    string
		Cluster cluster
	}
	Users []struct {
		Name string
		User user
	}

	folder string // that relative paths in the file start from
}

type cluster struct {
	Server        string
	TLSServerName string `yaml:"tls-server-name"`
	Insecure      bool   `yaml:"insecure-skip-tls-verify"`
	CAFile        string `yaml:"certificate-authority"`
	CAData        string `yaml:"certificate-authority-data"`
	ProxyURL      string `yaml:"proxy-url"`
}

type user struct {
	CertFile  string `yaml:"client-certificate"`
	CertData  string `yaml:"client-certificate-data"`
	KeyFile   string `yaml:"client-key"`
	KeyData   string `yaml:"client-key-data"`
	Token     string
	TokenFile string `yaml:"tokenFile"`
	Username  string
	Password  string

	// Not supported: these need a program of their own, or rights over other users.
	Exec         any
	AuthProvider any `yaml:"auth-provider"`
	As           any
	AsUID        any `yaml:"as-uid"`
	AsGroups     any `yaml:"as-groups"`
	AsUserExtra  any `yaml:"as-user-extra"`
}

// fromKubeConfig returns the connection of the current context of a file, or of the only one.
func fromKubeConfig(path string, log *slog.Logger) (*connection, error) {
	k, err := readKubeConfig(path)
	if err != nil {
		return nil, fmt.Errorf("kubeConfigFile: %w", err)
	}
	c, err := k.connection(log)
	if err != nil {
		return nil, fmt.Errorf("kubeConfigFile %s: %w", path, err)
	}
	return c, nil
}

func readKubeConfig(path string) (*kubeConfig, error) {
	data, err := os.ReadFile(path) //nolint:gosec // G304: the operator's path
	if err != nil {
		return nil, err
	}
	k := &kubeConfig{folder: filepath.Dir(path)}
	if yaml.Unmarshal(data, k) != nil {
		// What the parser says may quote a token.
		return nil, fmt.Errorf("%s is not a kubectl configuration in YAML", path)
	}
	return k, nil
}

func (k *kubeConfig) connection(log *slog.Logger) (*connection, error) {
	cluster, user, namespace, err := k.context()
	if err != nil {
		return nil, err
	}
	c := &connection{namespace: namespace}
	if c.server, err = parseServer(cluster.Server); err != nil {
		return nil, err
	}
	if cluster.ProxyURL != "" {
		if c.proxy, err = url.Parse(cluster.ProxyURL); err != nil {
			return nil, errors.New("proxy-url is not a URL") // it may hold a password
		}
	}
	if c.tls, err = k.tls(cluster, user); err != nil {
		return nil, err
	}
	if cluster.Insecure {
		log.Warn("the certificate of the Kubernetes API server is not checked, as insecure-skip-tls-verify is set: "+
			"anyone on the network path can read and change everything", "server", c.server.Redacted())
	}
	c.credentials, err = k.credentials(user, log)
	return c, err
}

// context returns what the current context refers to.
func (k *kubeConfig) context() (c cluster, u user, namespace string, err error) {
	name := k.CurrentContext
	if name == "" {
		if len(k.Contexts) != 1 {
			return c, u, "", fmt.Errorf("there is no current-context, and there are %d contexts to choose from", len(k.Contexts))
		}
		name = k.Contexts[0].Name
	}
	for _, context := range k.Contexts {
		if context.Name != name {
			continue
		}
		namespace = context.Context.Namespace
		if namespace == "" {
			namespace = "default"
		}
		if err := checkNamespace(namespace); err != nil {
			return c, u, "", err
		}
		if c, err = k.cluster(context.Context.Cluster); err != nil {
			return c, u, "", fmt.Errorf("context %q: %w", name, err)
		}
		if u, err = k.user(context.Context.User); err != nil {
			return c, u, "", fmt.Errorf("context %q: %w", name, err)
		}
		return c, u, namespace, nil
	}
	return c, u, "", fmt.Errorf("there is no context %q", name)
}

func (k *kubeConfig) cluster(name string) (cluster, error) {
	for _, c := range k.Clusters {
		if c.Name == name {
			return c.Cluster, nil
		}
	}
	return cluster{}, fmt.Errorf("there is no cluster %q", name)
}

// user returns the user of a name; the empty name is a user without credentials.
func (k *kubeConfig) user(name string) (user, error) {
	if name == "" {
		return user{}, nil
	}
	for _, u := range k.Users {
		if u.Name == name {
			return u.User, u.User.supported(name)
		}
	}
	return user{}, fmt.Errorf("there is no user %q", name)
}

// supported refuses what would be wrong to pass over.
func (u *user) supported(name string) error {
	for _, setting := range []struct {
		name  string
		value any
	}{
		{"exec", u.Exec},
		{"auth-provider", u.AuthProvider},
		{"as", u.As},
		{"as-uid", u.AsUID},
		{"as-groups", u.AsGroups},
		{"as-user-extra", u.AsUserExtra},
	} {
		if setting.value != nil {
			return fmt.Errorf("user %q has %s, which is not supported; use token, tokenFile, client-certificate "+
				"with client-key, and username with password", name, setting.name)
		}
	}
	return nil
}

func (k *kubeConfig) credentials(u user, log *slog.Logger) (credentials, error) {
	switch {
	case u.TokenFile != "": // like kubectl: before the token, which may be out of date
		return newTokenFile(k.path(u.TokenFile), log)
	case u.Token != "":
		return bearer(u.Token), nil
	case u.Username != "":
		return basic(u.Username, u.Password), nil
	}
	return bearer(""), nil
}

func (k *kubeConfig) tls(c cluster, u user) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         c.TLSServerName,
		InsecureSkipVerify: c.Insecure, //nolint:gosec // G402: the operator asked for it, and is warned
	}
	pem, err := k.material("certificate-authority", c.CAData, c.CAFile)
	if err != nil {
		return nil, err
	}
	if pem != nil {
		if config.RootCAs, err = authorities(pem); err != nil {
			return nil, fmt.Errorf("certificate-authority: %w", err)
		}
	}
	certificate, err := k.certificate(u)
	if err != nil || certificate == nil {
		return config, err
	}
	// Read at each handshake: others renew the files long before the certificate ends.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return k.certificate(u)
	}
	return config, nil
}

// certificate returns the certificate of the client; nil where it has none.
func (k *kubeConfig) certificate(u user) (*tls.Certificate, error) {
	certificate, err := k.material("client-certificate", u.CertData, u.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := k.material("client-key", u.KeyData, u.KeyFile)
	if err != nil {
		return nil, err
	}
	switch {
	case certificate == nil && key == nil:
		return nil, nil
	case certificate == nil || key == nil:
		return nil, errors.New("client-certificate and client-key must be set together")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("client-certificate and client-key: %w", err)
	}
	return &pair, nil
}

// material returns what is given as base64 or in a file, in this order; nil where neither is.
func (k *kubeConfig) material(name, data, file string) ([]byte, error) {
	switch {
	case data != "":
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
		if err != nil {
			return nil, fmt.Errorf("%s-data is not base64", name)
		}
		return decoded, nil
	case file != "":
		content, err := os.ReadFile(k.path(file))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return content, nil
	}
	return nil, nil
}

// path returns a path of the file, where relative ones start from its own folder.
func (k *kubeConfig) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(k.folder, path)
}
