package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dex/internal/store"
	"dex/internal/transfer"
)

func newImport() *cobra.Command {
	var overwrite, checkOnly bool
	cmd := &cobra.Command{
		Use:   "import [flags] CONFIG FILE",
		Short: "Import a file that dex export has written into the storage",
		Long: `Import FILE, which dex export has written, or standard input for -, into the
		storage of the configuration in CONFIG, which may be of another type.

		The whole file is checked and compared with the storage before anything is
		written. Records that exist already are left alone; if one of them differs,
		nothing is written without --overwrite. To finish an interrupted import, run it
		again.

		No server should use the storage meanwhile. A sealed file needs the storage key
		that it was sealed with.`,
		Example: "  dex import new-config.yaml backup.jsonl",
		Args:    operands("CONFIG", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			if args[0] == standardStream && args[1] == standardStream {
				return errors.New("only one of CONFIG and FILE can be standard input")
			}
			file, done, err := openImport(args[1], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer done()
			return withStorage(cmd, args[0], func(ctx context.Context, s store.Store) error {
				return importFile(ctx, cmd, s, file, transfer.Options{Overwrite: overwrite, CheckOnly: checkOnly})
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&overwrite, "overwrite", false, "replace records that differ with those in the file")
	flags.BoolVar(&checkOnly, "check", false, "only show what would be done")
	return cmd
}

func importFile(
	ctx context.Context, cmd *cobra.Command, s store.Store, file io.ReadSeeker, o transfer.Options,
) error {
	keys, err := storageKeys(s)
	if err != nil {
		return err
	}
	p := newProgress(cmd.ErrOrStderr())
	o.Kinds, o.Keys = store.DurableKinds(), keys
	o.Progress = func(step string, n int) { p.show(step, n, "records") }
	counts, err := transfer.Import(ctx, s, file, o)
	if counts != nil {
		reportImport(cmd.OutOrStdout(), counts, o.CheckOnly)
	}
	if conflict, ok := errors.AsType[*transfer.ConflictError](err); ok && !conflict.Written {
		return fmt.Errorf("import: %w\nReplace them with --overwrite, or import into an empty storage", err)
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if o.CheckOnly {
		fmt.Fprintln(cmd.OutOrStdout(), "The file can be imported. Nothing was written.")
	}
	return nil
}

func reportImport(out io.Writer, counts transfer.Counts, checkOnly bool) {
	fmt.Fprintf(out, "%-10s %8s %8s %8s %8s %9s %8s\n",
		"", "in file", "created", "same", "replaced", "conflicts", "expired")
	for _, kind := range store.DurableKinds() {
		n, ok := counts[kind]
		if !ok {
			continue
		}
		fmt.Fprintf(out, "%-10s %8d %8d %8d %8d %9d %8d\n",
			kind, n.Records, n.Created, n.Same, n.Replaced, n.Conflicts, n.Expired)
	}
	if checkOnly {
		fmt.Fprintln(out, "This is what an import would do.")
	}
}

// openImport opens a file that can be read several times. Standard input is copied to a temporary file, which nobody else
// can find or read.
func openImport(name string, stdin io.Reader) (f *os.File, done func(), err error) {
	if name != standardStream {
		f, err = os.Open(name) //nolint:gosec // the operator names it
		if err != nil {
			return nil, nil, fmt.Errorf("read export file: %w", err)
		}
		return f, func() { _ = f.Close() }, nil // nothing was written
	}
	f, err = os.CreateTemp("", "dex-import-*") // mode 0600
	if err != nil {
		return nil, nil, fmt.Errorf("keep standard input: %w", err)
	}
	_ = os.Remove(f.Name()) // the open file is enough, and nothing is left behind however the program ends
	done = func() { _ = f.Close() }
	if _, err := io.Copy(f, stdin); err != nil {
		done()
		return nil, nil, fmt.Errorf("keep standard input: %w", err)
	}
	return f, done, nil
}
