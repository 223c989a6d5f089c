package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/config"
	"dex/internal/outbound"
	"dex/internal/policy"
	"dex/internal/telemetry"
)

const (
	// tracesDrain is how long the end of the process waits for a collector.
	tracesDrain = 3 * time.Second
)

// openTraces begins to record traces, if there is a collector.
func (c *Core) openTraces(ctx context.Context) error {
	t := c.cfg.Telemetry.Traces
	if t.Endpoint == "" {
		return nil
	}
	var authorities []string
	if t.RootCA != "" {
		authorities = append(authorities, t.RootCA)
	}
	client, err := outbound.NewClient(authorities, false)
	if err != nil {
		return fmt.Errorf("telemetry.traces.rootCA: %w", err)
	}
	c.traces = telemetry.NewTraces(telemetry.TracesConfig{ //nolint:contextcheck // spans are sent for as long as the process lives
		Endpoint: t.Endpoint, Header: t.Headers, Client: client, OneIn: t.SampleOneIn,
		FollowParent: t.FollowParent, Propagate: t.Propagate, Version: c.opts.Version,
		Failing: func(err error) {
			if err == nil {
				c.log.InfoContext(ctx, "the collector takes traces again")
				return
			}
			c.log.WarnContext(ctx, "traces can't be sent", "err", err)
		},
	})
	c.metrics.Registry().MustRegister(c.traces.Metrics())
	return nil
}

func (p *Plan) checkTracesCA() config.Problems {
	t := p.Config.Telemetry.Traces
	if t.Endpoint == "" || t.RootCA == "" {
		return nil
	}
	if err := outbound.CheckRootCA(t.RootCA); err != nil {
		return config.Problems{p.fileProblem("telemetry.traces.rootCA", "", err)}
	}
	return nil
}

// closeTraces sends what is left, for a bounded time.
func (c *Core) closeTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), tracesDrain)
	defer cancel()
	if err := c.traces.Close(ctx); err != nil {
		c.log.WarnContext(ctx, "the last traces can't be sent", "err", err)
	}
}

// A tracedPolicy is a policy whose decisions are in traces.
type tracedPolicy struct{ policy.Decider }

// Decide implements policy.Decider. A refusal is an answer: only a policy that can't be asked makes the span one that failed.
func (p tracedPolicy) Decide(ctx context.Context, q policy.Question) (policy.Decision, error) {
	ctx, span := telemetry.StartSpan(ctx, "policy")
	span.Set("dex.stage", string(q.Stage))
	d, err := p.Decider.Decide(ctx, q)
	var failure error
	switch refused, ok := errors.AsType[*policy.Refusal](err); {
	case err == nil:
		span.Set("dex.outcome", "allowed")
	case ok:
		span.Set("dex.outcome", "refused")
		span.Set("dex.rule", refused.Rule)
	default:
		failure = err
	}
	span.End(failure)
	return d, err
}
