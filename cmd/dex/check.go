package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dex/internal/app"
	"dex/internal/config"
)

func newCheck() *cobra.Command {
	var noFiles bool
	cmd := &cobra.Command{
		Use:   "check [flags] FILE",
		Short: "Check a configuration and report every mistake in it",
		Long: `Check a configuration and report every mistake in it, one per line:

  error: FILE:LINE:COLUMN: KEY: what is wrong, what is allowed

A configuration with warnings can be used. The exit status is 0 if there are
no errors, and 2 otherwise. FILE may be - for standard input. Files that the
configuration names, such as certificates, keys and templates, are read too:
run this as the user that the server runs as, or with --no-files where they
don't exist. It makes no connections and writes nothing.`,
		Args: operands("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			found, err := app.Input{File: args[0], Stdin: cmd.InOrStdin(), SkipFiles: noFiles}.Read()
			if err != nil {
				return err
			}
			plan, problems := found.Plan, found.Problems
			if plan != nil && !noFiles {
				problems = append(problems, plan.CheckFiles()...).InOrder()
			}
			fmt.Fprint(cmd.OutOrStdout(), app.Report(problems))
			if plan == nil {
				return errors.New("the configuration can't be used")
			}
			if problems.HasErrors() {
				return errors.New("the configuration has errors")
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The configuration can be used.")
			return nil
		},
	}
	cmd.Flags().BoolVar(&noFiles, "no-files", false, "don't look at files that the configuration names")
	return cmd
}

// unusable is why a command that needs the configuration doesn't run.
func unusable(problems config.Problems) error {
	return errors.New("the configuration can't be used:\n" + strings.TrimSuffix(app.Report(problems), "\n"))
}
