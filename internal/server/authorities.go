package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Authorities are those of client certificates, in a PEM file that is replaced while the program runs. It is safe for concurrent
// use.
type Authorities struct {
	file    string
	log     *slog.Logger
	current atomic.Pointer[authorities]
}

type authorities struct {
	text []byte
	pool *x509.CertPool
}

// NewAuthorities loads the certificates of authorities.
func NewAuthorities(file string, log *slog.Logger) (*Authorities, error) {
	a := &Authorities{file: file, log: log}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload loads the file again. After an error the current authorities stay.
func (a *Authorities) Reload() error {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return fmt.Errorf("read authorities of client certificates: %w", err)
	}
	return a.use(text)
}

func (a *Authorities) use(text []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("authorities of client certificates: %s has no certificate in PEM form", a.file)
	}
	a.current.Store(&authorities{text, pool})
	a.log.Info("authorities of client certificates loaded", "file", a.file)
	return nil
}

// Watch looks at the file at every interval until the context ends, as [Certificate.Watch] does.
func (a *Authorities) Watch(ctx context.Context, interval time.Duration) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	var before, refused []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		found, err := os.ReadFile(a.file)
		if err != nil {
			found = []byte(err.Error())
		}
		settled := bytes.Equal(found, before)
		before = found
		switch {
		case !settled || bytes.Equal(found, refused):
		case bytes.Equal(found, a.current.Load().text):
			refused = nil
		default:
			if err == nil {
				err = a.use(found)
			}
			if err != nil {
				refused = found
				a.log.ErrorContext(ctx, "reload TLS config", "err", err)
			}
		}
	}
}

// Verify returns a configuration like base that verifies client certificates by the current authorities. It requires them, unless
// they are optional when a client comes.
func (a *Authorities) Verify(base *tls.Config, optional func() bool) *tls.Config {
	verifying := base.Clone()
	verifying.ClientAuth = tls.RequireAndVerifyClientCert
	verifying.SessionTicketsDisabled = true // a session that is resumed has been verified by the authorities of its beginning
	verifying.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := verifying.Clone()
		now.GetConfigForClient = nil
		now.ClientCAs = a.current.Load().pool
		if optional() {
			now.ClientAuth = tls.VerifyClientCertIfGiven
		}
		return now, nil
	}
	// Should anything look at these fields without asking for the client's configuration, it lets nobody in.
	verifying.ClientCAs = x509.NewCertPool()
	return verifying
}

// ListenUnix listens on a Unix socket that only its owner and group may use. A socket that a process left behind makes room.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	if abandoned(ctx, path) {
		_ = os.Remove(path) // the next error says what is wrong
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group is whom operators let in
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// abandoned reports whether a path is a socket that nobody listens on.
func abandoned(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = c.Close() // it was only a question
	return false
}
