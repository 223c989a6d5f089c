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
	var o serveOptions
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
	listenFlags(cmd.Flags(), &o.Overrides)
	cmd.Flags().BoolVar(&o.watch, "watch", true, "reload the configuration when its files change; with false, at SIGHUP only")
	return cmd
}

// listenFlags adds the flags for the addresses that the server listens at.
func listenFlags(flags *pflag.FlagSet, o *config.Overrides) {
	flags.StringVar(&o.WebHTTP, "web-http-addr", "", "listen for HTTP here instead of at web.http")
	flags.StringVar(&o.WebHTTPS, "web-https-addr", "", "listen for HTTPS here instead of at web.https")
	flags.StringVar(&o.TelemetryHTTP, "telemetry-addr", "", "listen for metrics and health here instead of at telemetry.http")
	flags.StringVar(&o.GRPCAddr, "grpc-addr", "", "listen for the management API over gRPC here instead of at grpc.addr")
}

type serveOptions struct {
	config.Overrides
	watch bool
}

// serve runs the server until SIGINT or SIGTERM; a clean end is not an error.
func serve(cmd *cobra.Command, file string, o serveOptions) error {
	// Signals are handled from the beginning, so that an early one ends the start cleanly too.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	input := app.Input{File: file, Stdin: cmd.InOrStdin(), Overrides: o.Overrides}
	found, err := input.Read()
	if err != nil {
		return err
	}
	plan := found.Plan
	if plan == nil {
		return unusable(found.Problems)
	}
	log := newLogger(plan.Config.Logger)
	slog.SetDefault(log)
	app.LogProblems(ctx, log, found.Problems)
	log.InfoContext(ctx, "Version info", "dex_version", version,
		slog.Group("go", "version", runtime.Version(), "os", runtime.GOOS, "arch", runtime.GOARCH))

	arriving, stopHangups := hangups()
	defer stopHangups()
	core, err := app.New(ctx, plan, app.Options{Version: version, Log: log, Input: input, Watch: o.watch})
	if err != nil {
		return unlessStopped(ctx, err)
	}
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err = run(ctx, core, arriving, log)
	if err == nil {
		log.InfoContext(ctx, "shutdown now")
	}
	return errors.Join(err, core.Close())
}

// run serves until the context ends or a listener fails. Meanwhile it reloads, and gives back memory that only work has needed.
func run(ctx context.Context, core *app.Core, hangups <-chan os.Signal, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { reloadAt(ctx, core, hangups) })
	beside.Go(func() {
		if err := errors.Join(resident.Release(), resident.Rest(ctx)); err != nil {
			log.DebugContext(ctx, "memory that is no longer needed was not released", "err", err)
		}
	})
	err := core.Run(ctx)
	stop()
	beside.Wait()
	return err
}

// reloadAt reloads at each of these signals, until the context ends.
func reloadAt(ctx context.Context, core *app.Core, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			core.ReloadCertificate(ctx)
			_, _ = core.Reload(ctx) // it has said so in the log
		}
	}
}

// hangups returns where SIGHUP arrives, which would otherwise end the program. One that arrives while another one is waiting
// is dropped.
func hangups() (arriving <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals, func() { signal.Stop(signals) }
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
