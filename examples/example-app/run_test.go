package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// program is a running example-app.
type program struct {
	t      *testing.T
	stop   context.CancelFunc
	err    chan error
	stdout *output
	stderr *output
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &program{t: t, stop: stop, err: make(chan error, 1), stdout: newOutput(), stderr: newOutput()}
	go func() { p.err <- run(ctx, args, p.stdout, p.stderr) }()
	return p
}

// base waits until the program serves, and returns its URL.
func (p *program) base() string {
	p.t.Helper()
	line := p.stdout.waitFor(p.t, "listening on ")
	_, address, _ := strings.Cut(line, "listening on ")
	return strings.TrimSpace(address)
}

// end waits for the program's end.
func (p *program) end() error {
	p.t.Helper()
	select {
	case err := <-p.err:
		return err
	case <-time.After(30 * time.Second):
		p.t.Fatal("the program does not end")
		return nil
	}
}

// output is a stream that can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) waitFor(t *testing.T, want string) string {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		if text := o.String(); strings.Contains(text, want) {
			return text
		}
		select {
		case <-o.changed:
		case <-timeout:
			t.Fatalf("no %q in %q", want, o.String())
		}
	}
}

func TestRunServesUntilStopped(t *testing.T) {
	f := newFakeProvider(t)
	p := startProgram(t, "--issuer", f.issuer(), "--listen", "http://127.0.0.1:0")
	newBrowser(t, p.base()).get("/").want(http.StatusOK, "/")
	p.stop()
	if err := p.end(); err != nil {
		t.Errorf("stopping is an error: %v", err)
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("unexpected on stderr: %q", got)
	}
}

