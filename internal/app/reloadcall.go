package app

import (
	"context"
	"errors"

	"dex/internal/admin"
	"dex/internal/config"
	"dex/internal/event"
)

// Status implements admin.Configuration.
func (r *reloads) Status() admin.ConfigurationStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return admin.ConfigurationStatus{
		File: r.core.opts.Input.File, Applied: r.succeeded, Attempted: r.attempted, Problem: r.failure,
	}
}

// Reload implements admin.Configuration.
func (r *reloads) Reload(ctx context.Context, only bool) (admin.Reloaded, error) {
	var done Reloaded
	var err error
	if only {
		done, err = r.core.tryReload(ctx)
	} else {
		done, err = r.core.Reload(ctx)
	}
	if errors.Is(err, errOnce) {
		return admin.Reloaded{}, &admin.Error{Reason: admin.Disabled, Message: err.Error()}
	}
	return admin.Reloaded{Changed: done.Changes.names(), Restart: done.Restart, Problems: done.Problems}, err
}

// tryReload says what Reload would do.
func (c *Core) tryReload(ctx context.Context) (Reloaded, error) {
	if c.opts.Input.File == StandardInput || c.opts.Input.File == "" {
		return Reloaded{}, errOnce
	}
	found, err := c.readInput(ctx)
	if err != nil {
		return Reloaded{}, err
	}
	if found.Plan == nil {
		return Reloaded{}, &config.InvalidError{Problems: found.Problems.Errors()}
	}
	before := c.edition.Load().plan
	return Reloaded{Changes: changes(before, found.Plan), Restart: c.plan.fixed(found.Plan), Problems: found.Problems}, nil
}

// names returns the keys that differ, and what differs in the lists.
func (c Changes) names() []string {
	all := append([]string(nil), c.Keys...)
	for _, list := range []struct {
		name string
		is   event.Difference
	}{{"staticClients", c.Clients}, {"staticPasswords", c.Users}, {"connectors", c.Connectors}} {
		for _, how := range []struct {
			word  string
			names []string
		}{{"added", list.is.Added}, {"changed", list.is.Changed}, {"removed", list.is.Removed}} {
			for _, name := range how.names {
				all = append(all, list.name+": "+how.word+" "+name)
			}
		}
	}
	return all
}
