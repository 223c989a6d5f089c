// Example-app is an OpenID Connect client for trying out a provider: it signs
// a user in, shows the tokens that came back, and refreshes them.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// discoveryPatience is how long to wait for a provider that is started at
	// the same time.
	discoveryPatience = 10 * time.Second
	// shutdownGrace leaves one of the five seconds in which the program must end.
	shutdownGrace = 4 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "error: %s\n", brief(err))
	return 2
}

// run serves until ctx ends, which is not an error.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	if opts.debug {
		_, _ = fmt.Fprintln(stderr, "warning: --debug prints every exchange with the provider, secrets and tokens included")
	}
	client, err := newProviderClient(opts, stderr)
	if err != nil {
		return err
	}
	server, err := newServer(opts)
	if err != nil {
		return err
	}

	// Listening before waiting for the provider reports a port in use at once,
	// and lets early browsers wait instead of being refused.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listenAddress(opts))
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer func() { _ = listener.Close() }() // in case of a return before serving

	discoverCtx, cancel := context.WithTimeout(ctx, discoveryPatience)
	defer cancel()
	p, err := discover(discoverCtx, opts, client, stderr)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}

	a, err := newApp(ctx, opts, p, stderr)
	if err != nil {
		return err
	}
	if server.Handler, err = a.handler(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "listening on %s\n", shownAddress(opts, listener)); err != nil {
		return fmt.Errorf("printing the address: %w", err)
	}
	return serve(ctx, server, listener)
}

// newServer sets the limits of the web server. The write timeout must leave
// time for the requests to the provider that a page waits for.
func newServer(opts options) (*http.Server, error) {
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2*providerTimeout + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	if opts.listen.Scheme != "https" {
		return server, nil
	}
	cert, err := tls.LoadX509KeyPair(opts.tlsCert, opts.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return server, nil
}

// listenAddress is the address to bind; the port defaults to the scheme's.
func listenAddress(opts options) string {
	port := opts.listen.Port()
	if port == "" {
		port = opts.listen.Scheme
	}
	return net.JoinHostPort(opts.listen.Hostname(), port)
}

// shownAddress is the URL as given, unless the system chose the port.
func shownAddress(opts options, listener net.Listener) string {
	host := opts.listen.Host
	if opts.listen.Port() == "0" {
		host = listener.Addr().String()
	}
	return opts.listen.Scheme + "://" + host
}

// serve answers requests until ctx ends, then lets running ones finish for
// shutdownGrace.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()

	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	graceCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(graceCtx); err != nil {
		_ = server.Close() // cuts off what did not finish in time
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
