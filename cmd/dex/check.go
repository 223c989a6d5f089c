package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dex/internal/app"
	"dex/internal/config"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration and report every mistake in it",
		Long: `Check a configuration and report every mistake in it, a line each:

  error: FILE:LINE:COLUMN: KEY: what is wrong, what is allowed

Warnings leave the configuration usable. The exit status is 0 when there are
no errors, and 2 otherwise. FILE may be - for standard input. Nothing is
connected to and nothing is written.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			_, problems, err := readPlan(args[0], config.Overrides{}, cmd.InOrStdin())
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), app.Report(problems))
			if problems.HasErrors() {
				return errors.New("the configuration can't be used")
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The configuration can be used.")
			return nil
		},
	}
}
