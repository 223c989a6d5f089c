package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/admin"
	"dex/internal/app"
	"dex/internal/store"
)

func newAdmin() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "Say who may use the management API", Args: knownCommand, RunE: helpInstead}
	cmd.AddCommand(newAdminToken())
	return cmd
}

func newAdminToken() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens for the management API",
		Long: `Make, list and revoke tokens for the management API. They are in the storage of
the configuration, which these commands open, and count where it has
api.adminTokens: true.`,
		Args: knownCommand, RunE: helpInstead,
	}
	cmd.PersistentFlags().StringVarP(&file, "config", "c", "", "the configuration `file`")
	if err := cmd.MarkPersistentFlagRequired("config"); err != nil {
		panic(err) // only if there is no such flag
	}
	cmd.AddCommand(newAdminTokenCreate(&file), newAdminTokenList(&file), newAdminTokenRevoke(&file))
	return cmd
}

func newAdminTokenCreate(file *string) *cobra.Command {
	var name string
	var roles []string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create --config FILE --name NAME --role ROLE",
		Short: "Make a token and print it",
		Long: `Make a token and print it on standard output. Nobody can read it again later.

The roles are read, clients, users, connectors and all; --role may be repeated.`,
		Example: "  dex admin token create --config config.yaml --name ci --role clients --expires 720h",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withTokens(cmd, *file, func(ctx context.Context, tokens *admin.Tokens) error {
				wanted := make([]admin.Role, len(roles))
				for i, r := range roles {
					wanted[i] = admin.Role(r)
				}
				text, made, err := tokens.Create(ctx, name, wanted, expires)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "token %s of %s, until %s:\n", made.ID, made.Name, made.Expires.UTC().Format(time.RFC3339))
				_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "what the log calls whoever has the token")
	flags.StringSliceVar(&roles, "role", nil, "what the token allows")
	flags.DurationVar(&expires, "expires", 30*24*time.Hour, "how long it is good for")
	return cmd
}

func newAdminTokenList(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list --config FILE",
		Short: "List the tokens that have not expired",
		Args:  operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withTokens(cmd, *file, func(ctx context.Context, tokens *admin.Tokens) error {
				all, err := tokens.List(ctx)
				if err != nil {
					return err
				}
				return writeTokens(cmd.OutOrStdout(), all)
			})
		},
	}
}

func writeTokens(out io.Writer, all []admin.AdminToken) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tROLES\tEXPIRES")
	for _, t := range all {
		roles := make([]string, len(t.Roles))
		for i, r := range t.Roles {
			roles[i] = string(r)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.ID, t.Name, strings.Join(roles, ","), t.Expires.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}

func newAdminTokenRevoke(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke --config FILE ID",
		Short: "Have a token refused from now on",
		Args:  operands("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withTokens(cmd, *file, func(ctx context.Context, tokens *admin.Tokens) error {
				return tokens.Delete(ctx, args[0])
			})
		},
	}
}

// withTokens opens the storage of a configuration for a command. Whoever can do that may do everything.
func withTokens(cmd *cobra.Command, file string, do func(context.Context, *admin.Tokens) error) error {
	cmd.SilenceUsage = true
	return withStorage(cmd, file, func(ctx context.Context, s store.Store) error {
		caller := admin.Caller{Name: "dex admin token", Roles: []admin.Role{admin.RoleAll}}
		return do(admin.WithCaller(ctx, caller), app.AdminTokens(s, slog.New(slog.DiscardHandler)))
	})
}
