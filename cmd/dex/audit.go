package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dex/internal/admin/remote"
	"dex/internal/audit"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Verify the record of who has signed in, got tokens and changed something",
		Args:  knownCommand,
		RunE:  helpInstead,
	}
	cmd.AddCommand(newAuditVerify(), newAuditSchema())
	return cmd
}

func newAuditVerify() *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "verify [flags] FILE...",
		Short: "Tell where records of an audit were changed, removed or added",
		Long: `Tell where records of an audit were changed, removed, added or put in another
order, by the hashes that chain them. Each break is reported with file and line.

Rotated files, numbered or dated, also those compressed by gzip, are read before
the one that their names begin with, so that dex audit verify audit.log* is right.

Without a key, whoever can write the files can make the whole chain anew. The
records after the last one that is known can be missing in any case: keep its
hash, which the command prints, elsewhere.`,
		Example: "  dex audit verify --key-file /etc/dex/audit.key /var/log/dex/audit.log*",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("FILE is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return verifyAudit(cmd, keyFile, args)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "file with audit.key of the configuration")
	return cmd
}

func verifyAudit(cmd *cobra.Command, keyFile string, files []string) error {
	var key []byte
	if keyFile != "" {
		text, err := os.ReadFile(keyFile) //nolint:gosec // whoever runs the command names it
		if err != nil {
			return err
		}
		key = bytes.TrimRight(text, "\r\n") // as the configuration reads files with secrets
	}
	out := cmd.OutOrStdout()
	breaks := &breakPrinter{out: out}
	v, err := audit.NewVerifier(key, breaks.print)
	if err != nil {
		return err
	}
	for _, name := range audit.InOrder(files) {
		if err := v.File(name); err != nil {
			return err
		}
	}
	breaks.flush()
	for _, note := range v.Notes() {
		fmt.Fprintln(out, "note:", remote.Printable(note)) // parts of it are from the files
	}
	switch {
	case v.Breaks > 1 && v.Breaks == v.Lines:
		return fmt.Errorf("none of the %d records is right: check --key-file, and that the files are those of an audit", v.Lines)
	case v.Breaks == 1:
		return fmt.Errorf("the audit is broken in 1 place; %d records were read", v.Lines)
	case v.Breaks > 0:
		return fmt.Errorf("the audit is broken in %d places; %d records were read", v.Breaks, v.Lines)
	}
	fmt.Fprintf(out, "%d records are whole and in order\n", v.Lines)
	return nil
}

// A breakPrinter prints breaks, and of those that are the same in one line after another the first and the last: with the wrong key
// every line is broken.
type breakPrinter struct {
	out     io.Writer
	last    audit.Break
	skipped int
}

func (p *breakPrinter) print(b audit.Break) {
	if b.File == p.last.File && b.Line == p.last.Line+1 && b.What == p.last.What {
		p.last = b
		p.skipped++
		return
	}
	p.flush()
	p.last = b
	fmt.Fprintln(p.out, remote.Printable(b.String()))
}

// flush prints where a run of equal breaks ends.
func (p *breakPrinter) flush() {
	if p.skipped > 0 {
		fmt.Fprintf(p.out, "%s:%d: the same in every line up to this one\n", p.last.File, p.last.Line)
	}
	p.skipped = 0
}

func newAuditSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the records of an audit",
		Args:  operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			_, err := cmd.OutOrStdout().Write(audit.Schema())
			return err
		},
	}
}
