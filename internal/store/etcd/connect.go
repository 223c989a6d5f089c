package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// diagnosis bounds the search for the reason why no endpoint answers.
const diagnosis = 2 * time.Second

// errSilent says that there is a server which does not answer as etcd does.
var errSilent = errors.New("takes connections, but does not answer as etcd does" +
	" (is the port the one for clients, and http:// or https:// right?)")

// A connection is a client, and what it needs beside itself.
type connection struct {
	*clientv3.Client
	anonymous *clientv3.Client // nil if there is no user name
}

// connect makes a client that lives as long as the context life. It is connected only if there is a user name; a call
// tells whether it works.
func connect(life context.Context, c *Config, endpoints []*url.URL, secure *tls.Config) (*connection, error) {
	settings := clientv3.Config{
		Context:     life,
		TLS:         secure,
		DialTimeout: patience,
		// A server that vanished without a word is noticed, so that another is asked and the watch goes on there. Servers
		// refuse less than 5 s.
		DialKeepAliveTime:    20 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(reconnecting), grpc.WithChainUnaryInterceptor(once)},
		// It writes a line for every failed attempt of a call. The calls' own errors say enough.
		Logger: zap.NewNop(),
	}
	if secure != nil && secure.ServerName != "" {
		settings.DialOptions = append(settings.DialOptions, grpc.WithTransportCredentials(
			named{TransportCredentials: credentials.NewTLS(secure), server: secure.ServerName}))
	}
	for _, e := range endpoints {
		settings.Endpoints = append(settings.Endpoints, e.String())
	}
	client, err := clientv3.New(settings)
	if err != nil {
		return nil, err
	}
	if c.Username == "" {
		return &connection{Client: client}, nil
	}
	anonymous := client
	settings.Username, settings.Password = c.Username, c.Password
	settings.DialOptions = append(settings.DialOptions, authenticateBy(anonymous))
	if client, err = clientv3.New(settings); err != nil {
		_ = anonymous.Close() // says only that its context ended
		return nil, err
	}
	return &connection{Client: client, anonymous: anonymous}, nil
}

// reconnecting replaces gRPC's own values, by which it waits for up to two minutes before it looks again for a server
// that was down.
var reconnecting = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
	MinConnectTimeout: patience,
}

// authenticateBy lets another client, which has no token, ask for tokens. The client library shows the token that it has
// when it asks for a new one, and servers before 3.5 refuse that if the old one is no longer valid, such as after a
// restart. The library would then go on asking in vain.
func authenticateBy(anonymous *clientv3.Client) grpc.DialOption {
	const method = "/etcdserverpb.Auth/Authenticate"
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, called string, request, answer any,
		conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		if called == method {
			return anonymous.ActiveConnection().Invoke(ctx, method, request, answer, opts...)
		}
		return invoke(ctx, called, request, answer, conn, opts...)
	})
}

// once keeps the client library from repeating a transaction that a server, or a proxy before it, gave up, and may have
// done all the same. The library takes two codes for the end of a context of its own, and would meet its own write: a
// record that it created would be another's.
func once(ctx context.Context, called string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	err := invoke(ctx, called, request, answer, conn, opts...)
	if called != "/etcdserverpb.KV/Txn" || ctx.Err() != nil {
		return err
	}
	if c := status.Code(err); c == codes.Canceled || c == codes.DeadlineExceeded {
		return status.Errorf(codes.Unknown, "it is open whether the write was done: %s", status.Convert(err).Message())
	}
	return err
}

// close ends all connections. That the client's own context has ended is no failure.
func (c *connection) close() error {
	errs := []error{c.Close()}
	if c.anonymous != nil {
		errs = append(errs, c.anonymous.Close())
	}
	for i, err := range errs {
		if errors.Is(err, context.Canceled) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// named asks for a certificate of a server of its own choice. With those that it wraps it would be the host of the
// endpoint, whatever tls.Config.ServerName says.
type named struct {
	credentials.TransportCredentials
	server string
}

func (n named) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return n.TransportCredentials.ClientHandshake(ctx, n.server, conn)
}

func (n named) Clone() credentials.TransportCredentials {
	return named{TransportCredentials: n.TransportCredentials.Clone(), server: n.server}
}

// diagnose finds out why the endpoints don't answer: the client only knows that its time is over.
func diagnose(ctx context.Context, endpoints []*url.URL, secure *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, diagnosis)
	defer cancel()
	reasons := make(chan error, len(endpoints))
	for _, e := range endpoints {
		go func() {
			err := greet(ctx, e.Host, secure)
			if err == nil {
				err = errSilent
			}
			reasons <- fmt.Errorf("%s: %w", e, err)
		}()
	}
	var errs []error
	for range endpoints {
		errs = append(errs, <-reasons)
	}
	return errors.Join(errs...)
}

// greet connects to a server. Where there is TLS it waits for a first byte, because a server that does not like the
// client's certificate says so only after the handshake.
func greet(ctx context.Context, address string, secure *tls.Config) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if secure == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	settings := secure.Clone()
	settings.NextProtos = []string{"h2"}
	if settings.ServerName == "" {
		settings.ServerName = host
	}
	encrypted := tls.Client(conn, settings)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return err
	}
	end, _ := ctx.Deadline()
	if err := encrypted.SetReadDeadline(end); err != nil {
		return err
	}
	_, err = encrypted.Read(make([]byte, 1))
	return err
}

// names lists endpoints for a message.
func names(endpoints []*url.URL) string {
	all := make([]string, len(endpoints))
	for i, e := range endpoints {
		all[i] = e.String()
	}
	return strings.Join(all, ", ")
}
