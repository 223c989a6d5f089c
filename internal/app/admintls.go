package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"dex/internal/config"
	"dex/internal/server"
)

// adminTLSFiles are the files of a listener of the management API, from one section of the configuration.
type adminTLSFiles struct {
	section             string
	cert, key, clientCA string
	lowest, highest     string // versions of TLS
	protocols           []string
}

// adminTLS is the TLS of a listener of the management API.
type adminTLS struct {
	core        *Core
	certificate *server.Certificate // nil without TLS
	authorities *server.Authorities // nil without client certificates
	tls         *tls.Config         // nil without TLS
}

// openAdminTLS reads the files, if there are any.
func (c *Core) openAdminTLS(f adminTLSFiles) (*adminTLS, error) {
	a := &adminTLS{core: c}
	if f.cert == "" {
		return a, nil
	}
	var err error
	if a.certificate, err = server.NewCertificate(f.cert, f.key, c.log); err != nil {
		return nil, fmt.Errorf("%[1]s.tlsCert, %[1]s.tlsKey: %[2]w", f.section, err)
	}
	if a.tls, err = a.certificate.TLSConfig(f.lowest, f.highest); err != nil {
		return nil, fmt.Errorf("%[1]s.tlsMinVersion, %[1]s.tlsMaxVersion: %[2]w", f.section, err)
	}
	a.tls.NextProtos = f.protocols
	if f.clientCA == "" {
		return a, nil
	}
	if a.authorities, err = server.NewAuthorities(f.clientCA, c.log); err != nil {
		return nil, fmt.Errorf("%s.tlsClientCA: %w", f.section, err)
	}
	a.tls = a.authorities.Verify(a.tls, func() bool { return c.edition.Load().cfg.API.Bearers() })
	return a, nil
}

// watch has changed files read again until the context ends.
func (a *adminTLS) watch(ctx context.Context) {
	var all sync.WaitGroup
	if a.certificate != nil {
		all.Go(func() { a.certificate.Watch(ctx, server.WatchInterval) })
	}
	if a.authorities != nil {
		all.Go(func() { a.authorities.Watch(ctx, server.WatchInterval) })
	}
	all.Wait()
}

// reload reads the files again.
func (a *adminTLS) reload(ctx context.Context) {
	if a.certificate != nil {
		if err := a.certificate.Reload(); err != nil {
			a.core.log.ErrorContext(ctx, "reload TLS config", "err", err)
		}
	}
	if a.authorities != nil {
		if err := a.authorities.Reload(); err != nil {
			a.core.log.ErrorContext(ctx, "reload TLS config", "err", err)
		}
	}
}

// listenAdmin begins to listen at an address of the management API.
func listenAdmin(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := config.UnixSocket(address); ok {
		return server.ListenUnix(ctx, path)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// warnOfNobody warns of a listener of the management API that nothing guards.
func (c *Core) warnOfNobody(ctx context.Context, a *adminTLS, address net.Addr) {
	if !c.cfg.API.Guarded() && a.authorities == nil {
		c.log.WarnContext(ctx, "the management API asks nobody who they are: whoever reaches it may read secrets and change everything",
			"address", address.String())
	}
}
