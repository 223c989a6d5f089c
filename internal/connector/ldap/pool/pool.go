// Package pool keeps connections to the servers of one LDAP directory. Their number is limited, they go to whichever server
// works, and each operation is bounded in time.
package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"dex/internal/connector"
)

const (
	defaultConnections      = 16
	defaultConnectTimeout   = 10 * time.Second
	defaultOperationTimeout = 10 * time.Second
)

// A TLSMode says how connections are encrypted.
type TLSMode int

const (
	// None does not encrypt.
	None TLSMode = iota
	// LDAPS starts with the TLS handshake.
	LDAPS
	// StartTLS asks for TLS by the extended operation of RFC 4511 4.14.
	StartTLS
)

// Settings say where a directory is and how to query it.
type Settings struct {
	// Hosts are the servers, host:port each, in order of preference. They hold the same entries.
	Hosts []string
	TLS   TLSMode
	// TLSConfig is for LDAPS and StartTLS; the pool sets ServerName for each host, unless it is set.
	TLSConfig *tls.Config
	// BindDN and BindPW are the service account. If both are empty, searches are anonymous.
	BindDN, BindPW string
	// MaxConnections bounds the connections to all hosts. 0 means 16. A third of them check passwords, the others are the
	// service account's; a single one takes turns.
	MaxConnections int
	// ConnectTimeout bounds connecting, with TLS and bind. OperationTimeout bounds each operation; of a search, each page.
	// 0 means 10 s.
	ConnectTimeout, OperationTimeout time.Duration
	// PageSize is how many entries of a search result come at a time, if the server supports pages. 0 means 500, less than 0
	// all at once.
	PageSize int
	// Log gets a line when a host fails and when it works again; nil for none.
	Log *slog.Logger
}

// A Pool keeps the connections. It is safe for concurrent use.
type Pool struct {
	settings Settings
	hosts    *hosts
	kept     map[role]*kept
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// New returns a pool without connections; the first operation opens one.
func New(s Settings) *Pool {
	if s.MaxConnections <= 0 {
		s.MaxConnections = defaultConnections
	}
	if s.ConnectTimeout <= 0 {
		s.ConnectTimeout = defaultConnectTimeout
	}
	if s.OperationTimeout <= 0 {
		s.OperationTimeout = defaultOperationTimeout
	}
	if s.PageSize == 0 {
		s.PageSize = defaultPageSize
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.TLSConfig == nil {
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &Pool{
		settings: s,
		hosts:    newHosts(s.Hosts, s.Log),
		kept:     share(s.MaxConnections),
		dial:     new(net.Dialer).DialContext,
	}
}

// share divides the connections between the roles. A login searches at least twice for each password, and with separate
// shares no role closes the other's connections only to open its own.
func share(limit int) map[role]*kept {
	if limit == 1 {
		one := newKept(1)
		return map[role]*kept{searcher: one, checker: one}
	}
	checkers := max(limit/3, 1)
	return map[role]*kept{searcher: newKept(limit - checkers), checker: newKept(checkers)}
}

// Bind checks a password, on a connection that is not the service account's. A *Refused says why the server does not
// accept it; any other error means that no server could be asked.
func (p *Pool) Bind(ctx context.Context, dn, password string) error {
	// A bind with a name but no password succeeds without any check (RFC 4513 5.1.2). Servers written in C may read a
	// password that starts with NUL as an empty one.
	if password == "" || strings.ContainsRune(password, 0) {
		return &Refused{Reason: WrongPassword, Err: errors.New("the password is empty or has a NUL in it; no server was asked")}
	}
	if strings.TrimSpace(dn) == "" { // would be an anonymous bind
		return errors.New("LDAP bind: the entry has no DN")
	}
	return p.run(ctx, checker, func(ctx context.Context, c *conn) error { return c.bind(ctx, dn, password) })
}

// Probe reads the root DSE as the service account, on any host that answers.
func (p *Pool) Probe(ctx context.Context) error {
	return p.run(ctx, searcher, func(ctx context.Context, c *conn) error {
		_, err := c.rootDSE(ctx)
		return elsewhere(err, searchFailures)
	})
}

// Close closes idle connections at once, and busy ones as soon as their operation is done. Operations that begin later still
// work: each opens a connection of its own and closes it.
func (p *Pool) Close() error {
	for _, kept := range p.kept {
		kept.close()
	}
	return nil
}

// run does an operation on a connection of a role. If a host fails, or says that it can't do it, the operation is tried on
// the other hosts, once on each. Every operation can safely be done twice.
func (p *Pool) run(ctx context.Context, as role, do operation) error {
	if err := p.kept[as].acquire(ctx); err != nil {
		return &connector.Temporary{Cause: err}
	}
	defer p.kept[as].release()
	var tried []*host
	var failures failures
	for h := p.hosts.next(tried); h != nil; h = p.hosts.next(tried) {
		if len(tried) > 0 {
			p.settings.Log.WarnContext(ctx, "the next LDAP server is asked", "host", h.address, "err", failures.all)
		}
		err := p.tryHost(ctx, h, as, do)
		outage, ok := errors.AsType[*outage](err)
		if !ok {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("LDAP: %w", context.Cause(ctx))
		}
		if !outage.answered {
			p.hosts.failed(h, err)
			for _, kept := range p.kept {
				kept.drop(h)
			}
		}
		tried = append(tried, h)
		failures.add(h, outage)
	}
	return failures.err()
}

// tryHost does an operation on one host. An idle connection may have died unnoticed, which says nothing about the host: the
// operation is tried again on a new one.
func (p *Pool) tryHost(ctx context.Context, h *host, as role, do operation) error {
	if c := p.kept[as].take(h, as); c != nil {
		err := p.use(ctx, c, do)
		outage, ok := errors.AsType[*outage](err)
		if !ok || !outage.lost || ctx.Err() != nil {
			return err
		}
	}
	p.kept[as].reserve()
	c, err := p.connect(ctx, h, as)
	if err != nil {
		p.kept[as].forget()
		return err
	}
	return p.use(ctx, c, do)
}

// use does an operation on a connection, and keeps the connection if it is still good.
func (p *Pool) use(ctx context.Context, c *conn, do operation) error {
	err := do(ctx, c)
	if outage := outageOf(err); outage != nil && !outage.answered {
		c.abort()
		p.kept[c.role].forget()
		return outage
	}
	p.hosts.works(c.host)
	p.kept[c.role].put(c)
	return err
}

// An operation is done on a connection. Its error is the server's answer, or says that there was none.
type operation func(context.Context, *conn) error
