package app

import (
	"context"
	"fmt"
	"net"

	"dex/internal/admin"
	"dex/internal/admin/grpcdoor"
	"dex/internal/config"
)

// A grpcListener is the management API's over gRPC.
type grpcListener struct {
	*adminTLS
	metrics *grpcdoor.Metrics
}

// prepareGRPC reads what the listener of the management API over gRPC needs; nil if it has no address.
func (c *Core) prepareGRPC() (*grpcListener, error) {
	g := c.cfg.GRPC
	if g.Addr == "" {
		return nil, nil
	}
	secure, err := c.openAdminTLS(adminTLSFiles{
		section: "grpc", cert: g.TLSCert, key: g.TLSKey, clientCA: g.TLSClientCA, lowest: g.TLSMinVersion, highest: g.TLSMaxVersion,
		protocols: []string{"h2"},
	})
	if err != nil {
		return nil, err
	}
	return &grpcListener{adminTLS: secure, metrics: grpcdoor.NewMetrics(c.metrics.Registry())}, nil
}

// bind begins to listen.
func (l *grpcListener) bind(ctx context.Context) (bound net.Listener, err error) {
	address := l.core.cfg.GRPC.Addr
	bound, err = listenAdmin(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("listener grpc: grpc.addr: %q: %w", address, err)
	}
	l.core.bound("grpc")(bound.Addr())
	l.core.log.InfoContext(ctx, "listening on", "server", "grpc", "address", bound.Addr().String())
	l.core.warnOfNobody(ctx, l.adminTLS, bound.Addr())
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
		Log: l.core.log, Events: l.core.events, Traces: l.core.traces, Enter: l.core.enterGRPC, TLS: l.tls, Mutual: l.authorities != nil, Local: isLocal(bound.Addr()),
		Reflection: l.core.cfg.GRPC.Reflection, Metrics: l.metrics,
	})
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go l.watch(watching)
	return door.Serve(ctx, bound)
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
	cfg := admin.AccessConfig{
		Issuer: e.cfg.Issuer, Verifier: with.verifier, Review: e.core.reviews.Review, ClientExists: with.clients.Exists,
	}
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
