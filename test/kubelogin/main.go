// Command kubelogin stands in for kubectl-oidc_login, the plugin with which kubectl signs people in: its module can't be had
// everywhere. It does what the real one does where others notice, as its documentation says: the same flags, requests,
// addresses, files and output, and no more. Where KUBELOGIN_BIN names the real one, the tests run that instead.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	issuer, clientID, clientSecret string
	scopes                         list
	cacheDir                       string
	authorities, authorityData     list
	pkce, grant                    string
	listen                         list
	skipBrowser                    bool
	timeout                        int // seconds that a login in the browser may take
	params                         list
	username, password             string
	forceRefresh, useAccessToken   bool
}

// list is a flag that may be repeated, or have several values between commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, strings.Split(value, ",")...)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: get-token: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "get-token" {
		return errors.New("the only command here is get-token")
	}
	o, err := parse(args[1:])
	if err != nil {
		return err
	}
	client, err := o.httpClient()
	if err != nil {
		return err
	}
	kept := o.cache()
	had := kept.read()
	if had.valid(time.Now()) && !o.forceRefresh {
		return output(had)
	}
	got, err := o.authenticate(ctx, client, had)
	if err != nil {
		return err
	}
	if err := kept.write(got); err != nil {
		return err
	}
	return output(got)
}

func parse(args []string) (*options, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	o := &options{}
	f := flag.NewFlagSet("get-token", flag.ContinueOnError)
	f.StringVar(&o.issuer, "oidc-issuer-url", "", "")
	f.StringVar(&o.clientID, "oidc-client-id", "", "")
	f.StringVar(&o.clientSecret, "oidc-client-secret", "", "")
	f.Var(&o.scopes, "oidc-extra-scope", "")
	f.BoolVar(&o.useAccessToken, "oidc-use-access-token", false, "")
	f.BoolVar(&o.forceRefresh, "force-refresh", false, "")
	f.StringVar(&o.cacheDir, "token-cache-dir", filepath.Join(home, ".kube/cache/oidc-login"), "")
	f.Var(&o.authorities, "certificate-authority", "")
	f.Var(&o.authorityData, "certificate-authority-data", "")
	f.StringVar(&o.pkce, "oidc-pkce-method", "auto", "")
	f.StringVar(&o.grant, "grant-type", "auto", "")
	f.Var(&o.listen, "listen-address", "")
	f.BoolVar(&o.skipBrowser, "skip-open-browser", false, "")
	f.IntVar(&o.timeout, "authentication-timeout-sec", 180, "")
	f.Var(&o.params, "oidc-auth-request-extra-params", "")
	f.StringVar(&o.username, "username", "", "")
	f.StringVar(&o.password, "password", "", "")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.issuer == "" || o.clientID == "" {
		return nil, errors.New(`required flag(s) "oidc-issuer-url", "oidc-client-id" not set`)
	}
	if o.listen == nil {
		o.listen = list{"127.0.0.1:8000", "127.0.0.1:18000"}
	}
	return o, nil
}

// httpClient trusts the system's authorities and those of the flags.
func (o *options) httpClient() (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, file := range o.authorities {
		pem, err := os.ReadFile(file) //nolint:gosec // G304: the user's own
		if err != nil {
			return nil, fmt.Errorf("could not load the certificate: %w", err)
		}
		all = append(all, pem)
	}
	for _, data := range o.authorityData {
		pem, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("could not load the certificate: %w", err)
		}
		all = append(all, pem)
	}
	for _, pem := range all {
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("could not load the certificate: invalid certificate")
		}
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, nil
}
