package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/config"
	"dex/internal/telemetry"
)

// errOnce is why standard input is not read again.
var errOnce = errors.New("standard input can't be read again")

// Reloaded says what a reload has done.
type Reloaded struct {
	Changes Changes
	// Restart names the keys that differ from those of the start and take effect after a restart only.
	Restart  []string
	Problems config.Problems // those that the configuration can be used with
}

// reloads is what is known of the reloads so far.
type reloads struct {
	core *Core
	turn chan struct{} // held by the one under way

	mu        sync.Mutex
	tried     config.State // what the files were like at the last attempt
	attempted time.Time
	succeeded time.Time // the last one that did, or the start
	failure   error     // of the last attempt; nil if it succeeded
	failures  int       // in a row
	since     time.Time // when these began
}

func newReloads(core *Core, start *Plan) *reloads {
	now := time.Now()
	return &reloads{core: core, turn: make(chan struct{}, 1), tried: start.files, attempted: now, succeeded: now}
}

// Reload reads the configuration again and puts it in force as a whole. After an error the one before stays in force, and the error
// says what is wrong, with file and line. The log, the metrics and the health show how it ended, whoever asked for it.
func (c *Core) Reload(ctx context.Context) (Reloaded, error) { return c.reloadAs(ctx, config.State{}) }

// errUnsettled says that somebody has written to a file just now.
var errUnsettled = errors.New("the configuration is being written")

// reloadAs is Reload if the files are still as they were found to be. If they are not, nothing is said, as nothing was tried.
func (c *Core) reloadAs(ctx context.Context, seen config.State) (Reloaded, error) {
	r := c.reloads
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return Reloaded{}, context.Cause(ctx)
	}
	report, err := c.reload(ctx, seen)
	if ctx.Err() != nil || errors.Is(err, errUnsettled) {
		return report, err // the server stops, or the caller has gone
	}
	r.ended(err)
	if err != nil {
		c.log.ErrorContext(ctx, "configuration is not applied: the one before stays in force", "err", inShort(err))
	}
	return report, err
}

func (c *Core) reload(ctx context.Context, seen config.State) (Reloaded, error) {
	if c.opts.Input.File == StandardInput || c.opts.Input.File == "" {
		return Reloaded{}, errOnce
	}
	found, err := c.readInput(ctx)
	if ctx.Err() != nil {
		return Reloaded{}, context.Cause(ctx)
	}
	if !found.Files.Agrees(seen) {
		return Reloaded{}, errUnsettled
	}
	c.reloads.begun(found.Files)
	if err != nil {
		return Reloaded{}, err
	}
	LogProblems(ctx, c.log, found.Problems)
	if found.Plan == nil {
		return Reloaded{}, &config.InvalidError{Problems: slices.DeleteFunc(found.Problems, func(p config.Problem) bool {
			return p.Warning || p.Consequence != ""
		})}
	}
	before := c.edition.Load().plan
	if err := c.Apply(ctx, found.Plan); err != nil {
		return Reloaded{}, err
	}
	LogProblems(ctx, c.log, found.Plan.unusableFiles())
	return Reloaded{Changes: changes(before, found.Plan), Restart: c.plan.fixed(found.Plan), Problems: found.Problems}, nil
}

// readInput doesn't wait after the context has ended: files may be on a disk that hangs, which must not keep the server from
// stopping.
func (c *Core) readInput(ctx context.Context) (Reading, error) {
	type result struct {
		Reading
		err error
	}
	found, err := unlessEnded(ctx, func() result {
		reading, err := c.opts.Input.Read()
		return result{reading, err}
	})
	if err != nil {
		return Reading{}, err
	}
	return found.Reading, found.err
}

// unlessEnded returns what read returns, or an error as soon as the context has ended; then nobody waits for read any more.
func unlessEnded[T any](ctx context.Context, read func() T) (T, error) {
	done := make(chan T, 1)
	go func() { done <- read() }()
	select {
	case found := <-done:
		return found, nil
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// begun notes what the files are like that an attempt has read.
func (r *reloads) begun(files config.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried = files
}

func (r *reloads) ended(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempted, r.failure = time.Now(), err
	if err == nil {
		r.succeeded, r.failures = r.attempted, 0
		return
	}
	if r.failures++; r.failures == 1 {
		r.since = r.attempted
	}
}

// lastTried returns what the files were like at the last attempt.
func (r *reloads) lastTried() config.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried
}

// condition shows what is wrong with the configuration in the files, while another one is in force.
func (r *reloads) condition() telemetry.Condition {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown := telemetry.Condition{Name: "configuration", Checked: r.attempted, Failures: r.failures, Since: r.since}
	if r.failure != nil {
		shown.Err = errors.New("is not applied: " + inShort(r.failure))
	}
	return shown
}

// inShort names the first of several mistakes, and how many more there are. The log has a line for each.
func inShort(err error) string {
	invalid, ok := errors.AsType[*config.InvalidError](err)
	if !ok {
		return err.Error()
	}
	text := invalid.Problems[0].String()
	if more := len(invalid.Problems) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// metrics shows how the last attempt ended, and when one succeeded, by the names that Prometheus has for its own configuration.
func (r *reloads) metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dex_config_last_reload_successful",
			Help: "Whether the configuration was applied when it was read last.",
		}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.failure != nil {
				return 0
			}
			return 1
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dex_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration that is in force was applied.",
		}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(r.succeeded.UnixMilli()) / 1000
		}),
	}
}

// LogProblems logs what is wrong with a configuration, a line for each problem.
func LogProblems(ctx context.Context, log *slog.Logger, problems config.Problems) {
	for _, p := range problems {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "configuration: "+p.String())
	}
}
