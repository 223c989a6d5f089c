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
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "dex:", err)
		os.Exit(exitFailure)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "dex",
		Short:         "An OpenID Connect provider for the identity sources that you have",
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(os.Stdout)
			if err := cmd.Help(); err != nil {
				return err
			}
			os.Exit(exitFailure) // as scripts know it: without a command nothing was done
			return nil
		},
	}
	root.AddCommand(newServe(), newCheck(), newExport(), newImport(), newReseal(), newHashPassword(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and exit",
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "Dex Version: %s\nGo Version: %s\nGo OS/ARCH: %s %s\n",
				version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
