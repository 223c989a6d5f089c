package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/admin/manifest"
	"dex/internal/admin/remote"
)

// pageSize is how many things a page of a list has.
const pageSize = 500

// A resource is the commands for clients, users or connectors.
type resource struct {
	*apiFlags
	kind    *manifest.Kind
	columns []column
}

func (r *resource) argument() string { return strings.ToUpper(r.kind.ID) }

func (r *resource) newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [-o json|yaml]",
		Short: "List the " + r.kind.One + "s, without secrets",
		Long: `List the ` + r.kind.One + `s: those of the configuration, of custom resources and of the storage.
With -o yaml the list is a file that dex apply takes. It has no secrets.`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				items, err := r.all(ctx, s)
				if err != nil {
					return err
				}
				return r.print(cmd, items)
			})
		},
	}
	r.addOutput(cmd)
	return cmd
}

// all returns all things of the server.
func (r *resource) all(ctx context.Context, s *remote.Client) ([]json.RawMessage, error) {
	return allPages(ctx, s, r.kind.Path, nil)
}

// allPages returns the items of all pages of a list.
func allPages(ctx context.Context, s *remote.Client, path string, filter url.Values) ([]json.RawMessage, error) {
	items := []json.RawMessage{}
	for token := ""; ; {
		query := url.Values{"pageSize": {strconv.Itoa(pageSize)}}
		maps.Copy(query, filter)
		if token != "" {
			query.Set("pageToken", token)
		}
		answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: []string{path}, Query: query})
		if err != nil {
			return nil, err
		}
		var page struct {
			Items         []json.RawMessage `json:"items"`
			NextPageToken string            `json:"nextPageToken"`
		}
		if err := answer.Decode(&page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.NextPageToken == token || page.NextPageToken == "" {
			return items, nil
		}
		token = page.NextPageToken
	}
}

func (r *resource) print(cmd *cobra.Command, items []json.RawMessage) error {
	if r.output != "" {
		document, err := json.Marshal(map[string]any{r.kind.Section: items})
		if err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
		if r.output == outputYAML {
			return printFile(cmd.OutOrStdout(), document)
		}
		return printDocument(cmd.OutOrStdout(), r.output, document)
	}
	rows, err := decodeAll(items)
	if err != nil {
		return err
	}
	return printTable(cmd.OutOrStdout(), rows, r.columns)
}

func decodeAll(items []json.RawMessage) ([]map[string]any, error) {
	rows := make([]map[string]any, len(items))
	for i, item := range items {
		decoder := json.NewDecoder(bytes.NewReader(item))
		decoder.UseNumber()
		if err := decoder.Decode(&rows[i]); err != nil {
			return nil, fmt.Errorf("the server's answer can't be read: %w", err)
		}
	}
	return rows, nil
}

func (r *resource) newGet() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "get " + r.argument() + " [-o json|yaml]",
		Short:             "Print a " + r.kind.One + ", without secrets",
		Args:              operands(r.argument()),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: []string{r.kind.Path, args[0]}})
				if err != nil {
					return err
				}
				return printDocument(cmd.OutOrStdout(), r.output, answer.Body)
			})
		},
	}
	r.addOutput(cmd)
	return cmd
}

func (r *resource) newDelete() *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:               "delete " + r.argument() + "... [--dry-run]",
		Short:             "Delete " + r.kind.One + "s",
		Args:              atLeastOne(r.argument()),
		ValidArgsFunction: r.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, func(ctx context.Context, s *remote.Client) error {
				var failed []error
				for _, id := range args {
					_, err := s.Do(ctx, remote.Call{Method: http.MethodDelete, Path: []string{r.kind.Path, id}, DryRun: dry})
					if err != nil {
						failed = append(failed, err)
						continue
					}
					r.say(cmd, id, "deleted", dry)
				}
				return errors.Join(failed...)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would happen")
	return cmd
}

// atLeastOne requires at least one argument.
func atLeastOne(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New(name + " is missing")
		}
		for _, arg := range args {
			if arg == "" {
				return errors.New(name + " must not be empty")
			}
		}
		return nil
	}
}

// say prints what has happened to a thing, on standard error: standard output is for what scripts read.
func (r *resource) say(cmd *cobra.Command, id, what string, dry bool) {
	say(cmd, r.kind, id, what, dry)
}

func say(cmd *cobra.Command, kind *manifest.Kind, id, what string, dry bool) {
	if dry {
		what = "would be " + what
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s: %s\n", kind.One, remote.Printable(id), what)
}

// harmless are ids that mean nothing to a shell, which puts proposals into the command line as they are.
var harmless = regexp.MustCompile(`^[\pL\pN._:/@+=,%-]+$`)

// complete completes ids from the server.
func (r *resource) complete(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.completion(r.kind.Path, r.kind.ID)(cmd, args, begun)
}

// completion returns what completes a member of a list of the server. A server that doesn't answer soon has no proposals.
func (o *apiFlags) completion(path, member string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const patience = 2 * time.Second
		s, err := o.client(patience)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), patience)
		defer cancel()
		items, err := allPages(ctx, s, path, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		rows, err := decodeAll(items)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []cobra.Completion
		for _, row := range rows {
			if id, ok := row[member].(string); ok && strings.HasPrefix(id, begun) && harmless.MatchString(id) {
				found = append(found, id)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes the values of a flag from a list of the server.
func (o *apiFlags) completeFlag(cmd *cobra.Command, flag, path, member string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, o.completion(path, member)); err != nil {
		panic(err) // only if there is no such flag
	}
}
