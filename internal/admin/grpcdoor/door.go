// Package grpcdoor serves the management API over gRPC: upstream's service api.Dex, with upstream's messages, numbers and errors, and
// our own dex.v1.Admin.
package grpcdoor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/event"
	"dex/internal/telemetry"
)

// Bounds of the listener. They suit automation of a large fleet, and keep a stranger from using the process up.
const (
	// maxMessage is the largest message that is read, in bytes: a record has at most half of that.
	maxMessage = 2 << 20
	// maxHeader is the largest header list that is read, in bytes: tokens are in it.
	maxHeader = 64 << 10
	// maxConnections is how many connections there may be at once; others wait to be accepted.
	maxConnections = 500
	// maxStreams is how many calls a connection may have at once.
	maxStreams = 100
	// maxCalls is how many calls are served at once; others wait.
	maxCalls = 64
	// handshake is how long a connection may take to be set up.
	handshake = 10 * time.Second
	// callTimeout bounds a call, whatever deadline it has.
	callTimeout = 2 * time.Minute
	// idle ends connections without calls, and age all others, so that a certificate that has expired loses its connection.
	idle, age, ageGrace = 15 * time.Minute, time.Hour, time.Minute
	// drain is how long calls may take when the listener stops.
	drain = 10 * time.Second
)

// Options are what the door needs.
type Options struct {
	Log    *slog.Logger
	Events event.Sink
	Traces *telemetry.Traces // nil where they go nowhere
	// Enter returns what is in force for one call, and a function that the call must call at its end.
	Enter func() (Room, func())
	// TLS is nil for plain text. Where it asks for client certificates, Mutual must be set.
	TLS    *tls.Config
	Mutual bool
	// Local says that only this machine reaches the listener, so that whoever does may come in if nothing says who may.
	Local bool
	// Reflection lets clients ask which methods there are.
	Reflection bool
	Metrics    *Metrics
}

// A Room is what one configuration has to administer, and how it is served.
type Room struct {
	Service *admin.Service
	Access  *admin.Access
	// StandardCodes has upstream's methods answer with status codes that say what went wrong. Otherwise these are all Unknown.
	StandardCodes bool
	// Anonymous lets anybody in whatever the listener, if nothing says who may come in.
	Anonymous bool
	// ConnectorsCRUD and SessionsCRUD switch on what upstream has behind feature flags.
	ConnectorsCRUD, SessionsCRUD bool
}

// A Door is a gRPC server.
type Door struct {
	opts   Options
	server *grpc.Server
	health *health.Server
	calls  chan struct{}
}

// New returns a door that is still closed.
func New(opts Options) *Door {
	d := &Door{opts: opts, health: health.NewServer(), calls: make(chan struct{}, maxCalls)}
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(d.unary), grpc.StreamInterceptor(d.stream),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxHeaderListSize(maxHeader), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: idle, MaxConnectionAge: age, MaxConnectionAgeGrace: ageGrace, Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
	}
	if opts.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(opts.TLS)))
	}
	d.server = grpc.NewServer(options...)
	api.RegisterDexServer(d.server, &dex{})
	dexv1.RegisterAdminServer(d.server, &own{})
	healthv1.RegisterHealthServer(d.server, d.health)
	if opts.Reflection {
		reflection.Register(d.server)
	}
	opts.Metrics.prepare(d.server.GetServiceInfo())
	return d
}

// Serve serves on a listener until the context ends, then lets calls under way finish for a while. It closes the listener.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- d.server.Serve(netutil.LimitListener(l, maxConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("gRPC listener: %w", err)
	case <-ctx.Done():
	}
	d.health.Shutdown() // probes see that it is about to end
	cut := time.AfterFunc(drain, d.server.Stop)
	d.server.GracefulStop()
	cut.Stop()
	if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("gRPC listener: %w", err)
	}
	return nil
}
