package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dex/internal/certificate"
)

// WatchInterval is how often Watch should look at the files. Only polling their content sees every kind of change: files
// written in place, renamed into place, and replaced behind symbolic links, as Kubernetes does with secrets.
const WatchInterval = time.Second

// warnEvery is how often the log warns of a certificate that has expired or soon will.
const warnEvery = 24 * time.Hour

// A Certificate is a TLS certificate in files that are replaced while the program runs. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	current atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	loaded fingerprint // of the files that current was loaded from
	warned time.Time   // of its expiry, last
}

// NewCertificate loads the certificate chain and its key, both PEM.
func NewCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload loads the files again. After an error the current certificate stays.
func (c *Certificate) Reload() error {
	return c.use(c.read())
}

// NotAfter returns when the current certificate expires.
func (c *Certificate) NotAfter() time.Time { return c.current.Load().Leaf.NotAfter }

// Expiring says how soon the current certificate expires, or that it has; empty while that is far off.
func (c *Certificate) Expiring(now time.Time) string {
	return certificate.Expiring(c.current.Load().Leaf, now)
}

// warn warns of a certificate that has expired or will soon, once a day.
func (c *Certificate) warn(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.warned) < warnEvery {
		return
	}
	if text := c.Expiring(now); text != "" {
		c.warned = now
		c.log.Warn(text, "file", c.certFile, "days_left", int(c.NotAfter().Sub(now).Hours()/24))
	}
}

// Watch looks at the files at every interval until the context ends. It uses a new pair once it has found the same one
// twice, because the first time somebody may still be writing it. It logs once about a pair that it can't use.
func (c *Certificate) Watch(ctx context.Context, interval time.Duration) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	var before, refused fingerprint
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		c.warn(time.Now())
		found := c.read()
		seen := found.fingerprint()
		settled := seen == before
		before = seen
		switch {
		case !settled || seen == refused:
		case c.uses(seen):
			refused = fingerprint{}
		default:
			if err := c.use(found); err != nil {
				refused = seen
				c.log.ErrorContext(ctx, "reload TLS config", "err", err)
			}
		}
	}
}

// use makes the pair the current one.
func (c *Certificate) use(p pair) error {
	if p.err != nil {
		return fmt.Errorf("read TLS certificate: %w", p.err)
	}
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.keep(&cert, p.fingerprint())
	c.log.Info("TLS certificate loaded", "file", c.certFile, "serial", cert.Leaf.SerialNumber.Text(16), "expires", cert.Leaf.NotAfter)
	c.warn(time.Now())
	return nil
}

func (c *Certificate) keep(cert *tls.Certificate, loaded fingerprint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded, c.warned = loaded, time.Time{}
	c.current.Store(cert)
}

func (c *Certificate) uses(f fingerprint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded == f
}

// pair is the content of the files.
type pair struct {
	cert, key []byte
	err       error
}

// fingerprint identifies a pair without keeping the key.
type fingerprint [sha256.Size]byte

func (c *Certificate) read() pair {
	cert, certErr := os.ReadFile(c.certFile)
	key, keyErr := os.ReadFile(c.keyFile)
	err := errors.Join(certErr, keyErr)
	if certErr != nil && keyErr != nil {
		err = fmt.Errorf("%w; %w", certErr, keyErr) // on one line
	}
	return pair{cert, key, err}
}

func (p pair) fingerprint() fingerprint {
	if p.err != nil {
		return sha256.Sum256([]byte(p.err.Error()))
	}
	cert, key := sha256.Sum256(p.cert), sha256.Sum256(p.key)
	return sha256.Sum256(slices.Concat(cert[:], key[:]))
}

// TLSConfig returns a configuration that serves the current certificate to each new client, with or without SNI. The
// versions are "1.2" or "1.3"; empty means 1.2 as the lowest and the newest as the highest.
func (c *Certificate) TLSConfig(minVersion, maxVersion string) (*tls.Config, error) {
	lowest, err := tlsVersion(minVersion, tls.VersionTLS12)
	if err != nil {
		return nil, fmt.Errorf("lowest TLS version: %w", err)
	}
	highest, err := tlsVersion(maxVersion, tls.VersionTLS13)
	if err != nil {
		return nil, fmt.Errorf("highest TLS version: %w", err)
	}
	if highest < lowest {
		return nil, fmt.Errorf("highest TLS version %s is below the lowest, %s", maxVersion, minVersion)
	}
	return &tls.Config{
		MinVersion:   lowest,
		MaxVersion:   highest,
		CipherSuites: slices.Clone(cipherSuites),
		// Without Certificates, GetCertificate is called for every handshake.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}, nil
}

// cipherSuites are those of TLS 1.2 that are authenticated and forward secret. TLS 1.3 has no others, and Go doesn't let
// them be chosen.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func tlsVersion(name string, otherwise uint16) (uint16, error) {
	switch name {
	case "":
		return otherwise, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("%q is neither 1.2 nor 1.3", name)
}
