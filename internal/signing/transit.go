package signing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// transitTimeout bounds each question to Vault, its repetition included.
	transitTimeout = 5 * time.Second
	// largestAnswer is in bytes. A key with a thousand versions takes half of it.
	largestAnswer = 1 << 20
	// longestMessage is how many bytes of Vault's words an error has.
	longestMessage = 500
	// idleConnections are kept open, because a handshake takes longer than a signature.
	idleConnections = 32
)

// transit speaks with the Transit engine of Vault or OpenBao about one key.
type transit struct {
	base      *url.URL
	token     string
	namespace string
	keyName   string
	client    *http.Client
}

func newTransit(cfg VaultConfig) (*transit, error) {
	base, err := url.Parse(cfg.Addr)
	if err != nil {
		return nil, errors.New("the address is not a URL") // not quoted, it may hold a password
	}
	carrier := cfg.Transport
	if carrier == nil {
		if carrier, err = overTheNetwork(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	return &transit{
		base: base.JoinPath("v1"), token: cfg.Token, namespace: cfg.Namespace, keyName: cfg.KeyName,
		client: &http.Client{Transport: carrier, CheckRedirect: checkRedirect},
	}, nil
}

// overTheNetwork trusts the authorities of a file in PEM, or those of the system where it is empty.
func overTheNetwork(caFile string) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile) //nolint:gosec // G304: the operator names it
		if err != nil {
			return nil, fmt.Errorf("certificate authorities for Vault: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authorities for Vault: there is no certificate in %s", caFile)
		}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings,
		MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: time.Minute,
	}, nil
}

// checkRedirect follows a standby server to the active one. The token goes along, so never out of TLS.
func checkRedirect(next *http.Request, before []*http.Request) error {
	if len(before) > 1 {
		return errors.New("more than one redirect")
	}
	if before[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("redirect from https to http")
	}
	return nil
}

// A refusal is an answer of Vault that isn't the one asked for.
type refusal struct {
	status int
	says   []string
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("Vault answered %d", r.status)
	if len(r.says) == 0 {
		return text
	}
	// Some are written over several lines.
	said := strings.Join(strings.Fields(strings.Join(r.says, "; ")), " ")
	return text + ": " + said[:min(len(said), longestMessage)]
}

// call asks Vault and decodes the answer. Everything asked here may be asked twice.
func (t *transit) call(ctx context.Context, method string, in, out any, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, transitTimeout)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	answer, status, err := t.send(ctx, method, body, path)
	if err != nil && ctx.Err() == nil {
		answer, status, err = t.send(ctx, method, body, path) // the connection was lost, maybe while it was idle
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var failed struct{ Errors []string }
		_ = json.Unmarshal(answer, &failed) // a proxy may have answered; then the status says enough
		return &refusal{status, failed.Errors}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("answer of Vault: %w", err)
	}
	return nil
}

func (t *transit) send(ctx context.Context, method string, body []byte, path []string) (answer []byte, status int, err error) {
	r, err := http.NewRequestWithContext(ctx, method, t.base.JoinPath(path...).String(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("X-Vault-Token", t.token)
	r.Header.Set("X-Vault-Request", "true") // what a Vault Agent asks for, as a guard against forged requests
	if t.namespace != "" {
		r.Header.Set("X-Vault-Namespace", t.namespace)
	}
	resp, err := t.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is of no use
	answer, err = io.ReadAll(io.LimitReader(resp.Body, largestAnswer+1))
	if err != nil {
		return nil, 0, fmt.Errorf("answer of Vault: %w", err)
	}
	if len(answer) > largestAnswer {
		return nil, 0, fmt.Errorf("answer of Vault is longer than %d bytes", largestAnswer)
	}
	return answer, resp.StatusCode, nil
}

// A transitKey is what Vault tells about a key.
type transitKey struct {
	Type          string                     `json:"type"`
	Derived       bool                       `json:"derived"`
	MinEncryption int                        `json:"min_encryption_version"` // the first that may sign, 0 for any
	Versions      map[string]json.RawMessage `json:"keys"`                   // a number each, where they are symmetric
}

// A transitVersion is one version of a key.
type transitVersion struct {
	Created   time.Time `json:"creation_time"`
	PublicKey string    `json:"public_key"`
}

func (t *transit) readKey(ctx context.Context) (*transitKey, error) {
	var answer struct {
		Data transitKey `json:"data"`
	}
	err := t.call(ctx, http.MethodGet, nil, &answer, "transit", "keys", t.keyName)
	if err != nil {
		return nil, fmt.Errorf("read the key %q from Vault: %w", t.keyName, t.explain(err, "read", "keys"))
	}
	return &answer.Data, nil
}

// A signRequest asks for a signature.
type signRequest struct {
	Input      string `json:"input"` // in standard base64
	KeyVersion int    `json:"key_version"`
	Marshaling string `json:"marshaling_algorithm"`
	// Not for Ed25519, which hashes the input itself.
	Prehashed bool   `json:"prehashed,omitempty"`
	Hash      string `json:"hash_algorithm,omitempty"`
	Padding   string `json:"signature_algorithm,omitempty"` // counts for RSA only
}

// sign returns a signature in the form of JWS by a version of the key.
func (t *transit) sign(ctx context.Context, request signRequest) ([]byte, error) {
	var answer struct {
		Data struct {
			Signature string `json:"signature"` // vault:v1:BASE64
		} `json:"data"`
	}
	request.Marshaling = "jws"
	if err := t.call(ctx, http.MethodPost, request, &answer, "transit", "sign", t.keyName); err != nil {
		return nil, fmt.Errorf("sign by Vault: %w", t.explain(err, "update", "sign"))
	}
	signature, ok := strings.CutPrefix(answer.Data.Signature, fmt.Sprintf("vault:v%d:", request.KeyVersion))
	if !ok {
		return nil, fmt.Errorf("sign by Vault: the answer has no signature by version %d of the key", request.KeyVersion)
	}
	return base64.RawURLEncoding.DecodeString(signature)
}

// explain adds what an operator can do about a refusal.
func (t *transit) explain(err error, capability, what string) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	switch r.status {
	case http.StatusForbidden:
		return fmt.Errorf("%w (the token must be valid and have the capability %q on transit/%s/%s)",
			err, capability, what, t.keyName)
	case http.StatusNotFound:
		return fmt.Errorf("%w (there is no such key, or no Transit engine mounted at transit/)", err)
	}
	return err
}

// A tokenLife is how long our own token is good for.
type tokenLife struct {
	left      time.Duration // 0 for ever
	renewable bool
}

func (t *transit) lookUpToken(ctx context.Context) (tokenLife, error) {
	var answer struct {
		Data struct {
			TTL       int64 `json:"ttl"` // seconds
			Renewable bool  `json:"renewable"`
		} `json:"data"`
	}
	err := t.call(ctx, http.MethodGet, nil, &answer, "auth", "token", "lookup-self")
	return tokenLife{time.Duration(answer.Data.TTL) * time.Second, answer.Data.Renewable}, err
}

func (t *transit) renewToken(ctx context.Context) (tokenLife, error) {
	var answer struct {
		Auth struct {
			Lease     int64 `json:"lease_duration"` // seconds
			Renewable bool  `json:"renewable"`
		} `json:"auth"`
	}
	err := t.call(ctx, http.MethodPost, struct{}{}, &answer, "auth", "token", "renew-self")
	return tokenLife{time.Duration(answer.Auth.Lease) * time.Second, answer.Auth.Renewable}, err
}
