package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/server"
)

// issued is a certificate and its key in PEM.
type issued struct {
	cert, key []byte
	serial    int64
}

var serials atomic.Int64

// issue makes a self-signed certificate with a unique serial number.
func issue(t *testing.T) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial := serials.Add(1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "dex.example"},
		DNSNames:     []string{"dex.example"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{
		cert:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		serial: serial,
	}
}

// certFiles are the files of a certificate and its key.
type certFiles struct{ cert, key string }

func filesIn(dir string) certFiles {
	return certFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace replaces a file atomically.
func replace(t *testing.T, name string, content []byte) {
	t.Helper()
	fresh := filepath.Join(t.TempDir(), "fresh")
	write(t, fresh, content)
	if err := os.Rename(fresh, name); err != nil {
		t.Fatal(err)
	}
}

func (f certFiles) write(t *testing.T, c issued) {
	t.Helper()
	write(t, f.cert, c.cert)
	write(t, f.key, c.key)
}

func newCertificate(t *testing.T) (certFiles, *server.Certificate) {
	t.Helper()
	files := filesIn(t.TempDir())
	files.write(t, issue(t))
	c, err := server.NewCertificate(files.cert, files.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return files, c
}

// handshake returns the serial number of the certificate that a new client gets; an empty name sends no SNI.
func handshake(t *testing.T, address, name string) int64 {
	t.Helper()
	conn := tls.Client(dial(t, address), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	serial := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	_ = conn.Close()
	return serial
}

// getTLS gets / over HTTPS, with HTTP/2 if the server offers it, and trusts only the certificate in the file.
func getTLS(t *testing.T, address string, files certFiles) (*http.Response, string) {
	t.Helper()
	trusted, err := os.ReadFile(files.cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, &http.Client{Transport: transport}, req)
}

func TestHTTP2(t *testing.T) {
	files, certificate := newCertificate(t)
	config, err := certificate.TLSConfig("", "")
	if err != nil {
		t.Fatal(err)
	}
	run := serve(t, &server.Group{Listeners: []server.Listener{{
		Name: "https", TLS: config, Handler: server.New(options(""), []server.Route{{Pattern: "/", Handler: text("secure")}}),
	}}})
	resp, body := getTLS(t, run.addresses[0], files)
	if resp.Proto != "HTTP/2.0" || body != "secure" || resp.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("%s %q %q", resp.Proto, body, resp.Header)
	}
	run.stop()
	if err := receive(t, run.result); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
}

// watched is the address where a watched certificate is served.
type watched string

const pollInterval = 20 * time.Millisecond

func watch(t *testing.T, files certFiles) watched {
	t.Helper()
	certificate, err := server.NewCertificate(files.cert, files.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config, err := certificate.TLSConfig("", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		certificate.Watch(ctx, pollInterval)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	run := serve(t, &server.Group{Listeners: []server.Listener{{Name: "https", TLS: config, Handler: text("")}}})
	return watched(run.addresses[0])
}

// expect waits until new clients get the certificate, with SNI and without.
func (w watched) expect(t *testing.T, c issued) {
	t.Helper()
	for _, name := range []string{"dex.example", ""} {
		eventually(t, "the new certificate", func() bool { return handshake(t, string(w), name) == c.serial })
	}
}

func TestWatchSeesEveryKindOfReplacement(t *testing.T) {
	t.Run("written in place", func(t *testing.T) {
		t.Parallel()
		files := filesIn(t.TempDir())
		files.write(t, issue(t))
		w := watch(t, files)
		next := issue(t)
		files.write(t, next)
		w.expect(t, next)
	})
	t.Run("renamed into place", func(t *testing.T) {
		t.Parallel()
		files := filesIn(t.TempDir())
		files.write(t, issue(t))
		w := watch(t, files)
		next := issue(t)
		replace(t, files.cert, next.cert)
		replace(t, files.key, next.key)
		w.expect(t, next)
	})
	t.Run("Kubernetes secret", func(t *testing.T) {
		t.Parallel()
		// tls.crt -> ..data/tls.crt, ..data -> ..<version>; only ..data is ever replaced.
		dir := t.TempDir()
		version := func(name string, c issued) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			filesIn(filepath.Join(dir, name)).write(t, c)
			if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
		}
		version("..1", issue(t))
		files := filesIn(dir)
		for _, name := range []string{files.cert, files.key} {
			if err := os.Symlink(filepath.Join("..data", filepath.Base(name)), name); err != nil {
				t.Fatal(err)
			}
		}
		w := watch(t, files)
		next := issue(t)
		version("..2", next)
		w.expect(t, next)
	})
}

func TestWatchOverTime(t *testing.T) {
	files := filesIn(t.TempDir())
	first, second, third := issue(t), issue(t), issue(t)
	files.write(t, first)
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		c, err := server.NewCertificate(files.cert, files.key, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		config, err := c.TLSConfig("", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer synctest.Wait()
		defer cancel()
		go c.Watch(ctx, time.Second)
		expect := func(when string, want issued, complaints int) {
			t.Helper()
			synctest.Wait()
			shown, err := config.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := shown.Leaf.SerialNumber.Int64(); got != want.serial {
				t.Errorf("%s: certificate %d, want %d", when, got, want.serial)
			}
			if n := strings.Count(log.String(), `level=ERROR msg="reload TLS config"`); n != complaints {
				t.Errorf("%s: %d complaints, want %d:\n%s", when, n, complaints, log.String())
			}
		}

		time.Sleep(500 * time.Millisecond) // between two looks
		write(t, files.cert, second.cert)
		time.Sleep(time.Second)
		expect("half of a pair, seen once", first, 0)
		write(t, files.key, second.key)
		time.Sleep(2 * time.Second)
		expect("the pair", second, 0)

		write(t, files.cert, third.cert)
		time.Sleep(time.Minute)
		expect("half of a pair that stays", second, 1)
		if err := c.Reload(); err == nil {
			t.Error("Reload took a certificate with another's key")
		}
		expect("after a reload in vain", second, 1)
		write(t, files.key, third.key)
		time.Sleep(2 * time.Second)
		expect("the other half", third, 1)

		if err := os.Remove(files.key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect("without the key's file", third, 2)
		write(t, files.key, third.key)
		time.Sleep(time.Minute)
		expect("with the file again", third, 2)
		if err := os.Remove(files.key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect("without it once more", third, 3)
		if strings.Contains(log.String(), "PRIVATE") {
			t.Error("the log has a key")
		}
	})
}

func TestReload(t *testing.T) {
	files, certificate := newCertificate(t) // not watched
	config, err := certificate.TLSConfig("1.2", "1.2")
	if err != nil {
		t.Fatal(err)
	}
	run := serve(t, &server.Group{Listeners: []server.Listener{{Name: "https", TLS: config, Handler: text("")}}})
	next := issue(t)
	files.write(t, next)
	if got := handshake(t, run.addresses[0], ""); got == next.serial {
		t.Error("the certificate changed by itself")
	}
	if err := certificate.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dex.example", ""} {
		if got := handshake(t, run.addresses[0], name); got != next.serial {
			t.Errorf("name %q: certificate %d, want %d", name, got, next.serial)
		}
	}
}

func TestNewCertificateRefuses(t *testing.T) {
	files := filesIn(t.TempDir())
	if _, err := server.NewCertificate(files.cert, files.key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), files.cert) {
		t.Errorf("missing files: %v", err)
	}
	write(t, files.cert, issue(t).cert)
	write(t, files.key, issue(t).key)
	if _, err := server.NewCertificate(files.cert, files.key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), files.key) {
		t.Errorf("another's key: %v", err)
	}
}

func TestTLSVersionsAndSuites(t *testing.T) {
	_, certificate := newCertificate(t)
	for _, tc := range []struct {
		lowest, highest string
		client          *tls.Config
		version         uint16 // 0: no handshake
	}{
		{"", "", &tls.Config{}, tls.VersionTLS13},
		{"", "", &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12},
		{"", "", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0},
		{"1.3", "", &tls.Config{MaxVersion: tls.VersionTLS12}, 0},
		{"1.3", "1.3", &tls.Config{}, tls.VersionTLS13},
		{"1.2", "1.2", &tls.Config{}, tls.VersionTLS12},
		{"1.2", "1.2", &tls.Config{MinVersion: tls.VersionTLS13}, 0},
		{"", "", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, tls.VersionTLS12},
		{"", "", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, 0},
		{"", "", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, 0},
	} {
		config, err := certificate.TLSConfig(tc.lowest, tc.highest)
		if err != nil {
			t.Fatal(err)
		}
		run := serve(t, &server.Group{Listeners: []server.Listener{{Name: "https", TLS: config, Handler: text("")}}})
		tc.client.InsecureSkipVerify = true
		conn := tls.Client(dial(t, run.addresses[0]), tc.client)
		err = conn.HandshakeContext(t.Context())
		if got := conn.ConnectionState().Version; (err == nil) != (tc.version != 0) || err == nil && got != tc.version {
			t.Errorf("%q to %q: version %x, %v; want %x", tc.lowest, tc.highest, got, err, tc.version)
		}
		_ = conn.Close()
	}
	for _, bad := range [][2]string{{"1.3", "1.2"}, {"1.1", ""}, {"", "1.4"}, {"TLS1.2", ""}} {
		if _, err := certificate.TLSConfig(bad[0], bad[1]); err == nil {
			t.Errorf("versions %q were accepted", bad)
		}
	}
}

func TestNoSuiteWithoutForwardSecrecy(t *testing.T) {
	_, certificate := newCertificate(t)
	config, err := certificate.TLSConfig("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range config.CipherSuites {
		if name := tls.CipherSuiteName(id); !strings.HasPrefix(name, "TLS_ECDHE_") || strings.Contains(name, "CBC") {
			t.Errorf("%s", name)
		}
	}
}
