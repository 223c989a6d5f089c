package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/admin"
	"dex/internal/admin/remote"
	"dex/internal/app"
	"dex/internal/store"
)

func newAdmin() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "Say who may use the management API", Args: knownCommand, RunE: helpInstead}
	cmd.AddCommand(newAdminToken())
	return cmd
}

func newAdminToken() *cobra.Command {
	d := &adminTokens{}
	cmd := apiGroup(&d.apiFlags, "token", "Make, list and revoke tokens for the management API",
		`Make, list and revoke tokens for the management API. They count where the
configuration has api.adminTokens: true.

With --config these commands open the storage of a configuration, such as for the
first token. Without it they call a running server, which needs the role all.

What keeps users signed in are other tokens: see dex token.`,
		newAdminTokenCreate(d), newAdminTokenList(d), newAdminTokenRevoke(d))
	cmd.PersistentFlags().StringVarP(&d.config, "config", "c", "", "open the storage of this configuration `file`, instead of calling a server")
	return cmd
}

func newAdminTokenCreate(d *adminTokens) *cobra.Command {
	var name string
	var roles []string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create [--config FILE] --name NAME --role ROLE",
		Short: "Make a token and print it",
		Long: `Make a token and print it on standard output. Nobody can read it again later.

The roles are read, clients, users, connectors and all; --role may be repeated.`,
		Example: "  dex admin token create --config config.yaml --name ci --role clients --expires 720h",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.with(cmd, func(ctx context.Context, tokens tokenStore) error {
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

func newAdminTokenList(d *adminTokens) *cobra.Command {
	return &cobra.Command{
		Use:   "list [--config FILE]",
		Short: "List the tokens that have not expired",
		Args:  operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.with(cmd, func(ctx context.Context, tokens tokenStore) error {
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
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.ID, remote.Printable(t.Name), strings.Join(roles, ","), t.Expires.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}

func newAdminTokenRevoke(d *adminTokens) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke [--config FILE] ID",
		Short: "Have a token refused from now on",
		Args:  operands("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.with(cmd, func(ctx context.Context, tokens tokenStore) error {
				return tokens.Delete(ctx, args[0])
			})
		},
	}
}

// A tokenStore is where admin tokens are: in a storage, or with a server.
type tokenStore interface {
	Create(ctx context.Context, name string, roles []admin.Role, lifetime time.Duration) (string, admin.AdminToken, error)
	List(ctx context.Context) ([]admin.AdminToken, error)
	Delete(ctx context.Context, id string) error
}

// adminTokens say which.
type adminTokens struct {
	apiFlags
	config string
}

// with opens the storage of a configuration, or calls a server. Whoever can open the storage may do everything.
func (d *adminTokens) with(cmd *cobra.Command, do func(context.Context, tokenStore) error) error {
	if d.config == "" {
		return d.run(cmd, func(ctx context.Context, s *remote.Client) error { return do(ctx, remoteTokens{s}) })
	}
	if d.settings.Server != "" {
		return errors.New("give --config or --server, not both")
	}
	delete(cmd.Annotations, callsServer)
	cmd.SilenceUsage = true
	return withStorage(cmd, d.config, func(ctx context.Context, s store.Store) error {
		caller := admin.Caller{Name: "dex admin token", Roles: []admin.Role{admin.RoleAll}}
		return do(admin.WithCaller(ctx, caller), app.AdminTokens(s, slog.New(slog.DiscardHandler)))
	})
}

// remoteTokens are those of a server.
type remoteTokens struct{ *remote.Client }

// A shownToken is a token as the server shows it.
type shownToken struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Roles   []admin.Role `json:"roles"`
	Token   string       `json:"token"`
	Created time.Time    `json:"created"`
	Expires time.Time    `json:"expires"`
}

func (t *shownToken) adminToken() admin.AdminToken {
	return admin.AdminToken{ID: t.ID, Name: t.Name, Roles: t.Roles, Created: t.Created, Expires: t.Expires}
}

func (r remoteTokens) Create(
	ctx context.Context, name string, roles []admin.Role, lifetime time.Duration,
) (string, admin.AdminToken, error) {
	answer, err := r.Do(ctx, remote.Call{
		Method: http.MethodPost, Path: []string{"tokens"}, Body: map[string]any{"name": name, "roles": roles, "expires": lifetime.String()},
	})
	if err != nil {
		return "", admin.AdminToken{}, err
	}
	var made shownToken
	err = answer.Decode(&made)
	return made.Token, made.adminToken(), err
}

func (r remoteTokens) List(ctx context.Context) ([]admin.AdminToken, error) {
	answer, err := r.Do(ctx, remote.Call{Method: http.MethodGet, Path: []string{"tokens"}})
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []shownToken `json:"items"`
	}
	if err := answer.Decode(&list); err != nil {
		return nil, err
	}
	all := make([]admin.AdminToken, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, list.Items[i].adminToken())
	}
	return all, nil
}

func (r remoteTokens) Delete(ctx context.Context, id string) error {
	_, err := r.Do(ctx, remote.Call{Method: http.MethodDelete, Path: []string{"tokens", id}})
	return err
}
