package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/admin/remote"
)

func newFactorCommands() *cobra.Command {
	o := &apiFlags{}
	cmd := apiGroup(o, "factor", "Second factors and passkeys of users: list and remove them",
		`List and remove the second factors and passkeys of users, over the management API
of a running server.`,
		newFactorList(o), newFactorRemove(o), newFactorReset(o), newFactorUnlock(o))
	cmd.SuggestFor = []string{"factors", "mfa", "2fa", "totp", "passkey", "webauthn"}
	return cmd
}

var factorColumns = []column{
	member("ID", "id"), member("TYPE", "type"), member("NAME", "name"), member("CREATED", "created"), member("LAST USED", "lastUsed"),
	{title: "", value: func(item map[string]any) string {
		if item["clone"] == true {
			return "copied: refused until it is removed"
		}
		return ""
	}},
}

func newFactorList(o *apiFlags) *cobra.Command {
	var whose subject
	cmd := &cobra.Command{
		Use:   "list --user SUB | --user-id ID --connector ID [-o json|yaml]",
		Short: "List what a user has set up",
		Long: `List what a user has set up. How many recovery codes are left, and whether codes
are locked after too many wrong ones, is on standard error, or in the JSON.`,
		Example: "  dex factor list --user-id 0f6c4a3e --connector local",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := whose.path()
			if err != nil {
				return err
			}
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: append(path, "factors")})
				if err != nil {
					return err
				}
				if err := o.printItems(cmd, answer, factorColumns...); err != nil || o.output != "" {
					return err
				}
				return sayCodes(cmd, answer)
			})
		},
	}
	o.addUser(cmd, &whose)
	o.addOutput(cmd)
	return cmd
}

// sayCodes prints how things stand with a user's codes.
func sayCodes(cmd *cobra.Command, answer *remote.Answer) error {
	var codes struct {
		RecoveryCodes int       `json:"recoveryCodes"`
		LockedUntil   time.Time `json:"lockedUntil"`
		Locked        bool      `json:"locked"`
	}
	if err := answer.Decode(&codes); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "recovery codes left: %d\n", codes.RecoveryCodes)
	switch {
	case codes.Locked:
		fmt.Fprintln(cmd.ErrOrStderr(), "Codes are locked after too many wrong ones, until dex factor unlock.")
	case !codes.LockedUntil.IsZero():
		fmt.Fprintf(cmd.ErrOrStderr(), "No codes are checked until %s, after wrong ones.\n", codes.LockedUntil.Format(time.RFC3339))
	}
	return nil
}

// addUser adds the flags that say which user a command is about.
func (o *apiFlags) addUser(cmd *cobra.Command, whose *subject) {
	whose.add(cmd)
	o.completeFlag(cmd, "connector", "connectors", "id")
}

// A userChange changes something of a user, and nothing is answered.
type userChange struct {
	whose subject
	dry   bool
}

// add makes a command of it: call returns what is to be done, below the user's path, and thing and done say so afterwards.
func (c *userChange) add(o *apiFlags, cmd *cobra.Command, method string, thing, done string, below func(args []string) []string) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := c.whose.path()
		if err != nil {
			return err
		}
		user := strings.Join(path[1:], "/")
		return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
			call := remote.Call{Method: method, Path: append(path, below(args)...), DryRun: c.dry}
			if _, err := s.Do(ctx, call); err != nil {
				return err
			}
			sayDone(cmd, strings.Join(append([]string{thing}, args...), " ")+" of "+user, done, c.dry)
			return nil
		})
	}
	o.addUser(cmd, &c.whose)
	cmd.Flags().BoolVar(&c.dry, "dry-run", false, "only say what would happen")
	return cmd
}

func newFactorRemove(o *apiFlags) *cobra.Command {
	return (&userChange{}).add(o, &cobra.Command{
		Use:   "remove ID --user SUB | --user-id ID --connector ID [--dry-run]",
		Short: "Remove one factor of a user",
		Long: `Remove one factor of a user, such as a security key that is lost: ID is as dex factor
list prints it. Sessions go on; dex session end ends them.`,
		Example: "  dex factor remove totp:app --user-id 0f6c4a3e --connector local",
		Args:    operands("ID"),
	}, http.MethodDelete, "factor", "removed", func(args []string) []string { return []string{"factors", args[0]} })
}

