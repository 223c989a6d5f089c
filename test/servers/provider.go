package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Provider is an independent OpenID Connect provider, where everybody is jane. Its program is in the folder provider, and is
// built at each start.
type Provider struct {
	// URL is its issuer.
	URL string
	// CAFile is the certificate of the authority that issued the server's.
	CAFile string
	// ClientID and ClientSecret are its only client's.
	ClientID, ClientSecret string

	roots   *x509.CertPool
	account *account
	process *process // nil while it is stopped
}

// StartProvider starts a provider whose client has a redirect URI.
func StartProvider(ctx context.Context, callback string) (*Provider, error) {
	a, err := newAccount("etcd") // any that is not root
	if err != nil {
		return nil, err
	}
	p := &Provider{account: a, ClientID: "dex", ClientSecret: "a:secret/with+signs&%"}
	if err := p.init(ctx, callback); err != nil {
		return nil, errors.Join(fmt.Errorf("provider: %w", err), p.Close())
	}
	return p, nil
}

func (p *Provider) init(ctx context.Context, callback string) error {
	program, err := p.account.build(ctx, "provider")
	if err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p.URL = "https://" + address
	authority, err := NewAuthority()
	if err != nil {
		return err
	}
	p.roots = x509.NewCertPool()
	p.roots.AppendCertsFromPEM(authority.PEM)
	certificate, key, err := authority.Issue("provider", "127.0.0.1")
	if err != nil {
		return err
	}
	if p.CAFile, err = p.account.write("ca.pem", authority.PEM); err != nil {
		return err
	}
	certFile, err := p.account.write("server.pem", certificate)
	if err != nil {
		return err
	}
	keyFile, err := p.account.write("server.key", key)
	if err != nil {
		return err
	}
	p.process, err = p.account.start(ctx, command{
		program: program,
		args: []string{
			"-listen=" + address, "-cert=" + certFile, "-key=" + keyFile,
			"-client-id=" + p.ClientID, "-client-secret=" + p.ClientSecret, "-callback=" + callback,
		},
		ready: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := p.Given(ctx)
			return err
		},
	})
	return err
}

// Given returns the refresh tokens that it has issued so far, the newest last.
func (p *Provider) Given(ctx context.Context) (tokens []string, err error) {
	status, err := p.do(ctx, http.MethodGet, "/given", "", &tokens)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it answers %d", status)
	}
	return tokens, err
}

// Redeem presents a refresh token as the client, and returns the error in the answer; "" for none.
func (p *Provider) Redeem(ctx context.Context, refreshToken string) (refusal string, err error) {
	var answer struct{ Error string }
	_, err = p.do(ctx, http.MethodPost, "/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken},
		"client_id": {p.ClientID}, "client_secret": {p.ClientSecret},
	}.Encode(), &answer)
	return answer.Error, err
}

// do sends a request and reads the JSON of the answer.
func (p *Provider) do(ctx context.Context, method, path, form string, answer any) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, method, p.URL+path, strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	transport := p.Transport()
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode, json.NewDecoder(response.Body).Decode(answer)
}

// Transport returns a transport that trusts the provider.
func (p *Provider) Transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12}}
}

// Close stops the server and removes its files.
func (p *Provider) Close() error {
	var stopped error
	if p.process != nil {
		stopped = p.process.stop()
	}
	return errors.Join(stopped, p.account.remove())
}
