package saml

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/saml"
	"dex/internal/wait"
)

// How often metadata is read.
const (
	usualInterval = time.Hour
	leastInterval = time.Minute
	// retryInterval is the pause after a failure.
	retryInterval = 3 * time.Second
	// renewInterval is the least time between reads that refused responses cause: anybody can post one.
	renewInterval = 2 * time.Second
)

// metadata is a provider's description of itself, in a file or at a URL (saml-metadata-2.0). It is read when it is first
// needed, and regularly after that. The last good one counts until it expires. It is safe for concurrent use.
type metadata struct {
	load     func(ctx context.Context) ([]byte, error)
	client   *http.Client           // nil for a file
	remote   bool                   // it is at a URL
	interval time.Duration          // between reads, unless the document asks for a shorter one
	entityID string                 // of the provider; empty if the document is about only one
	signers  *watched[certificates] // nil: the document need not be signed
	pinned   bool                   // the certificates in it don't count
	signs    bool                   // our requests are signed
	accept   saml.Tolerance
	log      *slog.Logger

	turn chan struct{} // held while reading

	mu      sync.Mutex // guards the rest, never held over I/O
	current *description
	next    time.Time // when to read again
	err     error     // of the last read
	began   time.Time // when the last read began
	renewed time.Time // when the last read that a refused response caused began
}

func (c *Config) openMetadata(log *slog.Logger) (*metadata, error) {
	if !c.hasMetadata() {
		return nil, nil // not configured
	}
	m := &metadata{
		remote: c.MetadataURL != "", interval: usualInterval, entityID: c.SSOIssuer,
		pinned: c.pinsCertificates(), signs: c.SignRequests, accept: c.tolerance(), log: log, turn: make(chan struct{}, 1),
	}
	if c.MetadataSigningCert != "" {
		var err error
		if m.signers, err = watch(log, parseFirst(parseCertificates), c.MetadataSigningCert); err != nil {
			return nil, fmt.Errorf("metadataSigningCert: %w", err)
		}
	}
	if c.MetadataFile != "" {
		m.interval = lookEvery
		m.load = func(context.Context) ([]byte, error) { return readFile(c.MetadataFile) }
		return m, nil
	}
	var err error
	if m.client, err = outbound.NewClient(c.RootCAs, false); err != nil {
		return nil, fmt.Errorf("metadataURL: %w", err)
	}
	m.client.CheckRedirect = staySecure
	m.load = func(ctx context.Context) ([]byte, error) { return fetch(ctx, m.client, c.MetadataURL) }
	return m, nil
}

// staySecure refuses redirects from https to http, and from this machine to another without TLS.
func staySecure(r *http.Request, via []*http.Request) error {
	first, to := via[0].URL, r.URL
	if first.Scheme == "https" && to.Scheme != "https" || isSafeToFetch(first.String()) && !isSafeToFetch(to.String()) {
		return fmt.Errorf("redirected to %s, without TLS", r.URL.Redacted())
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	return nil
}

const maxRedirects = 5

func fetch(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	status, content, err := outbound.Get(ctx, client, address, http.Header{
		"Accept": {"application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"},
	})
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, connector.FromStatus(status, fmt.Errorf("%s answers %d %s", address, status, http.StatusText(status)))
	}
	return content, nil
}

// now returns a description that is valid. A document at a URL is read here only if there is none yet or it has expired:
// otherwise nobody who signs in should have to wait for it.
func (m *metadata) now(ctx context.Context) (*description, error) {
	current := m.valid(time.Now())
	if current != nil && m.remote {
		return current, nil
	}
	err := m.refresh(ctx)
	if current = m.valid(time.Now()); current != nil {
		return current, nil
	}
	if err == nil {
		err = errors.New("the provider's metadata has passed its validUntil, and there is no newer one")
	}
	return nil, err
}

func (m *metadata) valid(now time.Time) *description {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil || m.current.isOver(now) {
		return nil
	}
	return m.current
}

