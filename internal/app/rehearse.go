package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/event"
	"dex/internal/explain"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/policy"
	"dex/internal/signing"
	"dex/internal/store/memory"
	"dex/internal/token"
)

// policyOptions returns what the configuration says of the policy.
func (p *Plan) policyOptions() policy.Options {
	compatible := p.Config.OAuth2.Compatibility
	return policy.Options{
		RefuseUnknownScopes: compatible.UnknownScopes == config.Upstream,
		Factors:             policyFactors(p.Config.MFA),
		Tokens:              p.tokenDefaults(),
		AuthPolicy:          p.Config.AuthPolicy,
		TokenPolicy:         p.Config.TokenPolicy,
	}
}

// A Rehearsal is what a configuration would decide, without a server: it knows what is configured, and nothing that is stored.
type Rehearsal struct {
	*explain.Explainer
	plan *Plan
}

// Rehearse makes one. The keys that previews of tokens need are made for it.
func (p *Plan) Rehearse(ctx context.Context) (*Rehearsal, error) {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	log, kept := slog.New(slog.DiscardHandler), memory.New()
	algorithm := signing.RS256
	if _, vault := p.Config.VaultSigning(); !vault {
		algorithm = p.Config.LocalSigning().Algorithm
	}
	keys, err := signing.Open(ctx, kept, signing.Config{
		Algorithm: algorithm, RotationPeriod: 24 * time.Hour, TokenLifetime: p.longestTokens(), SignAtOnce: true,
	}, log, event.Discard)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return &Rehearsal{plan: p, Explainer: &explain.Explainer{
		Policy: policy.New(client.NewRegistry(p.clients, kept, limit.NewSet(), log), p.policyOptions()),
		Minter: &token.Minter{Issuer: p.Config.Issuer, Signer: keys, UserInfo: issuer.JoinPath("userinfo").String(), Events: event.Discard},
	}}, nil
}

// Client implements explain.Configuration.
func (r *Rehearsal) Client(id string) *client.Client {
	i := slices.IndexFunc(r.plan.clients, func(c *client.Client) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return r.plan.clients[i]
}

// Connector implements explain.Configuration.
func (r *Rehearsal) Connector(id string) *federation.Definition {
	if id == federation.LocalID && r.plan.Config.EnablePasswordDB {
		return &federation.Definition{ID: federation.LocalID, Type: federation.LocalID}
	}
	i := slices.IndexFunc(r.plan.connectors, func(d *federation.Definition) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return r.plan.connectors[i]
}
