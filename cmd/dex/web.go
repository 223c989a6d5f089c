package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dex/internal/ui"
)

func newWeb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Change the pages that people see: export the built-in ones, preview your own",
		Long: `Change the pages that people see. Begin with the built-in ones, look at yours
while you edit them, and name their folder in the configuration:

  dex web export DIR
  dex web preview DIR
  frontend: {dir: DIR}`,
		Args: knownCommand,
		RunE: helpInstead,

		SuggestionsMinimumDistance: 2, // as of the root
	}
	cmd.AddCommand(newWebExport(), newWebPreview())
	return cmd
}

func newWebExport() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "export [flags] DIR",
		Short: "Write the built-in templates, static files and themes to a folder, to begin from",
		Long: `Write the built-in pages to DIR: templates, static files, themes and robots.txt.
DIR is made if it doesn't exist.

Edit what you like, and delete the rest: the built-in files are used for all
that DIR lacks, and only those follow later versions.`,
		Example: "  dex web export /etc/dex/web",
		Args:    operands("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return exportPages(cmd.OutOrStdout(), args[0], force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "write to a folder that isn't empty, and replace files of the same names")
	return cmd
}

func exportPages(out io.Writer, dir string, force bool) error {
	names, err := ui.Export(dir, force)
	if errors.Is(err, ui.ErrNotEmpty) {
		return fmt.Errorf("%s is not empty; name another folder, or replace what has the same names with --force", dir)
	}
	if err != nil {
		return fmt.Errorf("export the pages: %w", err)
	}
	counts := map[string]int{}
	for _, name := range names {
		folder, _, _ := strings.Cut(name, "/")
		counts[folder]++
	}
	fmt.Fprintf(out, "%s has %d templates in templates/, %d files in static/, %d in themes/, and robots.txt.\n",
		dir, counts["templates"], counts["static"], counts["themes"])
	whole, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	fmt.Fprintf(out, `
Look at the pages while you edit them:  dex web preview %s
Use them by the configuration:          frontend: {dir: %q}

warning: files in this folder don't follow later versions of Dex; keep those that you change, and delete the rest: the built-in ones are used instead
`, quoted(dir), whole)
	return nil
}

// quoted returns an argument as a shell takes it.
func quoted(arg string) string {
	if arg != "" && !strings.ContainsFunc(arg, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./", r)
	}) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
