// Command dex is an OpenID Connect provider that signs people in through the identity sources that there are already.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when a release is linked.
var version = "DEV"

// exitFailure is the status of every failure: of a command line, a configuration, or a running server.
const exitFailure = 2

func main() {
	root := newRoot()
	if cmd, err := root.ExecuteC(); err != nil {
		fmt.Fprintln(os.Stderr, "dex:", complaint(cmd, err))
		os.Exit(exitFailure)
	}
}

// complaint is what is printed of an error: for a command line that is wrong, what is right too.
func complaint(cmd *cobra.Command, err error) string {
	if cmd.SilenceUsage { // the command has begun
		return err.Error()
	}
	return fmt.Sprintf("%v\nUsage: %s\n%s --help says more.", err, cmd.UseLine(), cmd.CommandPath())
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "dex",
		Short:         "An OpenID Connect provider for the identity sources that you have",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          knownCommand,

		SuggestionsMinimumDistance: 2, // letters that may be wrong
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(os.Stdout)
			if err := cmd.Help(); err != nil {
				return err
			}
			os.Exit(exitFailure) // as scripts know it: without a command nothing was done
			return nil
		},
	}
	root.SetVersionTemplate(versionText())
	root.AddCommand(newServe(), newCheck(), newExport(), newImport(), newReseal(), newHashPassword(), newVersion())
	return root
}

// knownCommand refuses a word that is no command.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %q?", args[0], near[0])
	}
	return fmt.Errorf("there is no command %q; dex --help lists them", args[0])
}

// operands wants one argument for each name.
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
