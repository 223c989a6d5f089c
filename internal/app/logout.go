package app

import (
	"dex/internal/logout/backchannel"
	"dex/internal/outbound"
	"dex/internal/session"
	"dex/internal/token"
)

// openSessions opens what sessions leave to do when they end: the queue of what applications have yet to be told, and the sweep.
func (c *Core) openSessions() {
	c.logoutTokens = backchannel.New(backchannel.Config{
		Store:    c.store,
		Minter:   &token.Minter{Issuer: c.cfg.Issuer, Signer: c.signer},
		Settings: func() backchannel.Settings { return c.edition.Load().logouts },
		Events:   c.events,
		Log:      c.log,
	})
	c.roomSweeps = append(c.roomSweeps, roomSweep{session.Kind.Name(), c.sweepSessions})
	if c.cfg.SessionsOn() {
		c.metrics.Registry().MustRegister(c.logoutTokens.Metrics())
	}
}

// logoutSettings returns where logout tokens may go.
func (e *Edition) logoutSettings(with shared) backchannel.Settings {
	var inside []string
	if s := e.cfg.Sessions; s != nil {
		inside = s.LogoutHosts
	}
	return backchannel.Settings{Clients: with.clients, Guard: outbound.NewGuard(inside)}
}
