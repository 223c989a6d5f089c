package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"dex/internal/connector/ldap/pool"
	"dex/internal/outbound"
)

// tlsVersions are the values of tlsMinVersion.
var tlsVersions = map[string]uint16{"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (c *Config) tlsMode() pool.TLSMode {
	switch {
	case c.InsecureNoSSL:
		return pool.None
	case c.StartTLS:
		return pool.StartTLS
	default:
		return pool.LDAPS
	}
}

// tlsConfig reads the files. It returns nil without TLS.
func (c *Config) tlsConfig() (*tls.Config, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	certificate, err := c.clientCertificate()
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{
		MinVersion: tlsVersions[c.TLSMinVersion], RootCAs: roots,
		InsecureSkipVerify: c.InsecureSkipVerify, //nolint:gosec // G402: the operator asked for it by a key named insecure
	}
	if certificate != nil {
		settings.Certificates = []tls.Certificate{*certificate}
	}
	return settings, nil
}

// roots returns the authorities to trust, or nil for the system's.
func (c *Config) roots() (*x509.CertPool, error) {
	data, origin := c.RootCAData, "rootCAData"
	if len(data) == 0 {
		if c.RootCA == "" {
			return nil, nil
		}
		var err error
		if data, err = outbound.ReadFile(c.RootCA); err != nil {
			return nil, fmt.Errorf("rootCA: %w", err)
		}
		origin = "rootCA " + c.RootCA
	}
	roots := x509.NewCertPool()
	if c.SystemCAs {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("systemCAs: %w", err)
		}
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: it has no certificate in PEM form", origin)
	}
	return roots, nil
}

// clientCertificate returns the certificate that we present to the servers, or nil.
func (c *Config) clientCertificate() (*tls.Certificate, error) {
	switch {
	case len(c.ClientCertData) > 0 && len(c.ClientKeyData) > 0:
		pair, err := tls.X509KeyPair(c.ClientCertData, c.ClientKeyData)
		if err != nil {
			return nil, errors.New("clientCertData and clientKeyData are not a certificate with its key in PEM form")
		}
		return &pair, nil
	case c.ClientCert != "" && c.ClientKey != "":
		cert, err := outbound.ReadFile(c.ClientCert)
		if err != nil {
			return nil, fmt.Errorf("clientCert: %w", err)
		}
		key, err := outbound.ReadFile(c.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("clientKey: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("clientCert and clientKey: %w", err)
		}
		return &pair, nil
	default:
		return nil, nil
	}
}
