package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"dex/internal/admin"
	"dex/internal/admin/grpcdoor"
	"dex/internal/config"
	"dex/internal/server"
)

// A grpcListener is the management API's over gRPC.
type grpcListener struct {
	core        *Core
	certificate *server.Certificate // nil without TLS
	authorities *server.Authorities // nil without client certificates
	tls         *tls.Config         // nil without TLS
	metrics     *grpcdoor.Metrics
}

// prepareGRPC reads what the listener of the management API needs; nil if it has no address.
func (c *Core) prepareGRPC() (*grpcListener, error) {
	settings := c.cfg.GRPC
	if settings.Addr == "" {
		return nil, nil
	}
	l := &grpcListener{core: c, metrics: grpcdoor.NewMetrics(c.metrics.Registry())}
	if settings.TLSCert == "" {
		return l, nil
	}
	var err error
	if l.certificate, err = server.NewCertificate(settings.TLSCert, settings.TLSKey, c.log); err != nil {
		return nil, fmt.Errorf("grpc.tlsCert, grpc.tlsKey: %w", err)
	}
	if l.tls, err = l.certificate.TLSConfig(settings.TLSMinVersion, settings.TLSMaxVersion); err != nil {
		return nil, fmt.Errorf("grpc.tlsMinVersion, grpc.tlsMaxVersion: %w", err)
	}
	l.tls.NextProtos = []string{"h2"}
	if settings.TLSClientCA == "" {
		return l, nil
	}
	if l.authorities, err = server.NewAuthorities(settings.TLSClientCA, c.log); err != nil {
		return nil, fmt.Errorf("grpc.tlsClientCA: %w", err)
	}
	l.tls = l.authorities.Verify(l.tls, func() bool { return c.edition.Load().cfg.API.Bearers() })
	return l, nil
}

// bind begins to listen.
func (l *grpcListener) bind(ctx context.Context) (bound net.Listener, err error) {
	address := l.core.cfg.GRPC.Addr
	if path, ok := config.UnixSocket(address); ok {
		bound, err = server.ListenUnix(ctx, path)
	} else {
		bound, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listener grpc: grpc.addr: %q: %w", address, err)
	}
	l.core.bound("grpc")(bound.Addr())
	l.core.log.InfoContext(ctx, "listening on", "server", "grpc", "address", bound.Addr().String())
	if !l.core.cfg.API.Guarded() && l.authorities == nil {
		l.core.log.WarnContext(ctx, "the management API asks nobody who they are: whoever reaches it may read secrets and change everything",
			"address", bound.Addr().String())
	}
	return bound, nil
}

// isLocal reports whether only this machine reaches an address.
func isLocal(address net.Addr) bool {
	switch a := address.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}

// serve serves until the context ends, and meanwhile has the files watched.
func (l *grpcListener) serve(ctx context.Context, bound net.Listener) error {
	door := grpcdoor.New(grpcdoor.Options{
		Log: l.core.log, Events: l.core.events, Enter: l.core.enterGRPC, TLS: l.tls, Mutual: l.authorities != nil, Local: isLocal(bound.Addr()),
		Reflection: l.core.cfg.GRPC.Reflection, Metrics: l.metrics,
	})
	watching, stop := context.WithCancel(ctx)
	defer stop()
	if l.certificate != nil {
		go l.certificate.Watch(watching, server.WatchInterval)
	}
	if l.authorities != nil {
		go l.authorities.Watch(watching, server.WatchInterval)
	}
	return door.Serve(ctx, bound)
}

// reload reads the files again.
func (l *grpcListener) reload(ctx context.Context) {
	if l.certificate != nil {
		if err := l.certificate.Reload(); err != nil {
			l.core.log.ErrorContext(ctx, "reload TLS config", "err", err)
		}
	}
	if l.authorities != nil {
		if err := l.authorities.Reload(); err != nil {
			l.core.log.ErrorContext(ctx, "reload TLS config", "err", err)
		}
	}
}

// enterGRPC returns what is in force for a call.
func (c *Core) enterGRPC() (grpcdoor.Room, func()) {
	e := c.enter()
	return grpcdoor.Room{
		Service: e.admin, Access: e.access, Anonymous: e.cfg.GRPC.InsecureAnonymous,
		StandardCodes:  e.cfg.GRPC.StatusCodes == config.StandardCodes,
		ConnectorsCRUD: e.cfg.Flags.APIConnectorsCRUD, SessionsCRUD: e.cfg.Flags.APISessionsAndIdentitiesCRUD,
	}, e.leave
}

// adminAccess returns who may call the management API.
func (e *Edition) adminAccess(with shared) *admin.Access {
	settings := e.cfg.API
	cfg := admin.AccessConfig{Issuer: e.cfg.Issuer, Verifier: with.verifier, Review: e.core.reviews.Review}
	if settings.AdminTokens {
		cfg.Tokens = e.core.adminTokens
	}
	for _, a := range settings.Access {
		entry := admin.Entry{Name: a.Name}
		for _, role := range a.Roles {
			entry.Roles = append(entry.Roles, admin.Role(role))
		}
		if c := a.Certificate; c != nil {
			entry.Certificate = &admin.CertificateRule{CommonName: c.CommonName, DNSName: c.DNSName, URI: c.URI, SHA256: c.SHA256}
		}
		if t := a.Token; t != nil {
			entry.Token = &admin.TokenRule{Client: t.Client, Groups: t.Groups}
		}
		if s := a.ServiceAccount; s != nil {
			entry.ServiceAccount = &admin.ServiceAccount{Namespace: s.Namespace, Name: s.Name}
		}
		cfg.Entries = append(cfg.Entries, entry)
	}
	return admin.NewAccess(cfg)
}
