package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Config says where the cluster is and how to connect to it.
type Config struct {
	// Endpoints are the members, such as https://10.0.0.1:2379. Without a scheme the connection has TLS if SSL asks for
	// it.
	Endpoints []string `key:"endpoints"`
	// Namespace is put before every key as it is: no slash is added to it.
	Namespace string `key:"namespace"`
	Username  string `key:"username"`
	Password  string `key:"password" secret:"file"`
	SSL       SSL    `key:"ssl"`
}

// SSL says how the server and this client prove who they are. The connection has TLS if any of it is set, or if an
// endpoint is https.
type SSL struct {
	ServerName string `key:"serverName"` // in the server's certificate; empty means the host of the endpoint
	CAFile     string `key:"caFile"`     // empty means the system's authorities
	CertFile   string `key:"certFile"`
	KeyFile    string `key:"keyFile"`
}

const (
	noEndpoint      = "needs one endpoint at least, such as https://127.0.0.1:2379"
	withoutPassword = "is set without password; etcd wants both or neither"
	withoutUsername = "is set without username; etcd wants both or neither"
	withoutKeyFile  = "is set without ssl.keyFile; a certificate of the client needs both"
	withoutCertFile = "is set without ssl.certFile; a certificate of the client needs both"
)

// Mistakes returns what is wrong with the values and what is allowed, by dotted key.
func (c *Config) Mistakes() map[string]string {
	found := make(map[string]string)
	if len(c.Endpoints) == 0 {
		found["endpoints"] = noEndpoint
	}
	for i, text := range c.Endpoints {
		if _, err := c.endpoint(text); err != nil {
			found[fmt.Sprintf("endpoints[%d]", i)] = err.Error()
		}
	}
	for _, pair := range []struct {
		key, value, needs, without string
	}{
		{"username", c.Username, c.Password, withoutPassword},
		{"password", c.Password, c.Username, withoutUsername},
		{"ssl.certFile", c.SSL.CertFile, c.SSL.KeyFile, withoutKeyFile},
		{"ssl.keyFile", c.SSL.KeyFile, c.SSL.CertFile, withoutCertFile},
	} {
		if pair.value != "" && pair.needs == "" {
			found[pair.key] = pair.without
		}
	}
	return found
}

// check returns the mistakes as one error.
func (c *Config) check() error {
	mistakes := c.Mistakes()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(mistakes)) {
		errs = append(errs, fmt.Errorf("%s %s", key, mistakes[key]))
	}
	return errors.Join(errs...)
}

// secure reports whether the connection has TLS.
func (c *Config) secure() bool {
	return c.SSL != SSL{} || slices.ContainsFunc(c.Endpoints, func(text string) bool {
		return strings.HasPrefix(strings.ToLower(text), "https://")
	})
}

// endpoint returns an endpoint as the client library wants it: with a scheme, and nothing behind the port. An error does
// not show the text, which may hold a password.
func (c *Config) endpoint(text string) (*url.URL, error) {
	scheme := "http"
	if c.secure() {
		scheme = "https"
	}
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not an address such as https://127.0.0.1:2379")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.User != nil:
		return nil, errors.New("must not hold a name or password; use username and password")
	case u.Scheme != scheme:
		// The library would take the scheme of the first endpoint for all, and drop the ssl settings without a word.
		return nil, errors.New("must be https://, as ssl is set or another endpoint is https")
	case u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must be a host and a port, such as https://127.0.0.1:2379")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
		return nil, errors.New("needs a port from 1 to 65535; etcd's is 2379")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// endpoints returns all endpoints of a configuration without mistakes.
func (c *Config) endpoints() ([]*url.URL, error) {
	all := make([]*url.URL, len(c.Endpoints))
	for i, text := range c.Endpoints {
		var err error
		if all[i], err = c.endpoint(text); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// tls returns the settings of the connection; nil means that it has no TLS.
func (c *Config) tls() (*tls.Config, error) {
	if !c.secure() {
		return nil, nil
	}
	settings := &tls.Config{ServerName: c.SSL.ServerName, MinVersion: tls.VersionTLS12}
	if c.SSL.CAFile != "" {
		pem, err := os.ReadFile(c.SSL.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ssl.caFile: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ssl.caFile: %s holds no certificate", c.SSL.CAFile)
		}
	}
	if c.SSL.CertFile == "" {
		return settings, nil
	}
	if _, err := c.SSL.certificate(nil); err != nil {
		return nil, err
	}
	settings.GetClientCertificate = c.SSL.certificate
	return settings, nil
}

// certificate reads the client's certificate. It is read anew for each connection, because it may be renewed while this
// program runs.
func (s SSL) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("ssl.certFile and ssl.keyFile: %w", err)
	}
	return &pair, nil
}
