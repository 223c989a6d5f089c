package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"dex/internal/admin/manifest"
	"dex/internal/admin/remote"
)

func newClientCommands() *cobra.Command {
	r := &resource{&apiFlags{}, manifest.Clients, []column{
		member("ID", "id"), member("NAME", "name"), {title: "TYPE", value: func(item map[string]any) string {
			if public, _ := item["public"].(bool); public {
				return "public"
			}
			return "confidential"
		}}, member("REDIRECT URIS", "redirectURIs"), member("ORIGIN", "origin"),
	}}
	return apiGroup(r.apiFlags, "client", "Applications: list, create, change and delete them on a running server",
		`List, create, change and delete the applications of a running server, over its
management API. What is in the configuration file can only be changed there.`,
		r.newList(), r.newGet(), newClientCreate(r), newApplyOf(r.apiFlags, r.kind), r.newDelete(), newRotateSecret(r), newEndPreviousSecret(r))
}

func newClientCreate(r *resource) *cobra.Command {
	var file, name string
	var redirects, peers []string
	public, dry := false, false
	cmd := &cobra.Command{
		Use:   "create [ID] --name NAME --redirect-uri URI... [--public] | create -f FILE|-",
		Short: "Create a client, and print its secret",
		Long: `Create a client, and print its secret on standard output: nobody can read it
again later. Without an ID the server makes one.

With -f the clients are those of a file, as dex client apply takes it; none of
them may exist yet.`,
		Example: "  dex client create grafana --name Grafana --redirect-uri https://grafana.example.com/login/generic_oauth",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return applyFile(cmd, r.apiFlags, file, application{kind: r.kind, dry: dry, create: true})
			}
			values := map[string]any{"name": name, "redirectURIs": redirects, "public": public}
			if len(peers) > 0 {
				values["trustedPeers"] = peers
			}
			if len(args) > 0 {
				values["id"] = args[0]
			}
			return r.create(cmd, values, dry)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "what users know it by")
	flags.StringArrayVar(&redirects, "redirect-uri", []string{}, "where answers to it may go; may be repeated")
	flags.StringArrayVar(&peers, "trusted-peer", nil, "a client that may ask for tokens for this one; may be repeated")
	flags.BoolVar(&public, "public", false, "it can't keep a secret, as it runs on people's devices or in their browsers")
	flags.BoolVar(&dry, "dry-run", false, "only say what would happen")
	flags.StringVarP(&file, "file", "f", "", "read clients from this `file`, or - for standard input")
	cmd.MarkFlagsOneRequired("name", "file")
	for _, flag := range []string{"name", "redirect-uri", "trusted-peer", "public"} {
		cmd.MarkFlagsMutuallyExclusive(flag, "file")
	}
	return cmd
}

// create creates a thing that the command line describes.
func (r *resource) create(cmd *cobra.Command, values map[string]any, dry bool) error {
	return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
		answer, err := s.Do(ctx, remote.Call{Method: http.MethodPost, Path: []string{r.kind.Path}, Body: values, DryRun: dry})
		if err != nil {
			return err
		}
		var made map[string]any
		if err := answer.Decode(&made); err != nil {
			return err
		}
		id, _ := made[r.kind.ID].(string)
		r.say(cmd, id, "created", dry)
		secret, _ := made["secret"].(string)
		if secret == "" || dry {
			return nil
		}
		return printOnce(cmd, "the secret of "+id, secret)
	})
}

func newRotateSecret(r *resource) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Give a client a new secret, and print it",
		Long: `Give a client a new secret, and print it on standard output: nobody can read it
again later. The secret before it is accepted too, until the next rotation or
until dex client end-previous-secret. The one before that is refused at once.`,
		Example:           "  dex client rotate-secret grafana",
		Args:              operands("ID"),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				answer, err := s.Do(ctx, remote.Call{Method: http.MethodPost, Path: []string{r.kind.Path, args[0], "secret"}})
				if err != nil {
					return err
				}
				var made struct {
					Secret string `json:"secret"`
				}
				if err := answer.Decode(&made); err != nil {
					return err
				}
				return printOnce(cmd, "the new secret of "+args[0], made.Secret)
			})
		},
	}
}

func newEndPreviousSecret(r *resource) *cobra.Command {
	return &cobra.Command{
		Use:               "end-previous-secret ID",
		Short:             "Accept only the current secret of a client from now on",
		Args:              operands("ID"),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				_, err := s.Do(ctx, remote.Call{Method: http.MethodDelete, Path: []string{r.kind.Path, args[0], "previousSecret"}})
				if err == nil {
					r.say(cmd, args[0], "only the current secret is accepted", false)
				}
				return err
			})
		},
	}
}

func newConnectorCommands() *cobra.Command {
	r := &resource{&apiFlags{}, manifest.Connectors, []column{
		member("ID", "id"), member("TYPE", "type"), member("NAME", "name"), member("ORIGIN", "origin"),
	}}
	var file string
	dry := false
	create := &cobra.Command{
		Use:   "create -f FILE|-",
		Short: "Create connectors from a file like the configuration",
		Long: `Create connectors from a file that has them as the configuration has: in
connectors. None of them may exist yet; dex connector apply replaces too.`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return applyFile(cmd, r.apiFlags, file, application{kind: r.kind, dry: dry, create: true})
		},
	}
	fileFlag(create, &file)
	create.Flags().BoolVar(&dry, "dry-run", false, "only print what would change")
	return apiGroup(r.apiFlags, "connector", "Identity sources: list, create, change and delete them on a running server",
		`List, create, change and delete the identity sources of a running server, over its
management API. What is in the configuration file can only be changed there.`,
		r.newList(), r.newGet(), create, newApplyOf(r.apiFlags, r.kind), r.newDelete())
}
