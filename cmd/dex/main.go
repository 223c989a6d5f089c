// Command dex is an OpenID Connect provider that signs people in through existing identity sources.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	_ "time/tzdata" // so that TZ has a meaning where the system has no time zones

	"github.com/spf13/cobra"
)

// version is set when a release is linked.
var version = "DEV"

// exitFailure is the exit status of failures of commands that don't call a server, with the exception of a health check: a wrong command line, a bad configuration, or a failed server.
const exitFailure = 2

func main() {
	root := newRoot()
	if cmd, err := root.ExecuteC(); err != nil {
		fmt.Fprintln(os.Stderr, "dex:", complaint(cmd, err))
		os.Exit(exitStatus(cmd, err))
	}
}

// exitStatus is 1 for a failed health check, as container engines reserve 2, and for cases that fail. Commands that call a server have one for each reason.
func exitStatus(cmd *cobra.Command, err error) int {
	if cmd.Name() == "healthcheck" || errors.Is(err, errCasesFail) {
		return 1
	}
	if _, calls := cmd.Annotations[callsServer]; calls && cmd.SilenceUsage { // the command has started
		return apiStatus(err)
	}
	return exitFailure
}

// complaint is what is printed for an error, with the usage if the command line is wrong.
func complaint(cmd *cobra.Command, err error) string {
	if cmd.SilenceUsage { // the command has started
		return err.Error()
	}
	return fmt.Sprintf("%v\nUsage: %s\nRun %s --help for more.", err, cmd.UseLine(), cmd.CommandPath())
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "dex",
		Short:         "An OpenID Connect provider for your existing identity sources",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          knownCommand,

		SuggestionsMinimumDistance: 2, // letters that differ
		RunE:                       helpInstead,
	}
	root.SetVersionTemplate(versionText())
	root.AddCommand(newServe(), newCheck(), newSchema(), newHealthcheck(), newExport(), newImport(), newReseal(), newHashPassword(), newWeb(), newAdmin(), newAudit(), newVersion())
	root.AddCommand(newAPICommands()...)
	return root
}

// helpInstead shows the help of a command that has only commands below it.
func helpInstead(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(os.Stdout)
	if err := cmd.Help(); err != nil {
		return err
	}
	os.Exit(exitFailure) // as scripts expect: without a command nothing was done
	return nil
}

// knownCommand refuses an unknown command.
func knownCommand(parent *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := parent.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %q?", args[0], near[0])
	}
	return fmt.Errorf("there is no command %q; %s --help lists all", args[0], parent.CommandPath())
}

// operands requires one argument for each name.
func operands(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

func versionText() string {
	return fmt.Sprintf("Dex Version: %s\nGo Version: %s\nGo OS/ARCH: %s %s\n",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and exit",
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprint(cmd.OutOrStdout(), versionText())
		},
	}
}
