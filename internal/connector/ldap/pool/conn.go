package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

const (
	// maxRead bounds what a server may send during one operation, in bytes, and maxMessage one message of it.
	maxRead    = 64 << 20
	maxMessage = 16 << 20
	// goodbye is how long the last message on a connection may take.
	goodbye = time.Second
)

// The library allocates a message as soon as it knows the length. No other package speaks BER.
func init() { ber.MaxPacketLengthBytes = maxMessage }

// errSlow is the cause of a context that ended because a server took too long.
var errSlow = errors.New("the server is too slow")

// A role is what a connection is for. A connection that has checked passwords is bound as somebody else, so it is never
// used for the service account.
type role int

const (
	searcher role = iota // bound as the service account
	checker              // bound as nobody, or as the last user whose password was right
)

// A conn is a connection to one host. One operation at a time uses it.
type conn struct {
	host *host
	role role
	wire *wire
	ldap *ldap.Conn

	timeout   time.Duration // of an operation
	openedAt  time.Time
	idleSince time.Time
	spent     bool // still works, but must not be reused
}

// A wire is the network connection. It breaks when a server sends too much.
type wire struct {
	net.Conn
	left atomic.Int64 // bytes that may still come
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.left.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("the server sent more than %d MiB", maxRead>>20)
	}
	return n, err
}

// connect opens a connection to a host and makes it ready for a role. An error is an *outage, even if the service account is
// refused: a server may not have its new password yet.
func (p *Pool) connect(ctx context.Context, h *host, as role) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.settings.ConnectTimeout,
		fmt.Errorf("connection not ready within %v: %w", p.settings.ConnectTimeout, errSlow))
	defer cancel()
	raw, err := p.dial(ctx, "tcp", h.address)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &outage{err: err}
	}
	c := &conn{
		host: h, role: as, wire: &wire{Conn: raw}, timeout: p.settings.OperationTimeout, openedAt: time.Now(),
	}
	if err := c.during(ctx, func() error { return c.open(ctx, &p.settings) }); err != nil {
		c.abort()
		return nil, &outage{err: err}
	}
	return c, nil
}

// open makes a TCP connection ready: encrypted as configured and, for searches, bound.
func (c *conn) open(ctx context.Context, s *Settings) error {
	config := s.TLSConfig.Clone()
	if config.ServerName == "" {
		config.ServerName = c.host.name
	}
	if s.TLS == LDAPS {
		encrypted := tls.Client(c.wire, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.ldap = ldap.NewConn(encrypted, true)
	} else {
		c.ldap = ldap.NewConn(c.wire, false)
	}
	c.ldap.Start()
	if s.TLS == StartTLS {
		if err := c.ldap.StartTLS(config); err != nil {
			return fmt.Errorf("StartTLS: %w", err)
		}
	}
	if c.role == searcher {
		return c.bindAccount(s.BindDN, s.BindPW)
	}
	return nil
}

// bindAccount binds as the service account, or anonymously. The error is an *accountRefused if the host refuses the account.
func (c *conn) bindAccount(dn, password string) error {
	request := ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	request.AllowEmptyPassword = dn == "" && password == ""
	answer, err := c.ldap.SimpleBind(request)
	err = verdict(answer, err)
	refused, isRefused := errors.AsType[*Refused](err)
	switch {
	case err == nil:
		return nil
	case isRefused && refused.Reason != WrongPassword:
		// Without the type, which would blame the user who logs in.
		err = fmt.Errorf("%v: %w", refused.Reason, refused.Err)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform), outageOf(elsewhere(err, bindFailures)) != nil:
		return fmt.Errorf("bind as the service account: %w", err)
	case isRefused:
		err = refused.Err
	}
	return &accountRefused{dn: dn, err: err}
}

// accountRefused means that the server refused the service account.
type accountRefused struct {
	dn  string
	err error
}

func (a *accountRefused) Error() string {
	if a.dn == "" {
		return "the LDAP server refuses anonymous searches; set bindDN and bindPW: " + a.err.Error()
	}
	return fmt.Sprintf("the LDAP server refuses the service account %q (bindDN, bindPW): %v", a.dn, a.err)
}

func (a *accountRefused) Unwrap() error { return a.err }

// during does something on the connection, and cuts the connection if the context ends first: the library does not know
// contexts, and a late answer must not be taken for the answer to another request.
func (c *conn) during(ctx context.Context, do func() error) error {
	c.wire.left.Store(maxRead)
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	err := do()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// operate does one operation within the time-out.
func (c *conn) operate(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %v: %w", c.timeout, errSlow))
	defer cancel()
	return c.during(ctx, do)
}

// bind checks a password.
func (c *conn) bind(ctx context.Context, dn, password string) error {
	return c.operate(ctx, func() error {
		answer, err := c.ldap.SimpleBind(
			ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
		return elsewhere(verdict(answer, err), bindFailures)
	})
}

// fresh reports whether the connection seems fit for another operation.
func (c *conn) fresh(now time.Time) bool {
	idle := !c.idleSince.IsZero() && now.Sub(c.idleSince) >= maxIdle
	return !c.spent && !idle && now.Sub(c.openedAt) < maxAge && !c.ldap.IsClosing()
}

// close says goodbye and closes the connection.
func (c *conn) close() {
	if !c.spent { // a server that is still sending may not listen
		_ = c.wire.SetDeadline(time.Now().Add(goodbye))
		_ = c.ldap.Unbind() // the server may be gone
	}
	c.abort()
}

// abort closes the connection in whatever state it is.
func (c *conn) abort() {
	_ = c.wire.Close()
	if c.ldap != nil {
		_ = c.ldap.Close() // ends its goroutines
	}
}
