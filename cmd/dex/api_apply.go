package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dex/internal/admin/manifest"
	"dex/internal/admin/remote"
	"dex/internal/config"
)

// maxManifest bounds a file for apply, in bytes.
const maxManifest = 64 << 20

func newApply() *cobra.Command {
	o := &apiFlags{}
	cmd := newApplyOf(o, nil)
	cmd.Annotations = map[string]string{callsServer: ""}
	cmd.DisableFlagsInUseLine = true
	o.add(cmd.Flags())
	return cmd
}

// An application of files to a server.
type application struct {
	kind   *manifest.Kind // the only one that files may have; nil for all
	dry    bool
	create bool // nothing of it may be there yet
}

// newApplyOf returns the command that applies files with things of a kind; nil for all kinds.
func newApplyOf(o *apiFlags, kind *manifest.Kind) *cobra.Command {
	what, sections := "clients, users and connectors", "staticClients, staticPasswords and connectors"
	if kind != nil {
		what, sections = kind.One+"s", kind.Section
	}
	var file string
	a := application{kind: kind}
	cmd := &cobra.Command{
		Use:   "apply -f FILE|- [--dry-run]",
		Short: "Create or replace " + what + " from a file like the configuration",
		Long: `Create or replace ` + what + ` from a file that has them as the
configuration has: in ` + sections + `. Variables and files that it names are
read on this machine.

Secrets that are left out stay as they are. Everything is checked by the server
before anything is written. What the file doesn't have stays; delete it by name.`,
		Example: "  dex apply -f clients.yaml --dry-run",
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return applyFile(cmd, o, file, a)
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, "only print what would change")
	return cmd
}

func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "the `file`, or - for standard input")
	if err := cmd.MarkFlagRequired("file"); err != nil {
		panic(err) // only if there is no such flag
	}
}

func applyFile(cmd *cobra.Command, o *apiFlags, file string, a application) error {
	return o.run(cmd, func(ctx context.Context, s *remote.Client) error {
		things, err := a.read(cmd, file)
		if err != nil {
			return err
		}
		return a.apply(ctx, cmd, s, things)
	})
}

