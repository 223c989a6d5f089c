package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"dex/internal/app"
	"dex/internal/config"
)

// A reloader applies the configuration again while the server runs.
type reloader struct {
	core      *app.Core
	file      string
	overrides config.Overrides
	log       *slog.Logger
}

// follow reloads at each of these signals, until the context ends.
func (r *reloader) follow(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			r.core.ReloadCertificate(ctx)
			r.reload(ctx)
		}
	}
}

// reload reads the configuration again and puts it in force, or logs what is wrong with it.
func (r *reloader) reload(ctx context.Context) {
	const unchanged = "configuration is not applied: the one before stays in force"
	if r.file == "-" {
		r.log.WarnContext(ctx, unchanged, "err", "standard input can't be read again")
		return
	}
	plan, problems, err := r.readPlan(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.log.ErrorContext(ctx, unchanged, "err", err)
		return
	}
	logProblems(ctx, r.log, problems)
	if plan == nil {
		r.log.ErrorContext(ctx, unchanged, "err", "it has errors")
		return
	}
	if err := r.core.Apply(ctx, plan); err != nil && ctx.Err() == nil {
		r.log.ErrorContext(ctx, unchanged, "err", err)
	}
}

// readPlan reads the configuration. It doesn't wait after the context has ended: files may be on a disk that hangs, which must not
// keep the server from stopping.
func (r *reloader) readPlan(ctx context.Context) (plan *app.Plan, problems config.Problems, err error) {
	read := make(chan struct{})
	var found struct {
		plan     *app.Plan
		problems config.Problems
		err      error
	}
	go func() {
		defer close(read)
		found.plan, found.problems, found.err = readPlan(r.file, r.overrides, nil)
	}()
	select {
	case <-read:
		return found.plan, found.problems, found.err
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

func logProblems(ctx context.Context, log *slog.Logger, problems config.Problems) {
	for _, p := range problems {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "configuration: "+p.String())
	}
}

// hangups returns where SIGHUP arrives, which would otherwise end the program. One that arrives while another one is waiting
// is dropped.
func hangups() (arriving <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals, func() { signal.Stop(signals) }
}
