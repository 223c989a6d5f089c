package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
)

const (
	// probeEvery and retryEvery are how often a source is probed that works, and one that fails.
	probeEvery = 30 * time.Second
	retryEvery = 5 * time.Second
	// probeTimeout bounds one probe.
	probeTimeout = 10 * time.Second
)

// A SourceHealth is what the last look at a connector found.
type SourceHealth struct {
	ID, Type string
	Checked  time.Time     // zero before the first time
	Took     time.Duration // to find out
	Err      error         // why users can't sign in; nil while they can
	Failures int           // in a row
	Since    time.Time     // of the first of these failures
}

// Health returns what the last look at each connector in use found, in the order of their ids, unusable stored ones included.
// It doesn't look again.
func (p *Pool) Health() []SourceHealth {
	p.mu.Lock()
	var sources []*source
	for _, m := range p.inUse.configured {
		sources = append(sources, m.source)
	}
	for id, s := range p.stored {
		if !p.inUse.known.Configured(id) {
			sources = append(sources, s)
		}
	}
	p.mu.Unlock()
	all := make([]SourceHealth, 0, len(sources))
	for _, s := range sources {
		all = append(all, s.fares())
	}
	slices.SortFunc(all, func(a, b SourceHealth) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// fares returns what the last look at the source found.
func (s *source) fares() SourceHealth {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SourceHealth{
		ID: s.definition.ID, Type: s.definition.Type,
		Checked: s.health.checked, Took: s.health.took, Err: s.health.err, Failures: s.health.failures, Since: s.health.since,
	}
}

// health is the result of the last look at a source; the members are those of SourceHealth.
type health struct {
	checked  time.Time
	took     time.Duration
	err      error
	failures int
	since    time.Time
}

// keep notes the result of a look that began at a time.
func (h *health) keep(began time.Time, err error) {
	h.checked, h.took = time.Now(), time.Since(began)
	if h.err = err; err == nil {
		h.failures, h.since = 0, time.Time{}
		return
	}
	if h.failures++; h.failures == 1 {
		h.since = began
	}
}

// report notes the result of a look at a source, and emits when the source begins to fail and when it recovers.
func (p *Pool) report(ctx context.Context, s *source, began time.Time, err error) {
	s.mu.Lock()
	before := s.health
	s.health.keep(began, err)
	closed := s.closed
	s.mu.Unlock()
	d := s.definition
	switch {
	case closed: // while it was looked at
	case before.err == nil && err != nil:
		p.events.Emit(ctx, event.ConnectorFailed{ConnectorID: d.ID, Type: d.Type, Opening: errors.Is(err, ErrDown), Err: err})
		if !p.anyWorks() {
			p.events.Emit(ctx, event.AllConnectorsFail{})
		}
	case before.err != nil && err == nil:
		p.events.Emit(ctx, event.ConnectorRecovered{
			ConnectorID: d.ID, Type: d.Type, Failures: before.failures, Since: before.since,
		})
	}
}

func (p *Pool) anyWorks() bool {
	return slices.ContainsFunc(p.Health(), func(h SourceHealth) bool { return h.Err == nil })
}

// check opens the source if it isn't open, and probes it if it can be probed.
func (p *Pool) check(ctx context.Context, s *source) error {
	opened, err := s.open(ctx, p) // which reports
	if err != nil {
		return err
	}
	began := time.Now()
	if prober, ok := opened.Instance.(connector.Prober); ok {
		err = s.probe(ctx, p.log, prober)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // the caller stopped, which says nothing about the source
	}
	p.report(ctx, s, began, err)
	if err != nil {
		return fmt.Errorf("connector %q: %w", s.definition.ID, err)
	}
	return nil
}

// A question is a probe under way. Whoever else wants to know waits for the same answer.
type question struct {
	ended chan struct{} // closed when err is set
	err   error
}

// probe probes an opened source, and gives up in time even if the source ignores its context. Until that probe ends, no other
// begins.
func (s *source) probe(ctx context.Context, log *slog.Logger, p connector.Prober) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s.mu.Lock()
	asked := s.asked
	if asked == nil {
		asked = &question{ended: make(chan struct{})}
		s.asked = asked
		go func() {
			asked.err = Shielded(ctx, log, func() error { return p.Probe(ctx) })
			close(asked.ended)
		}()
	}
	s.mu.Unlock()
	select {
	case <-asked.ended:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.asked == asked {
			s.asked = nil
		}
		return asked.err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", probeTimeout)
	}
}

// wait returns how long to wait before the source is looked at again.
func (s *source) wait(err error) time.Duration {
	if err == nil {
		return jitter(probeEvery)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened == nil {
		return time.Until(s.retry) + rand.N(firstPause/2) //nolint:gosec // jitter, not a secret
	}
	return jitter(retryEvery)
}

// jitter returns about a time, so that many replicas don't all ask at once.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5) //nolint:gosec // not a secret
}
