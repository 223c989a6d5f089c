package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/app"
	"dex/internal/config"
)

// healthAnswer bounds what is read of an answer, in bytes.
const healthAnswer = 4096

func newHealthcheck() *cobra.Command {
	var o config.Overrides
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck [flags] FILE",
		Short: "Ask the server that runs on this machine with the configuration in FILE whether it is well",
		Long: `Ask the server that runs on this machine with the configuration in FILE whether
it is well. The exit status is 0 if it is, and 1 otherwise, as container engines
expect it of a health check.

It asks the telemetry listener whether the server is ready or, without one, the
listener for browsers. Give the addresses that serve has on its command line.`,
		Example: "  dex healthcheck /etc/dex/config.yaml",
		Args:    operands("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			src, err := app.Input{File: args[0], Stdin: cmd.InOrStdin(), Overrides: o}.Source()
			if err != nil {
				return err
			}
			address, err := healthAddress(src)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return askHealth(ctx, address, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	listenFlags(flags, &o)
	flags.DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for an answer")
	return cmd
}

// healthAddress returns where a server says how it is. Mistakes in other parts of the configuration don't matter to that.
func healthAddress(src config.Source) (string, error) {
	cfg, problems := src.Load()
	if cfg == nil {
		return "", unusable(problems)
	}
	for _, listener := range []struct{ scheme, address, path string }{
		{"http", cfg.Telemetry.HTTP, "/healthz/ready?type=short"},
		{"http", cfg.Web.HTTP, issuerPath(cfg.Issuer) + "/healthz"},
		{"https", cfg.Web.HTTPS, issuerPath(cfg.Issuer) + "/healthz"},
	} {
		if listener.address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(listener.address)
		if err != nil {
			return "", fmt.Errorf("the address %s can't be asked: %w", listener.address, err)
		}
		return listener.scheme + "://" + net.JoinHostPort(reachable(host), port) + listener.path, nil
	}
	return "", errors.New("the configuration has no listener to ask")
}

func issuerPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return "" // the server doesn't start with it either
	}
	return strings.TrimSuffix(u.EscapedPath(), "/")
}

// reachable returns a host to connect to for one to listen at: loopback for all addresses.
func reachable(host string) string {
	if host == "" {
		return "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil || !addr.IsUnspecified():
		return host
	case addr.Is4():
		return "127.0.0.1"
	}
	return "::1"
}

// askHealth asks the server. Its certificate is not verified: it names the public address and not this one, the address is the
// configuration's own, and nothing secret is sent.
func askHealth(ctx context.Context, address string, out io.Writer) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the server doesn't answer: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, healthAnswer)) // says more, if it can be read
		return fmt.Errorf("the server is not well: %s answers %s\n%s", address, resp.Status, strings.TrimSpace(string(body)))
	}
	fmt.Fprintf(out, "The server is well: %s answers %s.\n", address, resp.Status)
	return nil
}
