package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dex/internal/store"
	"dex/internal/store/sealed"
	"dex/internal/transfer"
)

// standardStream stands for standard input or output instead of a file.
const standardStream = "-"

func newExport() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export [flags] CONFIG",
		Short: "Write what the storage holds to a file, to keep or to import elsewhere",
		Long: `Write what the storage of the configuration in CONFIG holds to a file: signing
keys, clients, users, connectors and logins with refresh tokens. Logins in
progress are left out.

The file holds secrets. Only its owner can read it, and it is sealed with the
storage key if there is one.`,
		Example: "  dex export config.yaml --output backup.jsonl",
		Args:    operands("CONFIG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return withStorage(cmd, args[0], func(ctx context.Context, s store.Store) error {
				return o.run(ctx, cmd, s)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "dex-export.jsonl", "write to this file, or - for standard output")
	flags.BoolVar(&o.force, "force", false, "replace an existing file once the new one is complete")
	flags.BoolVar(&o.clear, "clear", false, "don't seal the file with the storage key")
	return cmd
}

type exportOptions struct {
	output       string
	force, clear bool
}

func (o exportOptions) run(ctx context.Context, cmd *cobra.Command, s store.Store) error {
	stderr := cmd.ErrOrStderr()
	keys, err := o.keys(s)
	if err != nil {
		return err
	}
	if keys == nil {
		fmt.Fprintln(stderr, "warning: the export is not sealed; anyone who can read it has all secrets")
	}
	p := newProgress(stderr)
	counts, err := o.write(cmd.OutOrStdout(), func(w io.Writer) (transfer.Counts, error) {
		return transfer.Export(ctx, s, store.DurableKinds(), w, keys, func(kind string, n int) {
			p.show("exported", n, kind)
		})
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, kind := range store.DurableKinds() {
		fmt.Fprintf(stderr, "%-10s %8d\n", kind, counts[kind].Records)
	}
	if counts.Total().Records == 0 {
		fmt.Fprintln(stderr, "warning: the storage is empty; upstream's data is taken over when the server first starts on it")
	}
	return nil
}

// keys returns what the file is sealed with; nil if it isn't.
func (o exportOptions) keys(s store.Store) (*sealed.Keys, error) {
	if o.clear {
		return nil, nil // as Export wants it
	}
	keys, err := storageKeys(s)
	if err != nil || !keys.Any() {
		return nil, err
	}
	return &keys, nil
}

// storageKeys returns the keys that a storage was opened with. It fails rather than guess, so that secrets are never
// written in clear by mistake.
func storageKeys(s store.Store) (sealed.Keys, error) {
	keys, ok := sealed.KeysOf(s)
	if !ok {
		return sealed.Keys{}, errors.New("the storage was opened without its seal; this is a bug in Dex")
	}
	return keys, nil
}

// write writes the export to its file, and removes an incomplete one.
func (o exportOptions) write(
	stdout io.Writer, export func(io.Writer) (transfer.Counts, error),
) (transfer.Counts, error) {
	if o.output == standardStream {
		return export(stdout)
	}
	f, err := o.create()
	if err != nil {
		return nil, err
	}
	counts, err := export(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && f.Name() != o.output {
		err = os.Rename(f.Name(), o.output)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return counts, nil
}

// create creates the file, or a temporary one beside it that will replace it.
func (o exportOptions) create() (*os.File, error) {
	if o.force {
		return os.CreateTemp(filepath.Dir(o.output), filepath.Base(o.output)+".*") // mode 0600
	}
	f, err := os.OpenFile(o.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists; name another --output, or replace it with --force", o.output)
	}
	return f, err
}

// withStorage opens the storage of a configuration for a command, until the command is done or a signal ends it.
func withStorage(cmd *cobra.Command, file string, do func(ctx context.Context, s store.Store) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	plan, problems, err := readPlan(file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	if plan == nil {
		return unusable(problems)
	}
	if plan.Config.Storage.Type == "memory" {
		return errors.New("storage.type is memory: only the running server has what it holds")
	}
	s, err := plan.OpenStore(ctx, newLogger(plan.Config.Logger))
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, s), s.Close())
}

// progress prints a command's progress, at most once a second.
type progress struct {
	out  io.Writer
	last time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out, last: time.Now()} }

func (p *progress) show(done string, n int, what string) {
	if time.Since(p.last) < time.Second {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.out, "%s so far: %d %s\n", done, n, what)
}
