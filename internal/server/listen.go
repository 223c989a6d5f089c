package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// DefaultDrainTimeout is how long requests in progress may take when the listeners stop: Kubernetes's default before it
// kills a process.
const DefaultDrainTimeout = 30 * time.Second

const (
	// DefaultMaxHeader is how large a request's header, including the request line, may be if its route doesn't say, in
	// bytes. Cookies don't count: browsers also send those of other applications on the same host, and one that keeps its
	// sessions in cookies, such as oauth2-proxy, would lock its users out.
	DefaultMaxHeader = 64 << 10
	// LargestHeader is the most that a route may allow, and the limit for a header with its cookies.
	LargestHeader = 320 << 10
)

// A Listener is an address and what is served there.
type Listener struct {
	Name    string // for the log: http, https, telemetry
	Key     string // in the configuration, for errors: web.http
	Address string // host:port; port 0 takes a free one
	Handler http.Handler
	TLS     *tls.Config // nil: without TLS
	// Listen binds the address if it isn't one of TCP; nil if it is.
	Listen func(context.Context) (net.Listener, error)
	// OnBound, if not nil, is called with the bound address before anything is served there.
	OnBound  func(net.Addr)
	Timeouts Timeouts
}

// Timeouts end the connections of clients that are too slow, deliberately or not. Zero values mean the defaults.
type Timeouts struct {
	Header time.Duration // reading a request's header; 10s
	Read   time.Duration // reading all of a request; 30s
	Write  time.Duration // from the request's header to the end of the answer, including the handler's time; 60s
	Idle   time.Duration // between requests; 120s
}

// A Group is listeners that start and stop together.
type Group struct {
	Log       *slog.Logger
	Listeners []Listener
	// DrainTimeout is how long all of them together may take to stop; DefaultDrainTimeout if 0.
	DrainTimeout time.Duration
	// OnDrain, if not nil, is called before the listeners stop, to turn readiness off.
	OnDrain func()
}

// Serve binds all addresses, serves until the context ends or a listener fails, then lets the requests in progress finish.
// It returns nil if the context ended and all requests finished. A request's context does not end with ctx, but when its
// connection ends or Serve returns.
func (g *Group) Serve(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	servers, err := g.bind(ctx, base)
	if err != nil {
		return err
	}
	stopped := make(chan error, len(servers))
	for _, s := range servers {
		g.Log.InfoContext(ctx, "listening on", "server", s.Name, "address", s.bound.Addr().String())
		go func() { stopped <- s.serve() }()
	}

	running := len(servers)
	select {
	case <-ctx.Done():
	case err = <-stopped:
		running--
	}
	err = errors.Join(err, g.drain(base, servers))
	for range running {
		err = errors.Join(err, <-stopped)
	}
	return err
}

// server is a bound listener.
type server struct {
	Listener
	http  *http.Server
	bound net.Listener
}

// bind binds all addresses, or none.
func (g *Group) bind(ctx, base context.Context) ([]*server, error) {
	var servers []*server
	for _, l := range g.Listeners {
		bound, err := l.listen(ctx)
		if err != nil {
			for _, s := range servers {
				_ = s.bound.Close() // it has accepted nothing yet
			}
			return nil, fmt.Errorf("listener %s: %s: %q: %w", l.Name, l.Key, l.Address, err)
		}
		servers = append(servers, &server{Listener: l, http: newHTTPServer(base, l, g.Log), bound: bound})
	}
	for _, s := range servers {
		if s.OnBound != nil {
			s.OnBound(s.bound.Addr())
		}
	}
	return servers, nil
}

func (l *Listener) listen(ctx context.Context) (net.Listener, error) {
	if l.Listen != nil {
		return l.Listen(ctx)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", l.Address)
}

func newHTTPServer(base context.Context, l Listener, log *slog.Logger) *http.Server {
	write := orDefault(l.Timeouts.Write, 60*time.Second)
	return &http.Server{
		Handler:           l.Handler,
		TLSConfig:         l.TLS,
		ReadHeaderTimeout: orDefault(l.Timeouts.Header, 10*time.Second),
		ReadTimeout:       orDefault(l.Timeouts.Read, 30*time.Second),
		WriteTimeout:      write,
		IdleTimeout:       orDefault(l.Timeouts.Idle, 120*time.Second),
		MaxHeaderBytes:    LargestHeader,
		ErrorLog:          newErrorLog(log, l.Name),
		BaseContext:       func(net.Listener) context.Context { return base },
		// WriteTimeout ends an HTTP/2 stream, but not the connection of a client that has stopped reading.
		HTTP2: &http.HTTP2Config{WriteByteTimeout: write},
		// net/http's own answer to OPTIONS * lacks our headers.
		DisableGeneralOptionsHandler: true,
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// serve serves until the server is shut down, which is not an error.
func (s *server) serve() error {
	var err error
	if s.TLS == nil {
		err = s.http.Serve(s.bound)
	} else {
		err = s.http.ServeTLS(s.bound, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("listener %s: %w", s.Name, err)
}

// drain stops all servers concurrently, with one deadline.
func (g *Group) drain(ctx context.Context, servers []*server) error {
	if g.OnDrain != nil {
		g.OnDrain()
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(g.DrainTimeout, DefaultDrainTimeout))
	defer cancel()
	results := make(chan error, len(servers))
	for _, s := range servers {
		g.Log.DebugContext(ctx, "starting graceful shutdown", "server", s.Name)
		go func() { results <- s.shutdown(ctx) }()
	}
	var errs []error
	for range servers {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// shutdown waits for the requests in progress and cuts them off at the deadline.
func (s *server) shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	return fmt.Errorf("graceful shutdown of %s: %w", s.Name, errors.Join(err, s.http.Close()))
}
