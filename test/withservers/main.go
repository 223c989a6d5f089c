// Command withservers starts the storages' servers, and runs a command with empty storages on them in its environment:
// DEX_BENCH_POSTGRES_1, DEX_BENCH_POSTGRES_2 and so on, each the storage section of a configuration. The servers stop when
// the command ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"dex/test/servers"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	kinds := flag.String("storage", strings.Join(servers.Kinds, ","), "the storages, separated by commas")
	count := flag.Int("count", 2, "how many empty storages of each")
	dir := flag.String("C", ".", "run the command in this folder")
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("want a command")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var pool servers.Pool
	defer func() { err = errors.Join(err, pool.Close()) }()
	cmd := exec.CommandContext(ctx, flag.Arg(0), flag.Args()[1:]...) //nolint:gosec // whoever runs it names it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Dir, cmd.Env = *dir, os.Environ()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	for _, kind := range strings.Split(*kinds, ",") {
		for i := range *count {
			storage, err := pool.Storage(ctx, kind)
			if err != nil {
				return err
			}
			cmd.Env = append(cmd.Env, fmt.Sprintf("DEX_BENCH_%s_%d=%s", strings.ToUpper(kind), i+1, storage))
		}
	}
	return cmd.Run()
}
