package app

import (
	"context"
	"fmt"
	"time"

	"dex/internal/admin"
	"dex/internal/config"
	"dex/internal/discovery"
	"dex/internal/signing"
	"dex/internal/token"
)

// A signer has the keys for tokens, here or elsewhere. It has no health check: with Vault down nobody can sign in, but
// what applications ask about tokens is answered, and would not be if all replicas were taken out of service.
type signer interface {
	token.Signer
	token.Keys
	discovery.Keys
	admin.Keys
	// Outlast makes keys last for tokens of this lifetime; a shorter one than before changes nothing.
	Outlast(tokenLifetime time.Duration)
	// Run keeps the keys up to date until the context ends.
	Run(ctx context.Context)
}

func (c *Core) openSigner(ctx context.Context) (signer, error) {
	atOnce := c.cfg.OAuth2.Compatibility.KeyPublication == config.Upstream
	if vault, ok := c.cfg.VaultSigning(); ok {
		return c.openVault(ctx, vault, atOnce)
	}
	local := c.cfg.LocalSigning()
	c.log.InfoContext(ctx, "signer configured", "type", "local", "keys_rotation_period", local.KeysRotationPeriod)
	s, err := signing.Open(ctx, c.store, signing.Config{
		Algorithm:      local.Algorithm,
		RotationPeriod: local.KeysRotationPeriod,
		TokenLifetime:  c.plan.longestTokens(),
		SignAtOnce:     atOnce,
	}, c.log, c.events)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	c.metrics.Registry().MustRegister(s.Metrics())
	return s, nil
}

func (c *Core) openVault(ctx context.Context, vault config.VaultSigner, atOnce bool) (signer, error) {
	c.log.InfoContext(ctx, "signer configured", "type", "vault", "addr", vault.Addr, "key_name", vault.KeyName)
	s, err := signing.OpenVault(ctx, signing.VaultConfig{
		Addr:       vault.Addr,
		Token:      vault.Token,
		KeyName:    vault.KeyName,
		Namespace:  vault.Namespace,
		CAFile:     vault.CAFile,
		SignAtOnce: atOnce,
	}, c.log)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return s, nil
}
