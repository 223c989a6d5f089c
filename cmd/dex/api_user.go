package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/admin/manifest"
	"dex/internal/admin/remote"
)

func newUserCommands() *cobra.Command {
	r := &resource{&apiFlags{}, manifest.Users, []column{
		member("EMAIL", "email"), member("NAME", "username"), member("USER ID", "userID"), member("GROUPS", "groups"), member("ORIGIN", "origin"),
	}}
	return apiGroup(r.apiFlags, "user", "Users of the password database: list, create, change and delete them on a running server",
		`List, create, change and delete the users of a running server's password
database, over its management API. What is in the configuration file can only be
changed there. For what users are signed in to see dex token.`,
		r.newList(), r.newGet(), newUserCreate(r), newApplyOf(r.apiFlags, r.kind), r.newDelete(), newSetPassword(r), newCheckPassword(r), newInvite(r))
}

const howPasswordsAreRead = `On a terminal it asks for the password twice, without showing it. Otherwise the
password is the first line of standard input.`

func newUserCreate(r *resource) *cobra.Command {
	var file, username, userID string
	var groups []string
	dry := false
	cmd := &cobra.Command{
		Use:   "create EMAIL --user-id ID [--username NAME] [--group GROUP]... | create -f FILE|-",
		Short: "Create a user",
		Long: `Create a user. ` + howPasswordsAreRead + `

The user ID is what applications know the user by: it never changes, and no
other user has had it.

With -f the users are those of a file, with hashes of their passwords, as
dex user apply takes it; none of them may exist yet.`,
		Example: "  dex user create jane@example.com --username jane --user-id 0f6c4a3e",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return applyFile(cmd, r.apiFlags, file, application{kind: r.kind, dry: dry, create: true})
			}
			if err := operands("EMAIL")(cmd, args); err != nil {
				return err
			}
			cmd.SilenceUsage = true
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			values := map[string]any{"email": args[0], "userID": userID, "username": username, "password": string(password)}
			if len(groups) > 0 {
				values["groups"] = groups
			}
			return r.create(cmd, values, dry)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&username, "username", "", "the user's name")
	flags.StringVar(&userID, "user-id", "", "what applications know the user by")
	flags.StringArrayVar(&groups, "group", nil, "a group of the user; may be repeated")
	flags.BoolVar(&dry, "dry-run", false, "only say what would happen")
	flags.StringVarP(&file, "file", "f", "", "read users from this `file`, or - for standard input")
	cmd.MarkFlagsOneRequired("user-id", "file")
	for _, flag := range []string{"username", "user-id", "group"} {
		cmd.MarkFlagsMutuallyExclusive(flag, "file")
	}
	return cmd
}

func newSetPassword(r *resource) *cobra.Command {
	return &cobra.Command{
		Use:               "set-password EMAIL",
		Short:             "Give a user a new password",
		Long:              "Give a user a new password. " + howPasswordsAreRead + "\n\nLogins of the user go on; dex token revoke ends them.",
		Example:           "  dex user set-password jane@example.com",
		Args:              operands("EMAIL"),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				// Asked first, so that nobody types a password for a user who doesn't exist.
				path := []string{r.kind.Path, args[0]}
				if _, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: path}); err != nil {
					return err
				}
				password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				body := map[string]string{"password": string(password)}
				if _, err := s.Do(ctx, remote.Call{Method: http.MethodPut, Path: append(path, "password"), Body: body}); err != nil {
					return err
				}
				r.say(cmd, args[0], "the password was changed", false)
				return nil
			})
		},
	}
}

// errWrongPassword ends dex user check-password, so that scripts can tell.
var errWrongPassword = errors.New("the password is wrong")

func newCheckPassword(r *resource) *cobra.Command {
	return &cobra.Command{
		Use:               "check-password EMAIL",
		Short:             "Check a user's password, as a login does",
		Long:              "Check a user's password, with the limits of a login. The exit status is 1 if it\nis wrong. " + howPasswordsAreRead,
		Args:              operands("EMAIL"),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				answer, err := s.Do(ctx, remote.Call{
					Method: http.MethodPost, Path: []string{r.kind.Path, args[0], "password", "check"}, Body: map[string]string{"password": string(password)},
				})
				if err != nil {
					return err
				}
				var checked struct {
					Valid bool `json:"valid"`
				}
				if err := answer.Decode(&checked); err != nil {
					return err
				}
				if !checked.Valid {
					return errWrongPassword
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "The password is right.")
				return nil
			})
		},
	}
}

func newInvite(r *resource) *cobra.Command {
	byMail, dry := false, false
	cmd := &cobra.Command{
		Use:   "invite EMAIL [--mail] [--dry-run]",
		Short: "Make a link by which a user sets a password",
		Long: `Make a link by which a stored user sets a password, whatever they have had before.
It works once. Whoever has it can use it, so give it to nobody else; with --mail the
server sends it to the user, and prints nothing. It needs localUsers.invitations in
the configuration.`,
		Example:           "  dex user invite jane@example.com",
		Args:              operands("EMAIL"),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				call := remote.Call{Method: http.MethodPost, Path: []string{r.kind.Path, args[0], "invitation"}, DryRun: dry}
				if byMail {
					call.Query = url.Values{"byMail": {"true"}}
				}
				answer, err := s.Do(ctx, call)
				if err != nil {
					return err
				}
				var made struct {
					URL     string
					Expires time.Time
				}
				if err := answer.Decode(&made); err != nil {
					return err
				}
				if made.URL == "" {
					r.say(cmd, args[0], "invited", dry)
					return nil
				}
				return printOnce(cmd, "the link for "+args[0]+", good until "+made.Expires.Format(time.RFC3339), made.URL)
			})
		},
	}
	cmd.Flags().BoolVar(&byMail, "mail", false, "send it to the user")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only ask whether there is such a user")
	return cmd
}
