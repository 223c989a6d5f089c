package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dex/internal/admin"
	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/explain"
	"dex/internal/federation"
	"dex/internal/kubeapi"
	"dex/internal/mail"
	"dex/internal/selfservice"
	"dex/internal/store"
	"dex/internal/telemetry"
)

// administration returns what may be administered of the edition: of clients, users and connectors, the configured ones too.
func (e *Edition) administration(with shared, in rooms) *admin.Service {
	users := e.users()
	database := local.New(users)
	cfg := admin.Config{
		Version:     e.core.opts.Version,
		Clients:     with.clients.Records(),
		Users:       users.Records(),
		Connectors:  e.connectors.Records(),
		Families:    with.families,
		Offline:     with.offline,
		Revocations: e.core.revoked,
		Identities:  with.identities,
		CheckPassword: func(ctx context.Context, email, password string) (bool, error) {
			_, ok, err := e.core.limits.CheckPassword(ctx, federation.LocalID, database, connector.Scopes{}, email, password)
			return ok, err
		},
		HashPassword: users.Hash,
		Metadata:     in.discovery.Document,
		Invite:       invitations(in.selfService),
		Events:       e.core.events,

		Explainer: &explain.Explainer{Policy: with.policy, Minter: with.minter},

		Keys:          e.core.signer,
		Tokens:        e.core.adminTokens,
		Configuration: e.core.reloads,

		Sessions: with.sessions,
		Factors:  with.enrolled,
	}
	if with.logout != nil {
		cfg.SignOut = with.logout
	}
	return admin.New(cfg)
}

// invitations returns what invites users, with errors for operators.
func invitations(self *selfservice.SelfService) func(context.Context, string, bool) (admin.Invitation, error) {
	return func(ctx context.Context, email string, byMail bool) (made admin.Invitation, err error) {
		if byMail {
			made.Expires, err = self.InviteByMail(ctx, email)
		} else {
			made.URL, made.Expires, err = self.Invite(ctx, email)
		}
		for cause, reason := range map[error]admin.Reason{
			selfservice.ErrOff: admin.Disabled, selfservice.ErrUnknown: admin.NotFound, selfservice.ErrFixed: admin.ReadOnly,
			selfservice.ErrBlocked: admin.Invalid, selfservice.ErrNoMail: admin.Invalid, mail.ErrFull: admin.Exhausted,
		} {
			if errors.Is(err, cause) {
				return admin.Invitation{}, admin.Errorf(reason, "%v", cause)
			}
		}
		return made, err
	}
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
