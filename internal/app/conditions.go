package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/telemetry"
)

// showHealth shows operators whether the storage works, and beside that how the connectors fare and which users were left
// out. Neither of these makes the server unhealthy: to take all replicas out of service would lock out everybody else too.
func (c *Core) showHealth() {
	c.health.Add("storage", c.store.Ping)
	c.health.Add("storage/writes", c.writes.Check)
	c.metrics.Registry().MustRegister(c.sources.Metrics())
	c.metrics.Registry().MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dex_clock_behind_seconds",
		Help: "How far this clock is behind that of another replica; 0 while they agree.",
	}, func() float64 { return c.answers.Behind().Seconds() }))
	c.metrics.Registry().MustRegister(c.reloads.metrics()...)
	c.health.Show(func() []telemetry.Condition {
		shown := []telemetry.Condition{c.clock(), c.reloads.condition()}
		if e := c.edition.Load(); e != nil { // the start is that far
			shown = append(shown, e.conditions()...)
		}
		shown = append(shown, c.resourceConditions()...)
		shown = append(shown, c.audit.Conditions()...)
		for _, h := range c.sources.Health() {
			shown = append(shown, telemetry.Condition{
				Name: "connector/" + h.ID, Checked: h.Checked, Took: h.Took, Err: h.Err, Failures: h.Failures, Since: h.Since,
			})
		}
		return shown
	})
}

// conditions are the parts of the configuration that can't be used.
func (e *Edition) conditions() []telemetry.Condition {
	var shown []telemetry.Condition
	for _, u := range e.plan.unusable {
		shown = append(shown, telemetry.Condition{
			Name: u.Key, Checked: e.made, Err: errors.New(u.String()), Failures: 1, Since: e.made,
		})
	}
	return shown
}

// clock is the condition of this replica's clock.
func (c *Core) clock() telemetry.Condition {
	shown := telemetry.Condition{Name: "clock", Checked: time.Now()}
	if behind := c.answers.Behind(); behind > 0 {
		shown.Err, shown.Failures = fmt.Errorf("this clock is %v behind that of another replica", behind.Round(time.Second)), 1
		shown.Since = shown.Checked
	}
	return shown
}
