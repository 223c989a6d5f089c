package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"dex/internal/admin/remote"
)

func newSessionCommands() *cobra.Command {
	o := &apiFlags{}
	cmd := apiGroup(o, "session", "Sessions of browsers: who is signed in, and how to end that",
		`List and end the sessions of browsers, over the management API of a running server.
With a session end the logins that were made in it, and its applications are told.`,
		newSessionList(o), newSessionShow(o), newSessionEnd(o))
	cmd.SuggestFor = []string{"sessions", "logout"}
	return cmd
}

// A sessionFilter says which sessions a command is about: those that have all of what is set.
type sessionFilter struct{ user, userID, connector, client string }

func (f *sessionFilter) add(o *apiFlags, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "of this user: the sub of their tokens")
	flags.StringVar(&f.userID, "user-id", "", "instead of --user: of the user that a connector calls so")
	flags.StringVar(&f.connector, "connector", "", "of users of this connector, such as local")
	flags.StringVar(&f.client, "client", "", "that this application has used")
	cmd.MarkFlagsMutuallyExclusive("user", "user-id")
	cmd.MarkFlagsMutuallyExclusive("user", "connector")
	o.completeFlag(cmd, "client", "clients", "id")
	o.completeFlag(cmd, "connector", "connectors", "id")
}

func (f *sessionFilter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"user": f.user, "userID": f.userID, "connectorID": f.connector, "client": f.client} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

var sessionColumns = []column{
	member("ID", "id"), member("USER", "username"), member("EMAIL", "email"), member("CONNECTOR", "connectorID"),
	member("ADDRESS", "address"), member("SIGNED IN", "signedIn"), member("LAST USED", "lastUsed"), ofEach("CLIENTS", "clients", "id"),
}

// ofEach returns a column with a member of each of the items that a member has.
func ofEach(title, list, name string) column {
	return column{title: title, value: func(item map[string]any) string {
		var all []any
		items, _ := item[list].([]any)
		for _, one := range items {
			if object, ok := one.(map[string]any); ok {
				all = append(all, object[name])
			}
		}
		return text(all)
	}}
}

// printAll prints the items of all pages.
func (o *apiFlags) printAll(cmd *cobra.Command, items []json.RawMessage, columns []column) error {
	document, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	return o.printItems(cmd, &remote.Answer{Body: document}, columns...)
}

func newSessionList(o *apiFlags) *cobra.Command {
	var filter sessionFilter
	cmd := &cobra.Command{
		Use:     "list [--user SUB | --user-id ID] [--connector ID] [--client ID] [-o json|yaml]",
		Short:   "List the sessions of browsers",
		Example: "  dex session list --connector local",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				items, err := allPages(ctx, s, "sessions", filter.query())
				if err != nil {
					return err
				}
				return o.printAll(cmd, items, sessionColumns)
			})
		},
	}
	filter.add(o, cmd)
	o.addOutput(cmd)
	return cmd
}

func newSessionShow(o *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show ID [-o json|yaml]",
		Aliases:           []string{"get"},
		Short:             "Print a session",
		Args:              operands("ID"),
		ValidArgsFunction: o.completion("sessions", "id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				return o.show(ctx, cmd, s, "sessions", args[0])
			})
		},
	}
	o.addOutput(cmd)
	return cmd
}

// show prints one thing of the server.
func (o *apiFlags) show(ctx context.Context, cmd *cobra.Command, s *remote.Client, path ...string) error {
	answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	return printDocument(cmd.OutOrStdout(), o.output, answer.Body)
}

// A sessionEnd is which sessions to end, and how.
type sessionEnd struct {
	sessionFilter
	logins, dry bool
}

func newSessionEnd(o *apiFlags) *cobra.Command {
	var end sessionEnd
	cmd := &cobra.Command{
		Use:     "end ID... | --user SUB | --user-id ID | --connector ID | --client ID [--logins] [--dry-run]",
		Aliases: []string{"delete"},
		Short:   "End sessions: by their IDs, or of a user, of a connector or of an application",
		Long: `End sessions: by their IDs, or all of a user, of a connector or of an application.
With several of the flags, those that have all of what they say.

With a session end the refresh tokens that were issued in it. --logins, after a
theft, also ends all others of the user: those of other browsers and devices.
If that takes longer than the server has for an answer, repeat the command:
what has ended stays so.`,
		Example: "  dex session end --user-id 0f6c4a3e --logins\n  dex session end --client grafana",
		Args: func(_ *cobra.Command, args []string) error {
			switch filtered := len(end.query()) > 0; {
			case filtered == (len(args) > 0):
				return errors.New("give the IDs of sessions, or one of --user, --user-id, --connector and --client")
			case end.logins && end.user+end.userID == "":
				return errors.New("--logins needs --user or --user-id")
			case !filtered:
				return atLeastOne("ID")(nil, args)
			}
			return nil
		},
		ValidArgsFunction: o.completion("sessions", "id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				if len(args) > 0 {
					return end.each(ctx, cmd, s, args)
				}
				return end.all(ctx, cmd, s)
			})
		},
	}
	end.add(o, cmd)
	cmd.Flags().BoolVar(&end.logins, "logins", false, "all other logins of the user too")
	cmd.Flags().BoolVar(&end.dry, "dry-run", false, "only say what would happen")
	return cmd
}

// each ends sessions one by one.
func (e *sessionEnd) each(ctx context.Context, cmd *cobra.Command, s *remote.Client, ids []string) error {
	var failed []error
	for _, id := range ids {
		if _, err := s.Do(ctx, remote.Call{Method: http.MethodDelete, Path: []string{"sessions", id}, DryRun: e.dry}); err != nil {
			failed = append(failed, err)
			continue
		}
		sayDone(cmd, "session "+id, "ended", e.dry)
	}
	return errors.Join(failed...)
}

