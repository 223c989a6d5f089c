package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// A table is the report on one server.
type table struct {
	out      io.Writer
	rows     *tabwriter.Writer
	failures []string
}

// newTable begins a report with a line about the server.
func newTable(out io.Writer, o options, srv *server) *table {
	fmt.Fprintf(out, "\n%s, %d clients at once on %d processors, %v each; first answer %d ms after the start, %.1f MiB idle\n",
		srv.setup, o.clients, runtime.NumCPU(), o.duration, srv.firstReply.Milliseconds(), float64(srv.resident)/(1<<20))
	t := &table{out: out, rows: tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)}
	fmt.Fprintln(t.rows, "operation\tops/s\tp50 ms\tp99 ms\tCPU ms/op\tsignatures ms/op\tratio\tone before\tone after\t")
	return t
}

// add adds an operation.
func (t *table) add(op operation, r *result) {
	bare, ratio, before, after := "-", "-", "-", "-"
	if n := len(r.signatures); n > 0 {
		floor := time.Duration(op.signatures) * r.signature()
		bare, ratio = ms(floor), fmt.Sprintf("%.2f", float64(r.perOperation())/float64(floor))
		before, after = ms(r.signatures[0]), ms(r.signatures[n-1])
	}
	fmt.Fprintf(t.rows, "%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", op.name, r.rate(),
		ms(r.percentile(50)), ms(r.percentile(99)), ms(r.perOperation()), bare, ratio, before, after)
	if r.failures > 0 {
		t.failures = append(t.failures, fmt.Sprintf("%s: %d failed, the first: %v", op.name, r.failures, r.failure))
	}
}

// print ends the report.
func (t *table) print() error {
	err := t.rows.Flush()
	for _, f := range t.failures {
		fmt.Fprintln(t.out, f)
	}
	return err
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond)) }
