package app

import (
	"context"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
)

// AddConnector adds a connector that no configuration can have.
func (p *Plan) AddConnector(d *federation.Definition) { p.connectors = append(p.connectors, d) }

// ReplaceConnector puts another source in the place of a configured connector.
func (p *Plan) ReplaceConnector(id string, with connector.Config) {
	for _, d := range p.connectors {
		if d.ID == id {
			d.Config = with
		}
	}
}

// Telemetry returns what the listener for operators serves.
func (c *Core) Telemetry() http.Handler { return c.telemetry() }

// RunChecks is what Run does about the checks of health, for tests in which time is fake.
func (c *Core) RunChecks(ctx context.Context) {
	c.health.SetReady(true)
	c.health.Run(ctx)
}

// RunWithoutListeners is what Run does about connectors and readiness, for tests in which time is fake.
func (c *Core) RunWithoutListeners(ctx context.Context) {
	c.health.SetReady(true)
	c.sources.Run(ctx)
}
