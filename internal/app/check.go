// Package app puts the rooms together: from a configuration to a running server, and from a signal to its end.
package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
)

const noConnector = "there is no connector that works, so nobody could sign in; add one, or enablePasswordDB: true"

// A Plan is a configuration that has been checked whole: everything about it that can be known without touching
// anything.
type Plan struct {
	Config *config.Config
	// Patience is how long to wait for a storage that can't be reached; 0 means a minute.
	Patience time.Duration

	files      config.State // what it was read from
	backend    *backend
	connectors []*federation.Definition
	clients    []*client.Client
	users      []*local.User
	passwords  *local.Policy
	unusable   config.Problems // errors that leave out something else than a connector
}

// Check reads a configuration and returns all that is wrong with it. The plan is nil if one of the problems is an error that
// the server can't start with.
func Check(src config.Source) (*Plan, config.Problems) {
	cfg, problems := src.Load()
	if cfg == nil {
		return nil, problems
	}
	p := &Plan{Config: cfg}
	problems = append(problems, p.checkStorage()...)
	problems = append(problems, p.readEntries()...)
	problems = append(problems, p.checkBrand()...)
	problems = append(problems, p.checkRisks()...)
	if !p.anyConnector() && !cfg.EnablePasswordDB && cfg.Storage.Type == "memory" && cfg.Kubernetes.Resources == nil {
		problems = append(problems, cfg.File.Problem("connectors", noConnector))
	}
	problems = problems.InOrder()
	if problems.Fatal() {
		return nil, problems
	}
	p.unusable = slices.DeleteFunc(slices.Clone(problems), func(q config.Problem) bool {
		return q.Warning || strings.HasPrefix(q.Key, "connectors[")
	})
	return p, problems
}

// readEntries reads the connectors, the clients and the users of the file, and what their passwords must be like.
func (p *Plan) readEntries() config.Problems {
	var connectors, clients, users, passwords config.Problems
	p.connectors, connectors = federation.Read(p.Config)
	p.clients, clients = client.Read(p.Config, federation.Known(p.Config, p.connectors))
	p.users, users = local.Read(p.Config)
	p.passwords, passwords = local.ReadPolicy(p.Config)
	return slices.Concat(connectors, clients, users, passwords)
}

func (p *Plan) anyConnector() bool {
	return slices.ContainsFunc(p.connectors, func(d *federation.Definition) bool { return d.Config != nil })
}

// Report writes problems a line each, errors and warnings told apart.
func Report(problems config.Problems) string {
	var b strings.Builder
	for _, p := range problems {
		kind := "warning"
		if p.IsError() {
			kind = "error"
		}
		fmt.Fprintf(&b, "%s: %s\n", kind, p)
	}
	return b.String()
}