func TestRunOverTLS(t *testing.T) {
	f := newFakeProvider(t)
	// The provider's certificate and key serve the application as well.
	f.Close()
	secure := httptest.NewTLSServer(f.Config.Handler)
	t.Cleanup(secure.Close)
	f.Server = secure
	dir := t.TempDir()
	certificate, key := writeCertificate(t, dir, secure)

	args := []string{"--issuer", f.issuer(), "--listen", "https://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key}
	untrusting := startProgram(t, args...)
	if err := untrusting.end(); err == nil || !strings.Contains(err.Error(), "--issuer-root-ca") {
		t.Errorf("an unknown issuer certificate gives %v", err)
	}

	p := startProgram(t, append(args, "--issuer-root-ca", certificate)...)
	b := newBrowser(t, p.base())
	b.client.Transport = secure.Client().Transport
	b.get("/").want(http.StatusOK, "/")
	if !strings.HasPrefix(b.base, "https://") {
		t.Errorf("listening on %s", b.base)
	}
	p.stop()
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func writeCertificate(t *testing.T, dir string, server *httptest.Server) (certificate, key string) {
	t.Helper()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		key:         {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func TestRunWaitsForTheProvider(t *testing.T) {
	f := newFakeProvider(t)
	// The provider's address answers, but not yet as a provider.
	var ready atomic.Bool
	provider := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		provider.ServeHTTP(w, r)
	})
	p := startProgram(t, "--issuer", f.issuer(), "--listen", "http://127.0.0.1:0")
	p.stderr.waitFor(t, "waiting for the provider at "+f.issuer())
	ready.Store(true)
	newBrowser(t, p.base()).get("/").want(http.StatusOK, "/")
	p.stop()
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestRunCanBeStoppedWhileWaiting(t *testing.T) {
	p := startProgram(t, "--issuer", closedPort(t), "--listen", "http://127.0.0.1:0")
	p.stderr.waitFor(t, "waiting for the provider")
	p.stop()
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestDiscoveryGivesUp(t *testing.T) {
	issuer := closedPort(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*discoveryPause)
	defer cancel()
	_, err := discover(ctx, options{issuer: issuer}, http.DefaultClient, io.Discard)
	if err == nil || !strings.Contains(err.Error(), issuer) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want what went wrong and where", err)
	}
}

func TestRunFailsAtOnce(t *testing.T) {
	f := newFakeProvider(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	noPEM := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noPEM, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	here := []string{"--issuer", f.issuer(), "--listen", "http://127.0.0.1:0"}
	tests := map[string]struct {
		args []string
		says string
	}{
		"positional":         {[]string{"extra"}, `unexpected argument "extra"`},
		"unknown flag":       {[]string{"--colour"}, "colour"},
		"listen scheme":      {[]string{"--listen", "127.0.0.1:5555"}, "--listen"},
		"listen path":        {[]string{"--listen", "http://127.0.0.1:5555/app"}, "path"},
		"https without cert": {[]string{"--listen", "https://127.0.0.1:5555"}, "--tls-cert"},
		"https, cert absent": {[]string{"--listen", "https://127.0.0.1:0", "--tls-cert", "nowhere", "--tls-key", "nowhere"}, "nowhere"},
		"issuer scheme":      {[]string{"--issuer", "ldap://127.0.0.1"}, "--issuer"},
		"issuer host":        {[]string{"--issuer", "https:///dex"}, "host"},
		"redirect fragment":  {[]string{"--redirect-uri", "http://127.0.0.1:5555/callback#here"}, "fragment"},
		"check interval":     {[]string{"--session-check-interval", "-1s"}, "--session-check-interval"},
		"no client":          {[]string{"--client-id", ""}, "--client-id"},
		"root CA absent":     {append(here, "--issuer-root-ca", "nowhere.pem"), "nowhere.pem"},
		"root CA empty":      {append(here, "--issuer-root-ca", noPEM), "no certificate"},
		"address taken":      {[]string{"--listen", "http://" + taken.Addr().String()}, "--listen"},
		"issuer mismatch":    {append(here, "--issuer", f.issuer()+"/"), "exactly"},
		"redirect to /":      {append(here, "--redirect-uri", "http://127.0.0.1:5555/"), "--redirect-uri"},
		"redirect to no path": {
			append(here, "--redirect-uri", "http://127.0.0.1:5555"), "--redirect-uri",
		},
		"redirect to a page": {append(here, "--redirect-uri", "http://127.0.0.1:5555/tokens"), "--redirect-uri"},
		"redirect to a form": {append(here, "--redirect-uri", "http://127.0.0.1:5555/login"), "--redirect-uri"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := startProgram(t, tt.args...)
			err := p.end()
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want something about %q", err, tt.says)
			}
			var stderr bytes.Buffer
			if code := exitCode(err, &stderr); code != 2 || !strings.HasPrefix(stderr.String(), "error: ") {
				t.Errorf("exit code %d, stderr %q", code, stderr.String())
			}
		})
	}
}

func TestDiscoveryDocumentWithoutEndpoints(t *testing.T) {
	f := newFakeProvider(t)
	f.editDiscovery = func(document map[string]any) { delete(document, "token_endpoint") }
	p := startProgram(t, "--issuer", f.issuer(), "--listen", "http://127.0.0.1:0")
	if err := p.end(); err == nil || !strings.Contains(err.Error(), "token_endpoint") {
		t.Errorf("got %v", err)
	}
}

func TestHelp(t *testing.T) {
	var stdout bytes.Buffer
	err := run(t.Context(), []string{"--help"}, &stdout, io.Discard)
	if !errors.Is(err, flag.ErrHelp) || exitCode(err, io.Discard) != 0 {
		t.Errorf("help ends with %v", err)
	}
	for _, name := range []string{
		"client-id", "client-secret", "redirect-uri", "pkce", "issuer", "issuer-root-ca", "session-check-interval",
		"grpc-addr", "grpc-ca", "grpc-client-cert", "grpc-client-key", "listen", "tls-cert", "tls-key", "debug",
	} {
		if !strings.Contains(stdout.String(), "--"+name+" ") {
			t.Errorf("help lacks --%s", name)
		}
	}
	if got := strings.Count(stdout.String(), "has no effect yet"); got != 4 {
		t.Errorf("%d flags are said to have no effect, want 4", got)
	}
}

func TestReservedFlagsAreAccepted(t *testing.T) {
	_, err := parseFlags([]string{
		"--session-check-interval", "0", "--grpc-addr", "127.0.0.1:5557", "--grpc-ca", "ca.crt",
		"--grpc-client-cert", "client.crt", "--grpc-client-key", "client.key",
	}, io.Discard)
	if err != nil {
		t.Error(err)
	}
}

func TestDebugDumpsTheExchange(t *testing.T) {
	f := newFakeProvider(t)
	p := startProgram(t, "--issuer", f.issuer(), "--listen", "http://127.0.0.1:0", "--debug")
	p.base()
	got := p.stderr.String()
	for _, want := range []string{"warning: --debug", "> GET /dex/.well-known/openid-configuration HTTP/1.1", "< HTTP/1.1 200 OK", `"issuer":"` + f.issuer() + `"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the dump:\n%s", want, got)
		}
	}
	p.stop()
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	f := newFakeProvider(t)
	p := startProgram(t, "--issuer", f.issuer(), "--listen", "http://127.0.0.1:0", "--redirect-uri", "http://127.0.0.1:1/callback")
	b := newBrowser(t, p.base())
	f.editClaims = func(claims map[string]any) { claims["nonce"] = "other" }
	b.stopAtRedirects()
	toProvider := b.post("/login", nil).header.Get("Location")
	back := follow(t, toProvider)
	_, query, _ := strings.Cut(back, "?")
	b.get("/callback?"+query).wantError(http.StatusBadGateway, "nonce")
	_, redeemed := f.lastRequests()
	log := p.stderr.waitFor(t, "request failed")
	for _, secret := range []string{testSecret, redeemed.Get("code"), redeemed.Get("code_verifier")} {
		if secret == "" || strings.Contains(log, secret) {
			t.Errorf("secret %q is in the log: %s", secret, log)
		}
	}
	p.stop()
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// follow returns where a redirect leads.
func follow(t *testing.T, address string) string {
	t.Helper()
	b := newBrowser(t, address)
	b.stopAtRedirects()
	return b.get("").header.Get("Location")
}

// closedPort is an issuer where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return "http://" + listener.Addr().String()
}