// refresh reads the document if that is due. The error is that of the last read.
func (m *metadata) refresh(ctx context.Context) error {
	return m.read(ctx, func(now time.Time) bool { return !now.Before(m.next) })
}

// renew reads the document early, and reports whether there is something newer than what was used. Strangers can trigger it
// as often as they like, so it reads at most once per renewInterval. That shuts nobody out: callers that come in between
// all wait for one read that begins after they came.
func (m *metadata) renew(ctx context.Context, used *description) bool {
	came := time.Now()
	isDue := func() bool { return m.current == used && !m.began.After(came) }
	m.mu.Lock()
	due, early := isDue(), m.renewed.Add(renewInterval).Sub(came)
	m.mu.Unlock()
	if due && early > 0 && wait.For(ctx, early) != nil {
		return false
	}
	err := m.read(ctx, func(now time.Time) bool {
		if !isDue() {
			return false
		}
		m.renewed = now
		return true
	})
	return err == nil && m.valid(time.Now()) != used
}

// read reads the document if due says so, which is called with the lock held. One caller reads, and the others wait for the
// result.
func (m *metadata) read(ctx context.Context, due func(now time.Time) bool) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	m.mu.Lock()
	now := time.Now()
	isDue, last := due(now), m.err
	if isDue {
		m.began = now
	}
	m.mu.Unlock()
	if !isDue {
		return last
	}
	document, err := m.load(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx) // a caller that gives up says nothing about the provider
	}
	if err != nil {
		return m.failed(err)
	}
	fresh, err := m.parse(ctx, document)
	if err != nil {
		return m.failed(err)
	}
	m.keep(ctx, fresh)
	return nil
}

// parse reads a document. For the document that the current description was made from, it returns that.
func (m *metadata) parse(ctx context.Context, document []byte) (*description, error) {
	sum := sha256.Sum256(document)
	// Even if the document is the same: the certificates that may sign it may have changed.
	document, err := m.verified(ctx, document)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	current := m.current
	m.mu.Unlock()
	if current != nil && current.madeOf == sum && !current.isOver(time.Now()) {
		return current, nil
	}
	fresh, err := parseDescription(document, m.entityID, time.Now())
	if err != nil {
		return nil, err
	}
	if len(fresh.certificates) == 0 && !m.pinned {
		return nil, fmt.Errorf("it has no certificate that %s signs with", fresh.entityID)
	}
	fresh.madeOf = sum
	return fresh, nil
}

// verified returns the signed part of a document, or all of it if it need not be signed.
func (m *metadata) verified(ctx context.Context, document []byte) ([]byte, error) {
	if m.signers == nil {
		return document, saml.Check(document)
	}
	reader := saml.Reader{Certificates: func() []*x509.Certificate { return m.signers.current() }, Accept: m.accept}
	signed, err := reader.Signed(ctx, document)
	if err == nil && signed == nil {
		err = errors.New("it is not signed, and metadataSigningCert is given")
	}
	return signed, err
}

// failed notes a failure. What was read before stays in use.
func (m *metadata) failed(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = fmt.Errorf("metadata of the provider: %w", err)
	m.next = time.Now().Add(retryInterval)
	return m.err
}

func (m *metadata) keep(ctx context.Context, fresh *description) {
	now := time.Now()
	m.mu.Lock()
	isNew := m.current != fresh
	m.current, m.err, m.next = fresh, nil, now.Add(fresh.wait(now, m.interval))
	m.mu.Unlock()
	if !isNew {
		return
	}
	m.log.InfoContext(ctx, "read the provider's metadata", "entityID", fresh.entityID, "certificates", len(fresh.certificates),
		"validUntil", fresh.validUntil)
	if fresh.wantsSigned && !m.signs {
		m.log.WarnContext(ctx, "the provider's metadata asks for signed requests: set signRequests", "entityID", fresh.entityID)
	}
}
