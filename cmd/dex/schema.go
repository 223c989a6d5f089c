package main

import (
	"github.com/spf13/cobra"

	"dex/internal/app"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration, for editors and checks",
		Long: `Print a JSON Schema (draft 2020-12) of the configuration file.

Editors complete keys, describe them and mark mistakes if the first line of the
configuration names a file with the schema, beside it or by its whole path:

  # yaml-language-server: $schema=dex.schema.json

dex check finds more: mistakes that only show in several settings together.`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			text, err := app.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
