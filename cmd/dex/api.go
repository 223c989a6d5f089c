package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dex/internal/admin/remote"
	"dex/internal/config"
)

// The exit statuses of commands that call a server, see docs/cli.md.
const (
	exitRefused     = 1 // also what fails on this machine
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitForbidden   = 5
	exitUnreachable = 6
)

// callsServer marks commands that call a server.
const callsServer = "calls a server"

// apiStatus returns the exit status for an error of a command that calls a server.
func apiStatus(err error) int {
	if _, ok := errors.AsType[*remote.UnreachableError](err); ok {
		return exitUnreachable
	}
	if _, ok := errors.AsType[*remote.SettingsError](err); ok {
		return exitUsage
	}
	refused, ok := errors.AsType[*remote.Refused](err)
	if !ok {
		return exitRefused
	}
	switch refused.Status {
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return exitConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitForbidden
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnreachable
	}
	return exitRefused
}

// apiFlags are the flags of commands that call a server.
type apiFlags struct {
	settings remote.Settings
	timeout  time.Duration
	output   string
}

func (o *apiFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&o.settings.Server, "server", "", "the server's management API: https://host:port, or unix:///path (DEX_API_SERVER)")
	flags.StringVar(&o.settings.CA, "ca", "", "the `file` with the authority of the server's certificate (DEX_API_CA)")
	flags.StringVar(&o.settings.Cert, "cert", "", "the `file` with a client certificate (DEX_API_CERT)")
	flags.StringVar(&o.settings.Key, "key", "", "the `file` with its key (DEX_API_KEY)")
	flags.StringVar(&o.settings.TokenFile, "token-file", "", "the `file` with a token (DEX_API_TOKEN_FILE, or the token in DEX_API_TOKEN)")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for each answer")
}

// addOutput adds the flag for the format of what is printed.
func (o *apiFlags) addOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "print json or yaml")
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // only if there is no such flag
	}
}

// run calls a function with a client of the server.
func (o *apiFlags) run(cmd *cobra.Command, do func(ctx context.Context, s *remote.Client) error) error {
	if o.output != "" && o.output != outputJSON && o.output != outputYAML {
		return fmt.Errorf("--output must be json or yaml, not %q", o.output)
	}
	cmd.SilenceUsage = true
	s, err := o.client(o.timeout)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return do(ctx, s)
}

func (o *apiFlags) client(timeout time.Duration) (*remote.Client, error) {
	settings, err := remote.Resolve(o.settings, config.OS)
	if err != nil {
		return nil, err
	}
	return remote.New(settings, timeout)
}

// apiGroup returns a command for commands that call a server.
func apiGroup(o *apiFlags, use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: knownCommand, RunE: helpInstead,

		SuggestionsMinimumDistance: 2, // as of the root
	}
	o.add(cmd.PersistentFlags())
	for _, c := range commands {
		c.Annotations = map[string]string{callsServer: ""}
		c.DisableFlagsInUseLine = true
	}
	cmd.AddCommand(commands...)
	return cmd
}

// newAPICommands returns the commands that call a server.
func newAPICommands() []*cobra.Command {
	return []*cobra.Command{
		newClientCommands(), newUserCommands(), newConnectorCommands(), newApply(),
		newSessionCommands(), newIdentityCommands(), newFactorCommands(), newConsentCommands(), newTokenCommands(), newKeyCommands(), newConfigCommands(),
		newPolicyCommands(),
	}
}