// read reads a file and says what is wrong with it.
func (a application) read(cmd *cobra.Command, file string) ([]*manifest.Thing, error) {
	src := config.Source{Name: file, Env: config.OS, Files: config.NewFiles()}
	var err error
	if file == standardStream {
		src.Name = "<stdin>"
		src.Data, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxManifest+1))
		if err == nil && len(src.Data) > maxManifest {
			err = fmt.Errorf("it is larger than %d bytes", maxManifest)
		}
	} else {
		src.Data, err = readManifest(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	things, found := manifest.Read(src)
	for _, p := range found {
		if !p.IsError() {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", p)
		}
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	for _, t := range things {
		if a.kind != nil && t.Kind != a.kind {
			return nil, config.Problems{t.Problem("", "is a "+t.Kind.One+", and this command is for "+a.kind.One+"s; use dex apply")}.Err()
		}
	}
	if len(things) == 0 {
		return nil, fmt.Errorf("%s has no clients, users or connectors: they are in staticClients, staticPasswords and connectors", src.Name)
	}
	return things, nil
}

func readManifest(file string) ([]byte, error) {
	f, err := os.Open(file) //nolint:gosec // G304: the user names it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("it is larger than %d bytes", maxManifest)
	}
	return data, err
}

// A change is what applying a thing does.
type change struct {
	*manifest.Thing
	before map[string]any // as the server shows it; nil if it isn't there
	tag    string         // the ETag of that
	after  map[string]any
}

// apply has the server check all things, and then writes them.
func (a application) apply(ctx context.Context, cmd *cobra.Command, s *remote.Client, things []*manifest.Thing) error {
	var changes []*change
	var failed []error
	for _, t := range things {
		if t.Origin != "" && t.Origin != "storage" {
			say(cmd, t.Kind, t.ID, "left alone, as it was printed as one of the server's "+t.Origin, false)
			continue
		}
		c, err := a.check(ctx, s, t)
		if _, answered := errors.AsType[*remote.Refused](err); err != nil && !answered {
			return err
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		changes = append(changes, c)
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%w\nNothing was written.", err) //nolint:staticcheck // several lines for people
	}
	for i, c := range changes {
		if err := a.write(ctx, cmd, s, c); err != nil {
			return fmt.Errorf("%w\nOf %d, %d were written before that; repeat the command once that is mended.", err, len(changes), i) //nolint:staticcheck // several lines for people
		}
	}
	return nil
}

// check asks the server what would become of a thing.
func (a application) check(ctx context.Context, s *remote.Client, t *manifest.Thing) (*change, error) {
	c := &change{Thing: t}
	if !a.create {
		if err := c.read(ctx, s); err != nil {
			return nil, c.explain(err)
		}
	}
	answer, err := c.put(ctx, s, true)
	if err != nil {
		return nil, c.explain(err)
	}
	return c, answer.Decode(&c.after)
}

func (c *change) read(ctx context.Context, s *remote.Client) error {
	answer, err := s.Do(ctx, remote.Call{Method: http.MethodGet, Path: []string{c.Kind.Path, c.ID}})
	if refused, ok := errors.AsType[*remote.Refused](err); ok && refused.Status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	c.tag = answer.ETag
	return answer.Decode(&c.before)
}

// put creates or replaces the thing, unless somebody else has changed it meanwhile.
func (c *change) put(ctx context.Context, s *remote.Client, dry bool) (*remote.Answer, error) {
	return s.Do(ctx, remote.Call{
		Method: http.MethodPut, Path: []string{c.Kind.Path, c.ID}, Body: c.Values, DryRun: dry, IfMatch: c.tag, IfNone: c.before == nil,
	})
}

// explain says which thing an error is about, and where the file has the members that are not valid.
func (c *change) explain(err error) error {
	refused, ok := errors.AsType[*remote.Refused](err)
	if !ok {
		return err
	}
	said := *refused
	said.Members = nil // they come with their places
	lines := []string{fmt.Sprintf("%s %s: %v", c.Kind.One, remote.Printable(c.ID), &said)}
	for _, m := range refused.Members {
		lines = append(lines, "  "+c.Problem(m.Name, remote.Printable(m.Detail)).String())
	}
	return &explained{strings.Join(lines, "\n"), err}
}

// explained is an error with a text of its own.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// write writes a thing and prints what has changed.
func (a application) write(ctx context.Context, cmd *cobra.Command, s *remote.Client, c *change) error {
	diff := manifest.Diff(c.Kind, c.before, c.after, c.Secrets())
	what := "replaced"
	switch {
	case c.before == nil:
		what = "created"
	case len(diff) == 0:
		say(cmd, c.Kind, c.ID, "unchanged", false)
		return nil
	}
	if a.dry {
		say(cmd, c.Kind, c.ID, what, true)
		for _, line := range diff {
			fmt.Fprintln(cmd.OutOrStdout(), "  "+remote.Printable(line))
		}
		return nil
	}
	answer, err := c.put(ctx, s, false)
	if err != nil {
		return c.explain(err)
	}
	if answer.ETag != "" && answer.ETag == c.tag {
		what = "unchanged"
	}
	say(cmd, c.Kind, c.ID, what, false)
	return c.printSecret(cmd, answer)
}

// printSecret prints a secret that the server has made.
func (c *change) printSecret(cmd *cobra.Command, answer *remote.Answer) error {
	if c.Kind != manifest.Clients || slices.Contains(c.Secrets(), "secret") {
		return nil
	}
	var made struct {
		Secret string `json:"secret"`
	}
	if err := answer.Decode(&made); err != nil || made.Secret == "" {
		return err
	}
	return printOnce(cmd, "the secret of "+c.ID, made.Secret)
}

// printOnce prints a secret that nobody can read again.
func printOnce(cmd *cobra.Command, what, secret string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "This is %s; it can't be read again:\n", remote.Printable(what))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}