func newFactorReset(o *apiFlags) *cobra.Command {
	return (&userChange{}).add(o, &cobra.Command{
		Use:   "reset --user SUB | --user-id ID --connector ID [--dry-run]",
		Short: "Remove all factors of a user",
		Long: `Remove all factors of a user, and the recovery codes. The user sets up new ones at
the next login that asks for one. Until then the password alone is enough for that,
so make sure who asks for it. Sessions go on; dex session end ends them.`,
		Example: "  dex factor reset --user-id 0f6c4a3e --connector local",
		Args:    operands(),
	}, http.MethodDelete, "factors", "removed", func([]string) []string { return []string{"factors"} })
}

func newFactorUnlock(o *apiFlags) *cobra.Command {
	return (&userChange{}).add(o, &cobra.Command{
		Use:   "unlock --user SUB | --user-id ID --connector ID [--dry-run]",
		Short: "Check codes of a user again, after too many wrong ones",
		Long: `Check codes of a user again. Each wrong one makes the next one wait longer, and 100
in a row lock them: somebody who knows the password may have tried.`,
		Example: "  dex factor unlock --user-id 0f6c4a3e --connector local",
		Args:    operands(),
	}, http.MethodPost, "codes", "unlocked", func([]string) []string { return []string{"factors", "unlock"} })
}

// A userBlock is whom to keep from signing in, and until when.
type userBlock struct {
	whose subject
	until string
	last  time.Duration
	dry   bool
}

func newIdentityBlock(o *apiFlags) *cobra.Command {
	var b userBlock
	cmd := &cobra.Command{
		Use:   "block --user SUB | --user-id ID --connector ID [--until TIME | --for DURATION] [--dry-run]",
		Short: "Keep a user from signing in, and end their sessions and refresh tokens",
		Long: `Keep a user from signing in, for good unless --until or --for says otherwise, and end
their sessions and refresh tokens. Their access tokens are refused by dex; an
application that checks them by itself accepts them until they expire. The user need
not have signed in before: the command says if nothing is known of them.`,
		Example: "  dex identity block --user-id 0f6c4a3e --connector local --for 72h",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := b.whose.path()
			if err != nil {
				return err
			}
			body, err := b.body(cmd)
			if err != nil {
				return err
			}
			return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
				call := remote.Call{Method: http.MethodPut, Path: append(path, "block"), Body: body, DryRun: b.dry}
				answer, err := s.Do(ctx, call)
				if err != nil {
					return err
				}
				return b.say(cmd, strings.Join(path[1:], "/"), answer)
			})
		},
	}
	o.addUser(cmd, &b.whose)
	cmd.Flags().StringVar(&b.until, "until", "", "until a `time` such as 2030-01-31T00:00:00Z")
	cmd.Flags().DurationVar(&b.last, "for", 0, "for so long, such as 72h")
	cmd.Flags().BoolVar(&b.dry, "dry-run", false, "only say what would happen")
	cmd.MarkFlagsMutuallyExclusive("until", "for")
	return cmd
}

// body returns what the server is told. A variable of a script that is empty must not block somebody for good.
func (b *userBlock) body(cmd *cobra.Command) (map[string]string, error) {
	switch {
	case cmd.Flags().Changed("for") && b.last <= 0:
		return nil, errors.New("--for must be more than 0")
	case cmd.Flags().Changed("until") && b.until == "":
		return nil, errors.New("--until must be a time")
	case b.last > 0:
		return map[string]string{"until": time.Now().Add(b.last).UTC().Format(time.RFC3339)}, nil
	case b.until != "":
		return map[string]string{"until": b.until}, nil
	}
	return map[string]string{}, nil
}

func (b *userBlock) say(cmd *cobra.Command, user string, answer *remote.Answer) error {
	var done struct {
		Until         time.Time
		Known         bool
		Ended, Logins int
	}
	if err := answer.Decode(&done); err != nil {
		return err
	}
	what := "blocked"
	if done.Until.Year() < 9999 {
		what += " until " + done.Until.Format(time.RFC3339)
	}
	ended := "ended"
	if b.dry {
		ended = "that would be ended"
	}
	sayDone(cmd, "identity "+user, fmt.Sprintf("%s; sessions %s: %d, other logins: %d", what, ended, done.Ended, done.Logins), b.dry)
	if !done.Known {
		fmt.Fprintln(cmd.ErrOrStderr(), "This user has never signed in while sessions were on. Check the ID and the connector.")
	}
	return nil
}

func newIdentityUnblock(o *apiFlags) *cobra.Command {
	return (&userChange{}).add(o, &cobra.Command{
		Use:     "unblock --user SUB | --user-id ID --connector ID [--dry-run]",
		Short:   "Let a user sign in again",
		Example: "  dex identity unblock --user-id 0f6c4a3e --connector local",
		Args:    operands(),
	}, http.MethodDelete, "block", "removed", func([]string) []string { return []string{"block"} })
}
