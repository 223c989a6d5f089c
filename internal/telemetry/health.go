package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"dex/internal/wait"
)

const (
	checkInterval = 15 * time.Second
	// recheckInterval is how soon a check that failed is repeated: as long as it fails, load balancers send nobody here.
	recheckInterval = time.Second
	// checkTimeout is how long a check may take. It is shorter than the interval, so that a check that hangs is reported
	// before its next run.
	checkTimeout = 5 * time.Second
)

// A Check returns an error if something that the program needs doesn't work.
type Check func(ctx context.Context) error

// Health is whether the program works and whether it wants requests. It passes until a check fails, and isn't ready until
// SetReady says so.
type Health struct {
	log *slog.Logger

	mu         sync.Mutex
	checks     map[string]*check
	conditions func() []Condition
	ready      bool
	starting   string // what the start is doing
}

// A Condition is the state of something that the program can do without for a while, such as one of several identity
// sources; somebody else checks it. It is shown beside the checks, but doesn't make the program unhealthy.
type Condition struct {
	Name     string
	Checked  time.Time     // zero if never
	Took     time.Duration // how long the check took
	Err      error         // nil while all is well
	Failures int           // in a row
	Since    time.Time     // when these failures began
}

// check is a Check and its last outcome.
type check struct {
	name string
	run  Check
	last result
	// pending receives the outcome of a run that did not end in time. No other starts until it ends, so that goroutines
	// don't pile up while a storage hangs.
	pending chan error
}

// result is the JSON of a check; monitors made for upstream Dex read these members.
type result struct {
	condition bool // of the program's surroundings, not its own health

	Message            string        `json:"message,omitempty"` // absent once the check has run
	Error              *failure      `json:"error,omitempty"`   // absent when the check passed
	Timestamp          time.Time     `json:"timestamp"`
	Duration           time.Duration `json:"duration"` // in nanoseconds
	ContiguousFailures int           `json:"contiguousFailures"`
	TimeOfFirstFailure *time.Time    `json:"timeOfFirstFailure"`
}

type failure struct {
	Message string `json:"message"`
}

func (r result) passed() bool { return r.Error == nil }

// NewHealth returns a Health without checks. It logs when a check begins to fail and when it recovers.
func NewHealth(log *slog.Logger) *Health {
	return &Health{log: log, checks: map[string]*check{}}
}

// Add adds a check, which passes until it has run. Checks added after Run was called don't run.
func (h *Health) Add(name string, run Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = &check{
		name: name,
		run:  run,
		last: result{Message: notYet, Timestamp: time.Now()},
	}
}

// notYet is the message of checks that have not run yet.
const notYet = "the check has not run yet"

// Show adds conditions to be shown beside the checks. The function is called at each request for the health, so it must be
// quick.
func (h *Health) Show(conditions func() []Condition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conditions = conditions
}

// SetReady says whether the program wants requests: true once everything has started, false when it begins to stop.
func (h *Health) SetReady(ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = ready
	h.starting = ""
}

// Starting says what the start is doing, such as the progress of something that takes long.
func (h *Health) Starting(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starting = what
}

// Run runs the checks at once and then every 15 seconds, those that fail every second, each on its own, until the context ends.
func (h *Health) Run(ctx context.Context) {
	h.mu.Lock()
	checks := slices.Collect(maps.Values(h.checks))
	h.mu.Unlock()
	var running sync.WaitGroup
	for _, c := range checks {
		running.Go(func() { h.repeat(ctx, c) })
	}
	running.Wait()
}

func (h *Health) repeat(ctx context.Context, c *check) {
	for {
		start := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return // stopped, which is not a failure of what is checked
		}
		h.keep(ctx, c, start, err)
		next := checkInterval
		if err != nil {
			next = recheckInterval
		}
		if wait.For(ctx, time.Until(start.Add(next))) != nil {
			return
		}
	}
}

// once runs the check, or waits for the pending run. It gives up at the timeout even if the check ignores its context.
func (c *check) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if c.pending == nil {
		ended := make(chan error, 1)
		go func() { ended <- c.run(ctx) }()
		c.pending = ended
	}
	select {
	case err := <-c.pending:
		c.pending = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", checkTimeout)
	}
}

// keep records the outcome of a run and logs it if it differs from the last.
func (h *Health) keep(ctx context.Context, c *check, start time.Time, err error) {
	next := result{Timestamp: start, Duration: time.Since(start)}
	h.mu.Lock()
	before := c.last
	if err != nil {
		next.Error = &failure{err.Error()}
		next.ContiguousFailures = before.ContiguousFailures + 1
		next.TimeOfFirstFailure = before.TimeOfFirstFailure
		if next.TimeOfFirstFailure == nil {
			next.TimeOfFirstFailure = &start
		}
	}
	c.last = next
	h.mu.Unlock()

	switch {
	case before.passed() && !next.passed():
		h.log.ErrorContext(ctx, "health check failed", "check", c.name, "err", err)
	case !before.passed() && next.passed():
		h.log.InfoContext(ctx, "health check passed again", "check", c.name,
			"failures", before.ContiguousFailures, "since", *before.TimeOfFirstFailure)
	}
}

func (h *Health) results() map[string]result {
	h.mu.Lock()
	defer h.mu.Unlock()
	results := make(map[string]result, len(h.checks))
	for name, c := range h.checks {
		results[name] = c.last
	}
	return results
}

// detail is the results of the checks and the conditions.
func (h *Health) detail() map[string]result {
	results := h.results()
	h.mu.Lock()
	conditions := h.conditions
	h.mu.Unlock()
	if conditions == nil {
		return results
	}
	for _, c := range conditions() {
		results[c.Name] = c.result()
	}
	return results
}

func (c *Condition) result() result {
	r := result{condition: true, Timestamp: c.Checked, Duration: c.Took, ContiguousFailures: c.Failures}
	if c.Checked.IsZero() {
		r.Message, r.Timestamp = notYet, time.Now()
	}
	if c.Err != nil {
		r.Error, r.TimeOfFirstFailure = &failure{c.Err.Error()}, &c.Since
	}
	return r
}

// readiness is the detail and, while the program wants no requests, a failure that says so.
func (h *Health) readiness() map[string]result {
	results := h.detail()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ready {
		why := "starting or stopping"
		if h.starting != "" {
			why = "starting: " + h.starting
		}
		results["ready"] = result{Error: &failure{why}, Timestamp: time.Now()}
	}
	return results
}

// passing reports whether no check fails. Conditions don't count.
func passing(results map[string]result) bool {
	for _, r := range results {
		if !r.condition && !r.passed() {
			return false
		}
	}
	return true
}
