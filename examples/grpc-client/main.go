// Grpc-client shows how to use the management API: it adds a user and an application, looks at them, and removes them again.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"dex/examples/grpc-client/dexapi"
)

// timeout bounds all calls together.
const timeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

type settings struct {
	address, authority, certificate, key string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("grpc-client", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.address, "addr", "127.0.0.1:5557", "`host:port` of the management API")
	flags.StringVar(&s.authority, "ca-crt", "", "`file` with the authority of the server's certificate")
	flags.StringVar(&s.certificate, "client-crt", "", "`file` with our certificate")
	flags.StringVar(&s.key, "client-key", "", "`file` with its key")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.authority == "" || s.certificate == "" || s.key == "" {
		return s, errors.New("give -ca-crt, -client-crt and -client-key; README.md says how to make them")
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	transport, err := s.credentials()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tour := tour{dexapi.NewDexClient(conn), stdout}
	if err := tour.user(ctx); err != nil {
		return err
	}
	return tour.application(ctx)
}

// credentials returns what shows who we are and what the server has to show.
func (s settings) credentials() (credentials.TransportCredentials, error) {
	authority, err := os.ReadFile(s.authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", s.authority)
	}
	certificate, err := tls.LoadX509KeyPair(s.certificate, s.key)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
	}), nil
}
