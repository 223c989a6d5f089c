package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"dex/internal/admin/remote"
	"dex/internal/token"
)

// printItems prints a list that has no pages: as it is with --output, and otherwise as a table.
func (o *apiFlags) printItems(cmd *cobra.Command, answer *remote.Answer, columns ...column) error {
	if o.output != "" {
		return printDocument(cmd.OutOrStdout(), o.output, answer.Body)
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := answer.Decode(&list); err != nil {
		return err
	}
	rows, err := decodeAll(list.Items)
	if err != nil {
		return err
	}
	return printTable(cmd.OutOrStdout(), rows, columns)
}

// A subject says whose logins a command is about.
type subject struct{ user, userID, connector string }

func (w *subject) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&w.user, "user", "", "the sub of one of the user's tokens")
	flags.StringVar(&w.userID, "user-id", "", "instead of --user: the user's id at the connector, such as userID of a user of dex")
	flags.StringVar(&w.connector, "connector", "", "instead of --user: the connector's id, such as local for users of dex")
	cmd.MarkFlagsOneRequired("user", "user-id")
	cmd.MarkFlagsMutuallyExclusive("user", "user-id")
	cmd.MarkFlagsRequiredTogether("user-id", "connector")
}

func (w *subject) query() url.Values {
	if w.user != "" {
		return url.Values{"user": {w.user}}
	}
	return url.Values{"userID": {w.userID}, "connectorID": {w.connector}}
}

// path returns the path of the user's identity.
func (w *subject) path() ([]string, error) {
	userID, connectorID := w.userID, w.connector
	if w.user != "" {
		var err error
		if userID, connectorID, err = token.ReadSubject(w.user); err != nil {
			return nil, fmt.Errorf("--user must be the sub of one of the user's tokens: %w", err)
		}
	}
	if userID == "" || connectorID == "" {
		return nil, errors.New("the user or the connector is empty")
	}
	return []string{"identities", connectorID, userID}, nil
}

func newTokenCommands() *cobra.Command {
	o := &apiFlags{}
	cmd := apiGroup(o, "token", "Refresh tokens of users: which applications they stay signed in to, and how to end that",
		`List and revoke the refresh tokens of users, over the management API of a running
server. Each is a login of the user at an application.

Tokens for the management API itself are those of dex admin token.`,
		newTokenList(o), newTokenRevoke(o))
	cmd.SuggestFor = []string{"login", "logins", "refresh"}
	return cmd
}

func newTokenList(o *apiFlags) *cobra.Command {
	var whose subject
	cmd := &cobra.Command{
		Use:     "list --user SUB | --user-id ID --connector ID [-o json|yaml]",
		Short:   "List the applications that a user stays signed in to",
		Example: "  dex token list --user-id 0f6c4a3e --connector local",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: []string{"logins"}, Query: whose.query()})
				if err != nil {
					return err
				}
				return o.printItems(cmd, answer, member("ID", "id"), member("CLIENT", "client"), member("CREATED", "created"),
					member("LAST USED", "lastUsed"), member("EXPIRES", "expires"))
			})
		},
	}
	whose.add(cmd)
	o.addOutput(cmd)
	return cmd
}

func newTokenRevoke(o *apiFlags) *cobra.Command {
	var whose subject
	client, all, dry := "", false, false
	cmd := &cobra.Command{
		Use:   "revoke --user SUB | --user-id ID --connector ID, with --client ID | --all",
		Short: "Sign a user out of an application, or of all",
		Long: `Sign a user out of an application, or of all: the refresh tokens end, and the
access tokens of the same logins are refused.`,
		Example: "  dex token revoke --user-id 0f6c4a3e --connector local --client grafana",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				query := whose.query()
				if client != "" {
					query.Set("client", client)
				}
				answer, err := s.Do(ctx, remote.Call{Method: http.MethodDelete, Path: []string{"logins"}, Query: query, DryRun: dry})
				if err != nil {
					return err
				}
				var done struct {
					Ended int `json:"ended"`
				}
				if err := answer.Decode(&done); err != nil {
					return err
				}
				what := "were ended"
				if dry {
					what = "would be ended"
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "logins that %s: %d\n", what, done.Ended)
				return nil
			})
		},
	}
	whose.add(cmd)
	cmd.Flags().StringVar(&client, "client", "", "the application")
	cmd.Flags().BoolVar(&all, "all", false, "all applications")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would happen")
	cmd.MarkFlagsOneRequired("client", "all")
	cmd.MarkFlagsMutuallyExclusive("client", "all")
	return cmd
}

