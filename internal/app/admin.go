package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/discovery"
	"dex/internal/federation"
	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/telemetry"
)

// administration returns what may be administered of the edition: of clients, users and connectors, the configured ones too.
func (e *Edition) administration(with shared, documents *discovery.Discovery) *admin.Service {
	users := e.users()
	database := local.New(users, e.hashCost())
	cfg := admin.Config{
		Version:     e.core.opts.Version,
		Clients:     with.clients.Records(),
		Users:       users.Records(),
		Connectors:  e.connectors.Records(),
		Families:    with.families,
		Offline:     with.offline,
		Revocations: e.core.revoked,
		CheckPassword: func(ctx context.Context, email, password string) (bool, error) {
			_, ok, err := e.core.limits.CheckPassword(ctx, federation.LocalID, database, connector.Scopes{}, email, password)
			return ok, err
		},
		HashCost: e.hashCost(),
		Metadata: documents.Document,
		Events:   e.core.events,

		Keys:          e.core.signer,
		Tokens:        e.core.adminTokens,
		Configuration: e.core.reloads,

		Sessions:   with.sessions,
		Identities: with.identities,
	}
	if with.logout != nil {
		cfg.SignOut = with.logout
	}
	return admin.New(cfg)
}

// connectCluster returns a client of the cluster that knows the service accounts.
func (c *Core) connectCluster() (*kubeapi.Client, error) {
	file := c.cfg.API.KubeConfigFile
	client, err := kubeapi.Connect(kubeapi.Config{InCluster: file == "", KubeConfigFile: file}, c.log)
	if err != nil {
		return nil, fmt.Errorf("api.access: serviceAccount: %w", err)
	}
	return client, nil
}

// AdminTokens returns the admin tokens of a storage, for commands: events go to a log.
func AdminTokens(s store.Store, log *slog.Logger) *admin.Tokens {
	return admin.NewTokens(s, telemetry.NewEventLog(log), time.Now)
}
