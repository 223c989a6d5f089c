package app

import (
	"context"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/discovery"
	"dex/internal/federation"
)

// administration returns what may be administered of the edition: of clients, users and connectors, the configured ones too.
func (e *Edition) administration(with shared, documents *discovery.Discovery) *admin.Service {
	users := e.users()
	database := local.New(users, e.hashCost())
	return admin.New(admin.Config{
		Version:     e.core.opts.Version,
		Clients:     with.clients.Records(),
		Users:       users.Records(),
		Connectors:  e.connectors.Records(),
		Families:    with.families,
		Revocations: e.core.revoked,
		CheckPassword: func(ctx context.Context, email, password string) (bool, error) {
			_, ok, err := e.core.limits.CheckPassword(ctx, federation.LocalID, database, connector.Scopes{}, email, password)
			return ok, err
		},
		Metadata: documents.Document,
		Events:   e.core.events,
	})
}
