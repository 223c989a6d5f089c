// Command programs builds the programs of the module servers/cluster, kube-apiserver, kubectl and helm, if that has not been
// done yet, and prints their paths.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dex/test/servers"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "programs:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, name := range []string{"kube-apiserver", "kubectl", "helm"} {
		path, err := servers.Program(ctx, name)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
