// Command bench measures the main operations of a running Dex, and next to them the cost of the signatures that they need:
// the difference is the server's overhead. It starts the production binary on a free port with a fresh database, and reads
// the CPU time of that process from /proc, so it runs on Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	dex        string
	storages   []string
	algorithms []string
	clients    int
	duration   time.Duration // of each operation
	only       string        // comma-separated names of the operations to measure; empty for all
	expired    int           // records to sweep
	profiles   string        // folder for CPU profiles of the server; empty for none
}

// measures reports whether an operation should be measured.
func (o options) measures(name string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), name)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	o, err := parseFlags()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failures := 0
	for i, algorithm := range o.algorithms {
		for _, storage := range o.storages {
			if slices.Contains([]string{takeoverName, recordsName, sweepName}, o.only) {
				continue
			}
			s := setup{storage: storage, algorithm: algorithm, number: i + 1}
			failed, err := measureServer(ctx, os.Stdout, o, s)
			if err != nil {
				return fmt.Errorf("%s with %s: %w", storage, algorithm, err)
			}
			failures += failed
		}
	}
	failed, err := measureRecordsAlone(ctx, o)
	if err != nil {
		return err
	}
	if failures += failed; failures > 0 {
		return fmt.Errorf("%d operations failed", failures)
	}
	return nil
}

// measureRecordsAlone measures what depends on how many records there are, on SQLite.
func measureRecordsAlone(ctx context.Context, o options) (failures int, err error) {
	if !slices.Contains(o.storages, "sqlite3") {
		return 0, nil
	}
	if o.measures(takeoverName) {
		failed, err := measureTakeover(ctx, os.Stdout, o)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", takeoverName, err)
		}
		failures += failed
	}
	if o.measures(recordsName) {
		if err := measureRecords(ctx, os.Stdout, o); err != nil {
			return failures, fmt.Errorf("%s: %w", recordsName, err)
		}
	}
	if o.measures(sweepName) {
		if err := measureSweep(ctx, os.Stdout, o.expired); err != nil {
			return failures, fmt.Errorf("%s: %w", sweepName, err)
		}
	}
	return failures, nil
}

func parseFlags() (options, error) {
	var o options
	var storages, algorithms string
	flag.StringVar(&o.dex, "dex", "bin/dex", "the binary to measure")
	flag.StringVar(&storages, "storage", "memory,sqlite3,postgres,mysql,etcd,kubernetes", "comma-separated storages")
	flag.StringVar(&algorithms, "alg", "RS256,ES256", "comma-separated signing algorithms")
	flag.IntVar(&o.clients, "clients", 8, "number of concurrent clients")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "how long each operation is measured")
	flag.StringVar(&o.only, "only", "", "measure only these operations, comma-separated")
	flag.IntVar(&o.expired, "expired", 1_000_000, "number of expired sessions to sweep")
	flag.StringVar(&o.profiles, "profiles", "", "write a CPU profile of the server for each operation into this folder")
	flag.Parse()
	o.storages, o.algorithms = strings.Split(storages, ","), strings.Split(algorithms, ",")
	if o.clients < 1 || o.duration <= 0 || o.expired < 1 || flag.NArg() > 0 {
		return options{}, errors.New("want at least one client and one expired session, a positive duration and no arguments")
	}
	return o, nil
}

// measureServer measures all operations of one server, prints them, and returns how many failed.
func measureServer(ctx context.Context, out io.Writer, o options, s setup) (failed int, err error) {
	srv, err := start(ctx, o, s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	baseline, err := newSigner(ctx, s.algorithm)
	if err != nil {
		return 0, err
	}
	t := newTable(out, o, srv)
	sessions := false
	for _, op := range operations {
		if !o.measures(op.name) {
			continue
		}
		if op.sessions && !sessions {
			if err := srv.switchOnSessions(ctx); err != nil {
				return failed, err
			}
			sessions = true
		}
		r, err := measure(ctx, o, srv, baseline, op)
		if err != nil {
			return failed, fmt.Errorf("%s: %w", op.name, err)
		}
		failed += r.failures
		t.add(op, r)
	}
	return failed, t.print()
}
