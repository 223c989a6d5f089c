package servers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Vault is HashiCorp Vault with a Transit engine at transit/. It uses TLS and keeps everything in memory. Its program is in the
// folder vault, and is built at each start.
type Vault struct {
	// URL is its address, with the port Port.
	URL  string
	Port int
	// CAFile is the certificate of the authority that issued the server's.
	CAFile string
	// Root is a token that may do everything.
	Root string

	unseal  string
	roots   *x509.CertPool
	account *account
	process *process // nil while it is stopped
}

// StartVault starts a server.
func StartVault(ctx context.Context) (*Vault, error) {
	a, err := newAccount("etcd") // any that is not root
	if err != nil {
		return nil, err
	}
	v := &Vault{account: a}
	if err := v.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("Vault: %w", err), v.Close())
	}
	return v, nil
}

func (v *Vault) init(ctx context.Context) error {
	program, err := v.account.build(ctx, "vault")
	if err != nil {
		return err
	}
	if v.Port, err = freePort(ctx); err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(v.Port))
	v.URL = "https://" + address
	authority, err := NewAuthority()
	if err != nil {
		return err
	}
	v.roots = x509.NewCertPool()
	v.roots.AppendCertsFromPEM(authority.PEM)
	certificate, key, err := authority.Issue("vault", "127.0.0.1")
	if err != nil {
		return err
	}
	if v.CAFile, err = v.account.write("ca.pem", authority.PEM); err != nil {
		return err
	}
	certFile, err := v.account.write("server.pem", certificate)
	if err != nil {
		return err
	}
	keyFile, err := v.account.write("server.key", key)
	if err != nil {
		return err
	}
	secrets := v.account.path("secrets.json")
	v.process, err = v.account.start(ctx, command{
		program: program,
		args:    []string{"-listen=" + address, "-cert=" + certFile, "-key=" + keyFile, "-secrets=" + secrets},
		ready:   func(ctx context.Context) error { return v.ready(ctx, secrets) },
	})
	if err != nil {
		return err
	}
	_, err = v.Do(ctx, v.Root, http.MethodPost, "sys/mounts/transit", map[string]any{"type": "transit"})
	return err
}

func (v *Vault) ready(ctx context.Context, secretsFile string) error {
	text, err := os.ReadFile(secretsFile) //nolint:gosec // G304: ours
	if err != nil {
		return err
	}
	var secrets struct{ Token, Unseal string }
	if err := json.Unmarshal(text, &secrets); err != nil {
		return err
	}
	v.Root, v.unseal = secrets.Token, secrets.Unseal
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = v.Do(ctx, "", http.MethodGet, "sys/health", nil)
	return err
}

// Do sends a request with a token to a path below /v1, and returns the answer's body. A status other than success is an error.
func (v *Vault) Do(ctx context.Context, token, method, path string, body any) ([]byte, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: v.roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, v.URL+"/v1/"+path, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("X-Vault-Token", token)
	}
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

// CreateKey creates a key of one of Transit's types.
func (v *Vault) CreateKey(ctx context.Context, name, typ string) error {
	_, err := v.Do(ctx, v.Root, http.MethodPost, "transit/keys/"+name, map[string]any{"type": typ})
	return err
}

// CreateToken creates a token with parameters of auth/token/create. It has the rights of an HCL policy in addition to those of
// every token.
func (v *Vault) CreateToken(ctx context.Context, name, policy string, options map[string]any) (string, error) {
	_, err := v.Do(ctx, v.Root, http.MethodPut, "sys/policy/"+name, map[string]any{"policy": policy})
	if err != nil {
		return "", err
	}
	options["policies"] = []string{name}
	content, err := v.Do(ctx, v.Root, http.MethodPost, "auth/token/create", options)
	if err != nil {
		return "", err
	}
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	err = json.Unmarshal(content, &made)
	return made.Auth.Token, err
}

// SetSealed seals or unseals the server.
func (v *Vault) SetSealed(ctx context.Context, sealed bool) error {
	path, body := "sys/unseal", map[string]any{"key": v.unseal}
	if sealed {
		path, body = "sys/seal", map[string]any{}
	}
	_, err := v.Do(ctx, v.Root, http.MethodPut, path, body)
	return err
}

// Close stops the server and removes its files.
func (v *Vault) Close() error {
	var stopped error
	if v.process != nil {
		stopped = v.process.stop()
	}
	return errors.Join(stopped, v.account.remove())
}
