package app

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"dex/internal/admin"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/logout/backchannel"
	"dex/internal/mail"
	"dex/internal/server"
	"dex/internal/ui"
)

// An Edition is what one configuration makes of the Core: the configured clients, users and connectors, the policy, the
// pages, the rooms and their routes. It never changes once it is made, and is cheap to make.
type Edition struct {
	core *Core
	plan *Plan
	cfg  *config.Config // of the plan
	made time.Time

	pages      *ui.UI
	connectors *federation.Registry
	offered    []*federation.Definition // when the edition was made
	logouts    backchannel.Settings
	mail       *mail.Sender
	noMail     error // why there is none
	admin      *admin.Service
	access     *admin.Access // to it
	rooms      rooms
	routes     []server.Route
	handler    http.Handler

	// held counts the requests under way, and one more while the edition is in force. Once it is 0 it stays so.
	held atomic.Int64
}

// newEdition makes what a plan describes, to be served by these pages.
func newEdition(ctx context.Context, c *Core, p *Plan, pages *ui.UI) (*Edition, error) {
	e := &Edition{core: c, plan: p, cfg: p.Config, made: time.Now(), pages: pages}
	addresses, err := clientAddress(e.cfg.Web.ClientRemoteIP)
	if err != nil {
		return nil, err
	}
	e.connectors = c.sources.Registry(e.definitions())
	// Custom resources may bring a connector at any time.
	if e.offered, err = e.connectors.List(ctx); err == nil && len(e.offered) == 0 && c.resources == nil {
		err = errors.New("connectors: " + noConnector)
	}
	if err != nil {
		return nil, errors.Join(err, e.connectors.Release())
	}
	e.openMail()
	with, err := e.share()
	if err == nil {
		err = e.openAlgorithms(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, e.connectors.Release())
	}
	e.logouts = e.logoutSettings(with)
	in := e.furnish(with)
	e.rooms = in
	e.routes = e.route(in) //nolint:contextcheck // handlers have the contexts of their requests
	e.admin = e.administration(with, in)
	e.access = e.adminAccess(with)
	e.handler = e.serve(addresses)
	e.held.Store(1)
	return e, nil
}

// enter counts a request in; false if the edition has ended, and another one is in force.
func (e *Edition) enter() bool {
	for n := e.held.Load(); n > 0; n = e.held.Load() {
		if e.held.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

// leave counts a request out, or the edition out of force. The last one to leave ends the edition, and doesn't wait for that.
func (e *Edition) leave() {
	if e.held.Add(-1) > 0 {
		return
	}
	e.core.ending.Go(func() {
		if err := e.end(); err != nil {
			e.core.log.Warn("configuration that is no longer in force", "err", err)
		}
	})
}

// end frees what only this edition has.
func (e *Edition) end() error { return errors.Join(e.connectors.Release(), e.pages.Close()) }

// definitions returns the configured connectors, with that of the users who sign in with a password of ours.
func (e *Edition) definitions() []*federation.Definition {
	definitions := slices.Clone(e.plan.connectors)
	if !e.cfg.EnablePasswordDB {
		return definitions
	}
	return append(definitions, &federation.Definition{
		ID: federation.LocalID, Type: federation.LocalID, Name: "Email", Config: &local.Config{Users: e.users()},
	})
}

// users returns the users of the configuration and of the storage.
func (e *Edition) users() *local.Users {
	return e.core.users.With(e.plan.users, local.Hashing{
		Argon2id: e.cfg.LocalUsers.PasswordHash == config.Argon2id,
		Cost:     local.HashCost(e.cfg.PasswordHashCost, e.plan.users),
		Lower:    e.cfg.PasswordHashCost != 0,
	}, e.plan.passwords)
}

// announce logs what there is at the start, in upstream's words.
func (e *Edition) announce(ctx context.Context) {
	for _, c := range e.plan.clients {
		e.core.log.InfoContext(ctx, "config static client", "client_name", c.Name)
	}
	for _, d := range e.offered {
		e.core.log.InfoContext(ctx, "config connector", "connector_id", d.ID)
	}
}
