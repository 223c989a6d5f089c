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
func (a *App) Telemetry() http.Handler { return a.telemetry() }

// RunChecks is what Run does about the checks of health, for tests in which time is fake.
func (a *App) RunChecks(ctx context.Context) {
	a.health.SetReady(true)
	a.health.Run(ctx)
}

// RunWithoutListeners is what Run does about connectors and readiness, for tests in which time is fake.
func (a *App) RunWithoutListeners(ctx context.Context) {
	a.health.SetReady(true)
	a.connectors.Run(ctx)
}
