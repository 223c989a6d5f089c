package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/resident"
	"dex/internal/telemetry"
)

func newServe() *cobra.Command {
	var o config.Overrides
	cmd := &cobra.Command{
		Use:     "serve [flags] FILE",
		Short:   "Run the server with the configuration in FILE, or - for standard input",
		Example: "  dex serve config.yaml",
		Args:    operands("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return serve(cmd, args[0], o)
		},
	}
	listenFlags(cmd.Flags(), &o)
	return cmd
}

// listenFlags adds the flags for the addresses that the server listens at.
func listenFlags(flags *pflag.FlagSet, o *config.Overrides) {
	flags.StringVar(&o.WebHTTP, "web-http-addr", "", "listen for HTTP here instead of at web.http")
	flags.StringVar(&o.WebHTTPS, "web-https-addr", "", "listen for HTTPS here instead of at web.https")
	flags.StringVar(&o.TelemetryHTTP, "telemetry-addr", "", "listen for metrics and health here instead of at telemetry.http")
	flags.StringVar(&o.GRPCAddr, "grpc-addr", "", "does nothing yet: the address of the management API, instead of grpc.addr")
}

// serve runs the server until SIGINT or SIGTERM; a clean end is not an error.
func serve(cmd *cobra.Command, file string, o config.Overrides) error {
	// Signals are handled from the beginning, so that an early one ends the start cleanly too.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	plan, problems, err := readPlan(file, o, cmd.InOrStdin())
	if err != nil {
		return err
	}
	if plan == nil {
		return unusable(problems)
	}
	log := newLogger(plan.Config.Logger)
	slog.SetDefault(log)
	logProblems(ctx, log, problems)
	log.InfoContext(ctx, "Version info", "dex_version", version,
		slog.Group("go", "version", runtime.Version(), "os", runtime.GOOS, "arch", runtime.GOARCH))

	arriving, stopHangups := hangups()
	defer stopHangups()
	core, err := app.New(ctx, plan, app.Options{Version: version, Log: log})
	if err != nil {
		return unlessStopped(ctx, err)
	}
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := resident.Release(); err != nil {
		log.DebugContext(ctx, "memory needed only at start was not released", "err", err)
	}
	err = run(ctx, core, &reloader{core: core, file: file, overrides: o, log: log}, arriving)
	if err == nil {
		log.InfoContext(ctx, "shutdown now")
	}
	return errors.Join(err, core.Close())
}

// run serves until the context ends or a listener fails, and reloads meanwhile.
func run(ctx context.Context, core *app.Core, r *reloader, hangups <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	var reloading sync.WaitGroup
	reloading.Go(func() { r.follow(ctx, hangups) })
	err := core.Run(ctx)
	stop()
	reloading.Wait()
	return err
}

// unlessStopped drops the error of a start that a signal has ended.
func unlessStopped(ctx context.Context, err error) error {
	if stopped := ctx.Err() != nil && errors.Is(err, context.Canceled); stopped {
		return nil
	}
	return err
}

func newLogger(l config.Logger) *slog.Logger {
	return telemetry.NewLogger(os.Stderr, l.Format, l.SlogLevel(), l.ExcludeFields)
}