func newKeyCommands() *cobra.Command {
	o := &apiFlags{}
	list := &cobra.Command{
		Use:   "list [-o json|yaml]",
		Short: "List the signing keys, without their private halves",
		Args:  operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: []string{"keys"}})
				if err != nil {
					return err
				}
				return o.printItems(cmd, answer, keyColumns...)
			})
		},
	}
	o.addOutput(list)
	return apiGroup(o, "key", "Signing keys: list and rotate them on a running server",
		`List and rotate the keys that a running server signs tokens with, over its
management API.`, list, newKeyRotate(o))
}

var keyColumns = []column{
	member("ID", "id"), member("ALGORITHM", "algorithm"), member("STATE", "state"), member("FROM", "from"), member("UNTIL", "until"),
}

func newKeyRotate(o *apiFlags) *cobra.Command {
	now, dry := false, false
	cmd := &cobra.Command{
		Use:   "rotate [--now]",
		Short: "Begin to sign with a new key",
		Long: `Begin to sign with a new key. Without --now that happens when everybody has had
the time to read the new key's public half, and tokens of the key before it stay
valid until they expire.

With --now, for a key that has leaked, the new key signs at once, and the keys
before it, retired ones included, are no longer published: nobody accepts their
tokens any more, once they have read the keys again. All users must sign in
again.`,
		Example: "  dex key rotate",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				mode := "graceful"
				if now {
					mode = "now"
				}
				call := remote.Call{Method: http.MethodPost, Path: []string{"keys", "rotate"}, Body: map[string]string{"mode": mode}, DryRun: dry}
				if _, err := s.Do(ctx, call); err != nil {
					return err
				}
				what := "The next key will sign in a while; dex key list shows when."
				if now {
					what = "A new key signs from now on, and those before are no longer published."
				}
				if dry {
					what = "The server would rotate its keys; nothing was changed."
				}
				fmt.Fprintln(cmd.ErrOrStderr(), what)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "at once, after a leak")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only ask whether it is possible")
	return cmd
}

func newConfigCommands() *cobra.Command {
	o := &apiFlags{}
	status := &cobra.Command{
		Use:   "status [-o json|yaml]",
		Short: "Print which configuration is in force, and what is wrong with its file",
		Long: `Print which configuration is in force, when it was read, and what is wrong with
its file. The exit status is 1 if the last reload was refused.`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				return o.configuration(ctx, cmd, s, remote.Call{Method: http.MethodGet, Path: []string{"configuration"}})
			})
		},
	}
	o.addOutput(status)
	reload := &cobra.Command{
		Use:   "reload [-o json|yaml]",
		Short: "Have the server read its configuration file again",
		Long: `Have the server read its configuration file again. A file with mistakes changes
nothing, and the exit status is 1.`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				return o.configuration(ctx, cmd, s, remote.Call{Method: http.MethodPost, Path: []string{"configuration", "reload"}})
			})
		},
	}
	o.addOutput(reload)
	return apiGroup(o, "config", "The configuration of a running server: what is in force, and reloading it",
		`Ask a running server about its configuration, over its management API. To check a
file on this machine, use dex check.`, status, reload)
}

var errConfigRefused = errors.New("the configuration file was refused, and the one before is in force; correct it, and the server reads it again")

// configuration calls the server and prints what it says of its configuration.
func (o *apiFlags) configuration(ctx context.Context, cmd *cobra.Command, s *remote.Client, call remote.Call) error {
	answer, err := s.Do(ctx, call)
	if err != nil {
		return err
	}
	if err := printDocument(cmd.OutOrStdout(), o.output, answer.Body); err != nil {
		return err
	}
	state := struct {
		Current bool `json:"current"`
	}{true} // what a reload answers doesn't have it: if that fails it is refused
	if err := answer.Decode(&state); err != nil {
		return err
	}
	if !state.Current {
		return errConfigRefused
	}
	return nil
}