// sayDone prints what has happened to a thing, on standard error.
func sayDone(cmd *cobra.Command, thing, what string, dry bool) {
	if dry {
		what = "would be " + what
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", remote.Printable(thing), what)
}

// all ends all sessions that the flags are about.
func (e *sessionEnd) all(ctx context.Context, cmd *cobra.Command, s *remote.Client) error {
	query := e.query()
	if e.logins {
		query.Set("logins", "true")
	}
	answer, err := s.Do(ctx, remote.Call{Method: http.MethodDelete, Path: []string{"sessions"}, Query: query, DryRun: e.dry})
	if err != nil {
		return err
	}
	var done struct{ Ended, Logins int }
	if err := answer.Decode(&done); err != nil {
		return err
	}
	what := "were"
	if e.dry {
		what = "would be"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "sessions that %s ended: %d\n", what, done.Ended)
	if e.logins {
		fmt.Fprintf(cmd.ErrOrStderr(), "other logins that %s ended: %d\n", what, done.Logins)
	}
	return nil
}

func newIdentityCommands() *cobra.Command {
	o := &apiFlags{}
	cmd := apiGroup(o, "identity", "Users that have signed in: what is known of them, and how to block and forget them",
		`List, block and forget the users that have signed in while sessions were on, whatever
the connector, over the management API of a running server. Users of the password
database are those of dex user.`,
		newIdentityList(o), newIdentityShow(o), newIdentityBlock(o), newIdentityUnblock(o), newIdentityDelete(o))
	cmd.SuggestFor = []string{"identities"}
	return cmd
}

func newIdentityList(o *apiFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [-o json|yaml]",
		Short: "List the users that have signed in",
		Args:  operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				items, err := allPages(ctx, s, "identities", nil)
				if err != nil {
					return err
				}
				return o.printAll(cmd, items, []column{
					member("CONNECTOR", "connectorID"), member("USER ID", "userID"), member("NAME", "username"), member("EMAIL", "email"),
					member("LAST LOGIN", "lastLogin"), member("BLOCKED UNTIL", "blockedUntil"), ofEach("CONSENTS", "consents", "client"),
				})
			})
		},
	}
	o.addOutput(cmd)
	return cmd
}

func newIdentityShow(o *apiFlags) *cobra.Command {
	var whose subject
	cmd := &cobra.Command{
		Use:     "show --user SUB | --user-id ID --connector ID [-o json|yaml]",
		Aliases: []string{"get"},
		Short:   "Print what is known of a user, and what they have let applications have",
		Example: "  dex identity show --user-id 0f6c4a3e --connector local",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := whose.path()
			if err != nil {
				return err
			}
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error { return o.show(ctx, cmd, s, path...) })
		},
	}
	o.addUser(cmd, &whose)
	o.addOutput(cmd)
	return cmd
}

func newIdentityDelete(o *apiFlags) *cobra.Command {
	var whose subject
	dry := false
	cmd := &cobra.Command{
		Use:   "delete --user SUB | --user-id ID --connector ID [--dry-run]",
		Short: "Erase a user: sessions, logins, consents, second factors, and the password of one of dex",
		Long: `Erase a user: sessions, logins, consents, second factors, a block, what the connector
gave for them, and for a user of the connector local their record in the password
database. Somebody who can still sign in by another connector is known again
afterwards.`,
		Example: "  dex identity delete --user-id 0f6c4a3e --connector local",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := whose.path()
			if err != nil {
				return err
			}
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				if _, err := s.Do(ctx, remote.Call{Method: http.MethodDelete, Path: path, DryRun: dry}); err != nil {
					return err
				}
				sayDone(cmd, "identity "+strings.Join(path[1:], "/"), "deleted", dry)
				return nil
			})
		},
	}
	o.addUser(cmd, &whose)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would happen")
	return cmd
}

func newConsentCommands() *cobra.Command {
	o := &apiFlags{}
	cmd := apiGroup(o, "consent", "What users have let applications have: take it back",
		`Take back what a user has let an application have, over the management API of a
running server. dex identity show prints it.`, newConsentRevoke(o))
	cmd.SuggestFor = []string{"consents", "approval", "grant"}
	return cmd
}

func newConsentRevoke(o *apiFlags) *cobra.Command {
	var whose subject
	client, dry := "", false
	cmd := &cobra.Command{
		Use:   "revoke --user SUB | --user-id ID --connector ID, with --client ID [--dry-run]",
		Short: "Have an application ask a user again",
		Long: `Have an application ask a user again. What it has got until now stays valid: dex
token revoke and dex session end end that.`,
		Example: "  dex consent revoke --user-id 0f6c4a3e --connector local --client grafana",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := whose.path()
			if err != nil {
				return err
			}
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				call := remote.Call{Method: http.MethodDelete, Path: append(path, "consents", client), DryRun: dry}
				if _, err := s.Do(ctx, call); err != nil {
					return err
				}
				sayDone(cmd, "consent for "+client, "revoked", dry)
				return nil
			})
		},
	}
	whose.add(cmd)
	cmd.Flags().StringVar(&client, "client", "", "the application")
	if err := cmd.MarkFlagRequired("client"); err != nil {
		panic(err) // only if there is no such flag
	}
	o.completeFlag(cmd, "client", "clients", "id")
	o.completeFlag(cmd, "connector", "connectors", "id")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would happen")
	return cmd
}
