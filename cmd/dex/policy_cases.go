package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"dex/internal/admin/remote"
	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/explain"
)

// errCasesFail says that the configuration decides otherwise than a case expects.
var errCasesFail = errors.New("the configuration decides otherwise than expected")

func newPolicyTest() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "test --config FILE CASES",
		Short: "Hold the policy of a configuration to what is expected of it",
		Long: `Hold the policy of a configuration to what is expected of it, as CASES says:

  cases:
  - name: people of HR may use Payroll
    client: payroll
    connector: google
    user: {name: jane, email: jane@example.com, groups: [hr]}
    want: {allowed: true, claims: {email: jane@example.com}}

It needs no server, and makes no connections. The exit status is 0 if everything
is as expected, 1 if anything isn't, and 2 if a file can't be used.`,
		Args:                  operands("CASES"),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			found, err := app.Input{File: file, Stdin: cmd.InOrStdin(), SkipFiles: true}.Read()
			if err != nil {
				return err
			}
			if found.Plan == nil || found.Problems.HasErrors() {
				return unusable(found.Problems)
			}
			data, err := readManifest(args[0])
			if err != nil {
				return fmt.Errorf("read the cases: %w", err)
			}
			cases, problems := explain.ReadCases(config.Source{Name: args[0], Data: data, Env: config.OS})
			if err := problems.Err(); err != nil {
				return err
			}
			return tryCases(cmd, found.Plan, cases)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the configuration `file`, or - for standard input")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // only if there is no such flag
	}
	return cmd
}

func tryCases(cmd *cobra.Command, plan *app.Plan, cases []explain.Case) error {
	rehearsal, err := plan.Rehearse(cmd.Context())
	if err != nil {
		return err
	}
	failed, out := 0, cmd.OutOrStdout()
	for i := range cases {
		c := &cases[i]
		wrong, x, err := rehearsal.Try(cmd.Context(), rehearsal, c)
		if err != nil {
			wrong = []string{err.Error()}
		}
		if len(wrong) == 0 {
			continue
		}
		failed++
		printFailure(out, i, c, wrong, x)
	}
	fmt.Fprintf(out, "%d cases, %d failed\n", len(cases), failed)
	if failed > 0 {
		return errCasesFail
	}
	return nil
}

// printFailure says what is otherwise than a case expects, and what each rule has said.
func printFailure(out io.Writer, i int, c *explain.Case, wrong []string, x *explain.Explanation) {
	name := c.Name
	if name == "" {
		name = "client " + c.Client + ", user " + c.User.ID
	}
	fmt.Fprintf(out, "FAILED: cases[%d], %s\n", i, remote.Printable(name))
	for _, what := range wrong {
		fmt.Fprintln(out, "  "+remote.Printable(what))
	}
	if x == nil {
		return
	}
	for _, s := range x.Steps {
		line := fmt.Sprintf("%s: %s: %s", s.Stage, cmp.Or(s.Where, s.Rule), s.Outcome)
		if s.Detail != "" {
			line += ", " + s.Detail
		}
		fmt.Fprintln(out, "    "+remote.Printable(line))
	}
}
